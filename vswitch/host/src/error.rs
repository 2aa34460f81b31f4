//! The one error of this crate: what was asked, of which object, in which namespace, and how it was refused.

use nix::errno::Errno;

/// A request that the kernel, or a check before it, refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{operation} {object} in {namespace}: {kind}{}", Explained(.explanation))]
pub struct Error {
    operation: &'static str,
    object: String,
    namespace: String,
    kind: ErrorKind,
    explanation: Option<String>,
}

impl Error {
    pub(crate) fn new(
        operation: &'static str,
        object: impl Into<String>,
        namespace: impl Into<String>,
        failure: Failure,
    ) -> Self {
        Self {
            operation,
            object: object.into(),
            namespace: namespace.into(),
            kind: failure.kind,
            explanation: failure.explanation,
        }
    }

    /// Why it was refused.
    pub fn kind(&self) -> &ErrorKind {
        &self.kind
    }

    /// What was attempted, for example `create veth`.
    pub fn operation(&self) -> &'static str {
        self.operation
    }

    /// The device, address, route, namespace or sysctl that the operation was about.
    pub fn object(&self) -> &str {
        &self.object
    }

    /// The namespace in which it was attempted, as a path where it has one.
    pub fn namespace(&self) -> &str {
        &self.namespace
    }

    /// Whether the object was not there: what an idempotent delete treats as success.
    pub fn is_absent(&self) -> bool {
        matches!(self.kind, ErrorKind::NoDevice | ErrorKind::NotFound)
    }

    /// Whether the object was there already: what an idempotent create looks at more closely.
    pub fn is_taken(&self) -> bool {
        self.kind == ErrorKind::Exists
    }
}

/// The kinds of refusal a caller may want to tell apart. The text of each says what to do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ErrorKind {
    /// EEXIST.
    #[error("it exists already; delete it or choose another name")]
    Exists,
    /// ENODEV, ENXIO.
    #[error("no such device; check its name or index and whether its namespace is gone")]
    NoDevice,
    /// EPERM, EACCES.
    #[error("permission denied; run as root, or with CAP_NET_ADMIN and CAP_SYS_ADMIN")]
    NotPermitted,
    /// ENOENT, ESRCH, EADDRNOTAVAIL.
    #[error("it does not exist")]
    NotFound,
    /// EBUSY.
    #[error("it is in use; release it or try again")]
    Busy,
    /// EOPNOTSUPP.
    #[error("this kernel or device does not support it")]
    NotSupported,
    /// ENETUNREACH, EHOSTUNREACH.
    #[error("the gateway is not reachable through the device; add a route to it first or set onlink")]
    Unreachable,
    /// EINVAL, ERANGE.
    #[error("the kernel refused a value; check ranges and that the device suits the request")]
    Invalid,
    /// The path leads to something else than a network namespace.
    #[error("this is not a network namespace; give a path such as /run/netns/NAME or /proc/PID/ns/net")]
    NotANamespace,
    /// A device or namespace name the kernel would refuse or read as a pattern.
    #[error("bad name; {0}")]
    BadName(&'static str),
    /// The kernel took the request, but a feature did not end in the state asked for.
    #[error("the device did not take feature {feature}; it is fixed or needs another feature first")]
    NotApplied {
        /// The first feature that differs, by its ethtool name.
        feature: &'static str,
    },
    /// With the range reserved the host would be left without ports to give to its own connections.
    #[error(
        "reserving ports {first}-{last} leaves the host {left} of its ports {range_first}-{range_last}; choose another range \
         (masquerade.ports), or set net.ipv4.ip_local_port_range to one that lies beside it, for example \"32768 60999\""
    )]
    NoPortsLeft {
        /// First port to be reserved.
        first: u16,
        /// Last port to be reserved.
        last: u16,
        /// First port of the host's range.
        range_first: u16,
        /// Last port of the host's range.
        range_last: u16,
        /// How many would be left.
        left: u32,
    },
    /// The kernel's answer could not be decoded, or did not come.
    #[error("the kernel's answer was not understood")]
    Undecodable,
    /// Any other errno.
    #[error("{}", .0.desc())]
    Errno(Errno),
}

/// A refusal before it is known what it was about; [`Error::new`] adds that.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) kind: ErrorKind,
    pub(crate) explanation: Option<String>,
}

impl Failure {
    pub(crate) fn explained(kind: ErrorKind, explanation: impl Into<String>) -> Self {
        Self { kind, explanation: Some(explanation.into()) }
    }

    pub(crate) fn undecodable(explanation: impl std::fmt::Display) -> Self {
        Self::explained(ErrorKind::Undecodable, explanation.to_string())
    }
}

impl From<ErrorKind> for Failure {
    fn from(kind: ErrorKind) -> Self {
        Self { kind, explanation: None }
    }
}

impl From<Errno> for Failure {
    fn from(errno: Errno) -> Self {
        let kind = match errno {
            Errno::EEXIST => ErrorKind::Exists,
            Errno::ENODEV | Errno::ENXIO => ErrorKind::NoDevice,
            Errno::EPERM | Errno::EACCES => ErrorKind::NotPermitted,
            Errno::ENOENT | Errno::ESRCH | Errno::EADDRNOTAVAIL => ErrorKind::NotFound,
            Errno::EBUSY => ErrorKind::Busy,
            Errno::EOPNOTSUPP => ErrorKind::NotSupported,
            Errno::ENETUNREACH | Errno::EHOSTUNREACH => ErrorKind::Unreachable,
            Errno::EINVAL | Errno::ERANGE => ErrorKind::Invalid,
            other => ErrorKind::Errno(other),
        };
        kind.into()
    }
}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        match error.raw_os_error() {
            Some(code) => Errno::from_raw(code).into(),
            None => Self::undecodable(error),
        }
    }
}

/// Puts the kernel's own words (NLMSGERR_ATTR_MSG) in brackets behind ours.
struct Explained<'a>(&'a Option<String>);

impl std::fmt::Display for Explained<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.0 {
            Some(text) => write!(f, " ({text})"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_names_operation_object_namespace_and_remedy() {
        let error = Error::new("create veth", "slu0", "/run/netns/a", Errno::EEXIST.into());
        assert_eq!(
            error.to_string(),
            "create veth slu0 in /run/netns/a: it exists already; delete it or choose another name"
        );
        assert!(error.is_taken() && !error.is_absent());
    }

    #[test]
    fn the_kernels_words_follow_in_brackets() {
        let failure = Failure { explanation: Some("Invalid prefix".into()), ..Errno::ENODEV.into() };
        let error = Error::new("add route", "10.0.0.0/8", "here", failure);
        assert!(error.to_string().ends_with("(Invalid prefix)"), "{error}");
        assert!(error.is_absent());
    }

    #[test]
    fn an_unlisted_errno_keeps_its_own_text() {
        let error = Error::new("x", "y", "z", Errno::ENOSPC.into());
        assert_eq!(error.kind(), &ErrorKind::Errno(Errno::ENOSPC));
        assert!(error.to_string().contains("No space left"), "{error}");
    }
}
