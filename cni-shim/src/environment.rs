//! The runtime's parameters, from environment variables (CNI specification, section "Parameters").

use std::collections::BTreeMap;
use std::path::PathBuf;

use sluice_cni_protocol::{AttachmentId, CniError, CniVersion, NameError, code};

const COMMAND: &str = "CNI_COMMAND";
const CONTAINER_ID: &str = "CNI_CONTAINERID";
const INTERFACE: &str = "CNI_IFNAME";
const NETNS: &str = "CNI_NETNS";
const ARGS: &str = "CNI_ARGS";
const PATH: &str = "CNI_PATH";

/// The verbs this plugin carries out.
const SUPPORTED: &str = "ADD, CHECK, DEL, GC, STATUS, VERSION";

/// A verb of the runtime's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verb {
    /// Attach.
    Add,
    /// Detach.
    Del,
    /// Compare with what ADD left.
    Check,
    /// Remove what the runtime has forgotten.
    Gc,
    /// Say whether pods can be attached.
    Status,
    /// Report versions.
    Version,
}

impl Verb {
    /// The verb as the runtime writes it.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Add => "ADD",
            Self::Del => "DEL",
            Self::Check => "CHECK",
            Self::Gc => "GC",
            Self::Status => "STATUS",
            Self::Version => "VERSION",
        }
    }

    /// The version of the specification that it came with.
    pub(crate) fn since(self) -> CniVersion {
        match self {
            Self::Add | Self::Del | Self::Version => CniVersion::V0_3_1,
            Self::Check => CniVersion::V0_4_0,
            Self::Gc | Self::Status => CniVersion::V1_1_0,
        }
    }
}

