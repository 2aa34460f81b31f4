//! sluice-host against the real kernel. Where there is one, the oracle is another program: ip, tc, ethtool, ping.

mod addresses;
mod links;
mod monitor;
mod namespaces;
mod neighbours;
mod offloads;
mod routes;
mod sysctls;
mod underlay;
mod veth;

use std::process::Command;

use sluice_host::{LinkIndex, Netlink, Netns, VethEnd, VethPair};

/// No namespace here has that many devices.
const NO_SUCH_DEVICE: LinkIndex = LinkIndex(0x7fff_0000);

/// Runs a program in a namespace and gives what it printed; it has to succeed.
fn output(netns: &Netns, line: &str) -> String {
    let mut words = line.split_whitespace();
    let mut command = Command::new(words.next().expect("a program"));
    let output = netns.output(command.args(words)).unwrap_or_else(|error| panic!("{error}"));
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{line}: {}: {errors}", output.status);
    String::from_utf8(output.stdout).expect("UTF-8")
}

/// A pair of which nothing but the names matters.
fn plain_pair(netlink: &mut Netlink, near: &str, far: &str) -> VethPair {
    netlink.create_veth(&VethEnd::named(near), &VethEnd::named(far)).unwrap()
}
