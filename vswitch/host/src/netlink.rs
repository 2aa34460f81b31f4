//! rtnetlink and ethtool netlink, synchronous. The only module that knows the netlink crates' types.

pub(crate) mod address;
mod ethtool;
pub(crate) mod link;
pub(crate) mod monitor;
pub(crate) mod neighbour;
pub(crate) mod qdisc;
pub(crate) mod route;
mod socket;
pub(crate) mod underlay;
pub(crate) mod veth;

use std::net::IpAddr;

use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};

use crate::error::{Error, ErrorKind, Failure};
use crate::netns::{HERE, Netns};
use socket::{Connection, Mode};

/// A conversation with the kernel about one network namespace.
///
/// The socket belongs to the namespace of the thread that opened it, for good: a value may be used from any thread and
/// keeps its namespace alive. Requests are answered before the method returns.
#[derive(Debug)]
pub struct Netlink {
    route: Connection,
    ethtool: ethtool::Ethtool,
    namespace: String,
}

impl Netlink {
    /// Opens a socket in the calling thread's namespace.
    ///
    /// # Errors
    /// When the process is out of descriptors.
    pub fn open() -> Result<Self, Error> {
        Self::connect(HERE)
    }

    /// Opens a socket in `netns`; the calling thread stays where it is.
    ///
    /// # Errors
    /// As [`Netns::run`].
    pub fn open_in(netns: &Netns) -> Result<Self, Error> {
        netns.run(|| Self::connect(netns.label()))?
    }

    /// How this namespace is called in errors.
    pub fn namespace(&self) -> &str {
        &self.namespace
    }

    fn connect(namespace: &str) -> Result<Self, Error> {
        let fail = |failure| Error::new("open", "netlink socket", namespace, failure);
        Ok(Self {
            route: Connection::open(netlink_sys::protocols::NETLINK_ROUTE).map_err(fail)?,
            ethtool: ethtool::Ethtool::open().map_err(fail)?,
            namespace: namespace.to_owned(),
        })
    }

    /// Sends one change and waits for the kernel's acknowledgement.
    fn change(
        &mut self,
        operation: &'static str,
        object: impl FnOnce() -> String,
        message: RouteNetlinkMessage,
        mode: Mode,
    ) -> Result<(), Error> {
        match self.route.request(message, mode) {
            Ok(_) => Ok(()),
            Err(failure) => Err(Error::new(operation, object(), &*self.namespace, failure)),
        }
    }

    /// Asks for a whole table.
    fn dump(
        &mut self,
        operation: &'static str,
        message: RouteNetlinkMessage,
    ) -> Result<Vec<RouteNetlinkMessage>, Error> {
        self.route.dump(&message).map_err(|failure| Error::new(operation, "all", &*self.namespace, failure))
    }

    pub(crate) fn fail(&self, operation: &'static str, object: impl Into<String>, failure: Failure) -> Error {
        Error::new(operation, object, &*self.namespace, failure)
    }
}

/// Refuses names the kernel would refuse, and `%`, with which the kernel would make up a name of its own.
///
/// The kernel's rule is `dev_valid_name` of `net/core/dev.c`: 1 to 15 bytes, no slash, colon or white space, not a dot
/// or two.
///
/// # Errors
/// [`ErrorKind::BadName`].
pub fn check_link_name(name: &str) -> Result<(), Error> {
    link_name_failure(name).map_or(Ok(()), |failure| Err(Error::new("name", format!("{name:?}"), HERE, failure)))
}

fn link_name_failure(name: &str) -> Option<Failure> {
    let refused = |c: char| matches!(c, '/' | ':' | '%' | '\0') || c.is_ascii_whitespace() || c == '\x0b';
    let bad = name.is_empty() || name.len() > 15 || matches!(name, "." | "..") || name.contains(refused);
    bad.then(|| {
        ErrorKind::BadName("a device name has 1 to 15 bytes, without slash, colon, percent sign or white space").into()
    })
}

fn family_of(address: IpAddr) -> AddressFamily {
    match address {
        IpAddr::V4(_) => AddressFamily::Inet,
        IpAddr::V6(_) => AddressFamily::Inet6,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn link_names_follow_the_kernels_rule() {
        for name in ["eth0", "sluice_host", "slu0123456789ab", "a.b", "...", "é"] {
            assert!(check_link_name(name).is_ok(), "{name:?}");
        }
        for name in ["", ".", "..", "slu0123456789abcd", "a/b", "a:b", "a b", "a\tb", "a\x0bb", "eth%d", "a\0"] {
            let error = check_link_name(name).unwrap_err();
            assert!(matches!(error.kind(), ErrorKind::BadName(_)), "{name:?}");
        }
    }
}
