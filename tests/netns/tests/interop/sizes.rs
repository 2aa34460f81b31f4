//! How long packets may be between our node and others, and how their senders learn it.

use std::process::Command;

use sluice_host::sysctl;

use crate::kernel::{Device, KernelNode};
use crate::ours::Ours;
use crate::theirs::ip;
use crate::traffic::{Host, meet, transfer};

/// The longest packets pass both ways, and their senders know that longer ones would not.
pub(crate) fn hold(ours: &Host, theirs: &Host, mtu: u32) {
    for (from, to) in [(ours, theirs), (theirs, ours)] {
        for address in &to.addresses {
            // IP and ICMP.
            let headers = if address.is_ipv4() { 28 } else { 48 };
            let sized = |bytes: u32, more: &[&str]| {
                let payload = (bytes - headers).to_string();
                from.pings(*address, &[&["-M", "do", "-s", &payload], more].concat())
            };
            assert!(sized(mtu, &["-c", "3", "-i", "0.01"]), "{mtu} to {address}");
            assert!(!sized(mtu + 1, &["-c", "1", "-W", "1"]), "{} to {address}", mtu + 1);
        }
    }
}

/// What `ping` says of one packet of `len` bytes that must not be fragmented.
fn told(from: &Host, to: &Host, family: usize, len: u32) -> String {
    let address = to.addresses[family].to_string();
    let payload = (len - [28, 48][family]).to_string();
    let mut ping = Command::new("ping");
    ping.args(["-n", "-c", "1", "-W", "5", "-M", "do", "-s", &payload, &address]);
    let output = from.netns().output(&mut ping).expect("ping starts");
    assert!(!output.status.success(), "{len} bytes to {address} pass");
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

/// Behind both nodes are places where less fits than in the tunnel: each node tells the other's pod.
#[test]
fn path_mtu_discovery_works_through_the_tunnel_in_both_directions() {
    let ours = Ours::up("mtu", "192.0.2.11", &["podMtu=1400"]);
    let theirs = KernelNode::beside(&ours, "192.0.2.12", Device::Vxlan { vni: 1, port: 4789 });
    assert!(theirs.mtu > 1400);
    meet(&ours.pod, &theirs.pod);
    for family in [0, 1] {
        let heard = told(&theirs.pod, &ours.pod, family, 1401);
        assert!(heard.contains("mtu = 1400") || heard.contains("mtu=1400"), "{heard}");
    }
    let narrow = narrow(&ours, &theirs);
    meet(&ours.pod, &narrow);
    for family in [0, 1] {
        let heard = told(&ours.pod, &narrow, family, 1301);
        assert!(heard.contains("mtu = 1300") || heard.contains("mtu=1300"), "{heard}");
    }
    // What was learnt is forgotten, so that super-frames of too long segments are on their way when it is told again.
    for family in ["-4", "-6"] {
        let mut flush = Command::new("ip");
        flush.args([family, "route", "flush", "cache"]);
        ours.pod.netns().output(&mut flush).expect("ip starts");
    }
    for address in &narrow.addresses {
        transfer(&ours.pod, &narrow, *address);
    }
    assert_eq!(ours.drops(), ["too_big 2"], "one told to each family");
}

/// A pod beside the bridge, that promises more by its MSS than the last hop before it carries.
fn narrow(ours: &Ours, theirs: &KernelNode) -> Host {
    let pod = theirs.theirs.pod(ours, "narrow", 9, 1400);
    let mut routes = String::from("link set narrow mtu 1300\n");
    for address in &pod.addresses {
        routes += &format!("route add {address} dev narrow\n");
    }
    ip(&theirs.theirs.name, &routes);
    let near = theirs.theirs.netns.run(|| sysctl::set("net/ipv6/conf/narrow/proxy_ndp", "1"));
    near.expect("its namespace").expect("a sysctl");
    // On a link of its own the gateway answers for IPv4 as it is, and for IPv6 by proxy.
    ip(&theirs.theirs.name, &format!("neigh add proxy {} dev narrow", crate::theirs::GATEWAYS[1]));
    pod
}
