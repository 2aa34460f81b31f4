//! The error that a CNI plugin prints on stdout.

use serde::{Deserialize, Serialize};

use crate::version::CniVersion;

/// Error codes of the CNI specification, section "Error", and Sluice's own from 100 up.
pub mod code {
    /// The CNI version is not supported.
    pub const INCOMPATIBLE_VERSION: u32 = 1;
    /// A field of the configuration is not supported; the message holds its key and value.
    pub const UNSUPPORTED_FIELD: u32 = 2;
    /// The container is unknown or gone; the runtime need not call DEL.
    pub const UNKNOWN_CONTAINER: u32 = 3;
    /// Environment variables are missing or invalid; the message names them.
    pub const INVALID_ENVIRONMENT: u32 = 4;
    /// Reading or writing failed.
    pub const IO_FAILURE: u32 = 5;
    /// The configuration is not JSON.
    pub const DECODE_FAILURE: u32 = 6;
    /// The configuration is JSON but not a valid network configuration.
    pub const INVALID_CONFIG: u32 = 7;
    /// A transient condition; the runtime should try again later.
    pub const TRY_AGAIN_LATER: u32 = 11;
    /// STATUS: no new pods can be attached; those that are there are served.
    pub const NOT_AVAILABLE: u32 = 50;
    /// STATUS: no new pods can be attached, and those that are there may be hurt too.
    pub const LIMITED: u32 = 51;
    /// Sluice: this container and interface name are attached already.
    pub const ALREADY_ATTACHED: u32 = 100;
    /// Sluice: the interface name is taken in the container's namespace.
    pub const INTERFACE_EXISTS: u32 = 101;
    /// Sluice: the node has no free pod address.
    pub const NO_ADDRESS: u32 = 102;
    /// Sluice: a step of the attachment failed; everything before it was undone.
    pub const ATTACH_FAILED: u32 = 103;
    /// Sluice: a step of the removal failed; the runtime should call DEL again.
    pub const DETACH_FAILED: u32 = 104;
    /// Sluice: CHECK found something else than ADD left; the message names all of it.
    pub const CHECK_FAILED: u32 = 105;
    /// Sluice: GC could not remove everything; the details name what is left.
    pub const GC_FAILED: u32 = 106;
    /// Sluice: another pod of the node has the host port.
    pub const HOST_PORT_TAKEN: u32 = 107;
}

/// The CNI error object: `{cniVersion, code, msg, details}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{msg} (CNI error {code})")]
pub struct CniError {
    /// The version of the request, or the newest one when the request named no supported version.
    #[serde(rename = "cniVersion")]
    pub cni_version: String,
    /// One of [`code`].
    pub code: u32,
    /// One sentence: what is wrong and with what.
    pub msg: String,
    /// Causes and remedy; may be empty.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub details: String,
}

impl CniError {
    /// An error in the newest version's name; see [`CniError::in_version`].
    pub fn new(code: u32, msg: impl Into<String>) -> Self {
        Self { cni_version: CniVersion::LATEST.as_str().to_owned(), code, msg: msg.into(), details: String::new() }
    }

    /// The same error with `details`.
    #[must_use]
    pub fn with_details(mut self, details: impl Into<String>) -> Self {
        self.details = details.into();
        self
    }

    /// The same error in the name of the request's `version`.
    #[must_use]
    pub fn in_version(mut self, version: CniVersion) -> Self {
        self.cni_version = version.as_str().to_owned();
        self
    }
}
