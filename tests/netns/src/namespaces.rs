//! Namespaces that last as long as a test.

use std::ops::Deref;
use std::path::Path;
use std::sync::Once;
use std::sync::atomic::{AtomicU32, Ordering};

use sluice_host::{NAMED_NAMESPACES, Netlink, Netns};

/// Starts every name made here: `slutest-PID-NUMBER-LABEL`.
const PREFIX: &str = "slutest-";

/// Ends the test with a message that says what to do when it does not run as root.
///
/// # Panics
/// Without root.
pub fn require_root() {
    assert!(
        rustix::process::geteuid().is_root(),
        "this test makes network namespaces and needs root: run it with `sudo -E`, or as root in a container with \
         CAP_NET_ADMIN and CAP_SYS_ADMIN"
    );
}

/// A network namespace with a name of its own under `/run/netns`, its loopback up; removed when dropped.
///
/// A killed test cannot drop anything: the first namespace a later test process makes removes those whose process is
/// gone.
#[derive(Debug)]
pub struct Namespace {
    netns: Netns,
    name: String,
}

impl Namespace {
    /// Makes a namespace; `label` tells the ones of a test apart in `ip netns`.
    ///
    /// # Panics
    /// Without root, or when the kernel refuses.
    pub fn new(label: &str) -> Self {
        static SWEEP: Once = Once::new();
        static NEXT: AtomicU32 = AtomicU32::new(0);
        require_root();
        SWEEP.call_once(remove_leftovers);
        let name = format!("{PREFIX}{}-{}-{label}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let netns = Netns::create(&name).unwrap_or_else(|error| panic!("{error}"));
        let namespace = Self { netns, name };
        let mut netlink = namespace.netlink();
        let lo = netlink.link_by_name("lo").unwrap_or_else(|error| panic!("{error}"));
        netlink.set_link(lo.index, &sluice_host::LinkChange::up()).unwrap_or_else(|error| panic!("{error}"));
        namespace
    }

    /// Its name under `/run/netns`.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its path, as CNI_NETNS would give it.
    pub fn path(&self) -> String {
        format!("{NAMED_NAMESPACES}/{}", self.name)
    }

    /// A netlink socket in it.
    ///
    /// # Panics
    /// When there can be none.
    pub fn netlink(&self) -> Netlink {
        Netlink::open_in(&self.netns).unwrap_or_else(|error| panic!("{error}"))
    }
}

impl Deref for Namespace {
    type Target = Netns;

    fn deref(&self) -> &Netns {
        &self.netns
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        match Netns::delete(&self.name) {
            Ok(()) => {}
            // A test may remove the name itself.
            Err(error) if error.is_absent() => {}
            Err(error) if std::thread::panicking() => eprintln!("{error}"),
            Err(error) => panic!("{error}"),
        }
    }
}

/// Removes the namespaces of test processes that ended without removing them.
fn remove_leftovers() {
    let names = Netns::names().unwrap_or_else(|error| panic!("{error}"));
    for name in names.iter().filter(|name| owner(name).is_some_and(is_gone)) {
        match Netns::delete(name) {
            Ok(()) => {}
            // Another test process sweeps at the same time.
            Err(error) if error.is_absent() => {}
            Err(error) => panic!("{error}"),
        }
    }
}

/// The process that made the namespace called `name`, if that is one of ours.
fn owner(name: &str) -> Option<u32> {
    name.strip_prefix(PREFIX)?.split('-').next()?.parse().ok()
}

fn is_gone(pid: u32) -> bool {
    !Path::new("/proc").join(pid.to_string()).exists()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_made_here_have_an_owner() {
        assert_eq!(owner("slutest-12-0-a"), Some(12));
        for name in ["slutest-", "slutest-x-0-a", "slu-12-0", "12", "slutest--1"] {
            assert_eq!(owner(name), None, "{name}");
        }
        assert!(!is_gone(std::process::id()));
    }
}