/// Why the environment is refused. Every one is CNI error 4.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum EnvironmentError {
    /// Variables that the verb needs are unset or empty.
    #[error("required environment variables missing: {}", .0.join(", "))]
    Missing(Vec<&'static str>),
    /// A variable is set to something that is no text.
    #[error("{0} is not valid UTF-8")]
    NotText(&'static str),
    /// A name has the wrong form.
    #[error("{variable}: {source}")]
    Name { variable: &'static str, source: NameError },
    /// The namespace's path is relative.
    #[error("CNI_NETNS {0:?} is not an absolute path")]
    Netns(PathBuf),
    /// A verb that we do not carry out.
    #[error("CNI_COMMAND {0:?} is not supported; sluice-cni supports {SUPPORTED}")]
    Verb(String),
}

impl From<EnvironmentError> for CniError {
    fn from(error: EnvironmentError) -> Self {
        CniError::new(code::INVALID_ENVIRONMENT, error.to_string())
    }
}

/// The `CNI_*` variables as they are set; an empty one counts as unset.
#[derive(Debug, Default)]
pub(crate) struct Variables(BTreeMap<&'static str, Result<String, EnvironmentError>>);

/// The parameters of the verbs about one attachment.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Parameters {
    pub(crate) attachment: AttachmentId,
    pub(crate) netns: Option<PathBuf>,
    pub(crate) args: String,
    pub(crate) path: String,
}

impl Variables {
    /// The variables of this process.
    pub(crate) fn of_process() -> Self {
        let mut set = BTreeMap::new();
        for name in [COMMAND, CONTAINER_ID, INTERFACE, NETNS, ARGS, PATH] {
            match std::env::var_os(name).map(|value| value.into_string()) {
                Some(Ok(value)) if value.is_empty() => {}
                Some(Ok(value)) => drop(set.insert(name, Ok(value))),
                Some(Err(_)) => drop(set.insert(name, Err(EnvironmentError::NotText(name)))),
                None => {}
            }
        }
        Self(set)
    }

    /// `CNI_COMMAND`.
    pub(crate) fn verb(&self) -> Result<Verb, EnvironmentError> {
        match self.required(COMMAND)? {
            "ADD" => Ok(Verb::Add),
            "DEL" => Ok(Verb::Del),
            "CHECK" => Ok(Verb::Check),
            "GC" => Ok(Verb::Gc),
            "STATUS" => Ok(Verb::Status),
            "VERSION" => Ok(Verb::Version),
            other => Err(EnvironmentError::Verb(other.to_owned())),
        }
    }

    /// The parameters of `verb`, one about an attachment. At DEL the namespace may be gone.
    pub(crate) fn parameters(&self, verb: Verb) -> Result<Parameters, EnvironmentError> {
        let needed: &[_] =
            if verb == Verb::Del { &[CONTAINER_ID, INTERFACE] } else { &[CONTAINER_ID, NETNS, INTERFACE] };
        let missing: Vec<_> = needed.iter().copied().filter(|name| !self.0.contains_key(name)).collect();
        if !missing.is_empty() {
            return Err(EnvironmentError::Missing(missing));
        }
        let container_id = self.required(CONTAINER_ID)?.to_owned().try_into();
        let ifname = self.required(INTERFACE)?.to_owned().try_into();
        Ok(Parameters {
            attachment: AttachmentId {
                container_id: container_id
                    .map_err(|source| EnvironmentError::Name { variable: CONTAINER_ID, source })?,
                ifname: ifname.map_err(|source| EnvironmentError::Name { variable: INTERFACE, source })?,
            },
            netns: self.netns()?,
            args: self.optional(ARGS)?.unwrap_or_default().to_owned(),
            path: self.optional(PATH)?.unwrap_or_default().to_owned(),
        })
    }

    fn netns(&self) -> Result<Option<PathBuf>, EnvironmentError> {
        match self.optional(NETNS)?.map(PathBuf::from) {
            Some(path) if path.is_relative() => Err(EnvironmentError::Netns(path)),
            other => Ok(other),
        }
    }

    fn optional(&self, name: &'static str) -> Result<Option<&str>, EnvironmentError> {
        match self.0.get(name) {
            None => Ok(None),
            Some(Ok(value)) => Ok(Some(value)),
            Some(Err(_)) => Err(EnvironmentError::NotText(name)),
        }
    }

    fn required(&self, name: &'static str) -> Result<&str, EnvironmentError> {
        self.optional(name)?.ok_or_else(|| EnvironmentError::Missing(vec![name]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn variables(set: &[(&'static str, &str)]) -> Variables {
        Variables(set.iter().map(|(name, value)| (*name, Ok((*value).to_owned()))).collect())
    }

    #[test]
    fn missing_variables_are_all_named() {
        for verb in [Verb::Add, Verb::Check] {
            let refused = variables(&[(CONTAINER_ID, "c")]).parameters(verb).unwrap_err();
            assert_eq!(refused, EnvironmentError::Missing(vec![NETNS, INTERFACE]));
        }
        let refused = variables(&[]).parameters(Verb::Del).unwrap_err();
        assert_eq!(refused, EnvironmentError::Missing(vec![CONTAINER_ID, INTERFACE]));
        assert_eq!(variables(&[]).verb(), Err(EnvironmentError::Missing(vec![COMMAND])));
    }

    #[test]
    fn unknown_verbs_are_told_what_is_supported() {
        for verb in ["add", "UPDATE", "X"] {
            let refused = CniError::from(variables(&[(COMMAND, verb)]).verb().unwrap_err());
            assert_eq!(refused.code, code::INVALID_ENVIRONMENT);
            assert!(refused.msg.contains(verb) && refused.msg.contains(SUPPORTED), "{refused}");
        }
    }

    #[test]
    fn bad_values_name_their_variable() {
        for (name, value) in [(CONTAINER_ID, "../c"), (INTERFACE, "a/b"), (NETNS, "run/netns/x")] {
            let mut set = vec![(CONTAINER_ID, "c"), (INTERFACE, "eth0"), (NETNS, "/run/netns/x")];
            set.retain(|(known, _)| *known != name);
            set.push((name, value));
            let refused = variables(&set).parameters(Verb::Add).unwrap_err().to_string();
            assert!(refused.contains(name), "{refused}");
        }
    }

    #[test]
    fn a_del_needs_no_namespace() {
        let taken = variables(&[(CONTAINER_ID, "c"), (INTERFACE, "eth0")]).parameters(Verb::Del).unwrap();
        assert_eq!(taken.netns, None);
    }
}
