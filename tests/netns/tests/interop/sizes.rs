//! How long packets may be between our node and others, and how their senders learn it.

use std::net::IpAddr;
use std::process::Command;

use sluice_host::sysctl;
use sluice_netns::wait_for;

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
            let payload = (mtu - headers).to_string();
            let fits = from.pings(*address, &["-c", "3", "-i", "0.01", "-M", "do", "-s", &payload]);
            assert!(fits, "{mtu} to {address}");
            assert_eq!(told(from, *address, mtu + 1), mtu, "to {address}");
        }
    }
}

/// The MTU that a host is told, by its own stack or by a router, about a packet of `len` bytes that must not be fragmented.
fn told(from: &Host, to: IpAddr, len: u32) -> u32 {
    let payload = (len - if to.is_ipv4() { 28 } else { 48 }).to_string();
    // An error from afar ends the wait for an answer. Its own stack's does not, so the wait is short, and asked again.
    let ask = || {
        let mut ping = Command::new("ping");
        ping.args(["-n", "-c", "1", "-W", "0.2", "-M", "do", "-s", &payload, &to.to_string()]);
        let output = from.netns().output(&mut ping).expect("ping starts");
        assert!(!output.status.success(), "{len} bytes to {to} pass");
        let said = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
        let mtu = said.split("mtu").nth(1)?.trim_start_matches([' ', '=', ':']).split(|c: char| !c.is_ascii_digit());
        mtu.into_iter().next()?.parse().ok()
    };
    wait_for(&format!("news about {len} bytes to {to}"), ask).unwrap_or_else(|error| panic!("{error}"))
}

/// Other nodes need not know of our path MTU: what fits the wire is taken, and only what our pods send is shorter.
#[test]
fn our_pods_take_what_is_longer_than_what_they_send() {
    let ours = Ours::up("mtuin", "192.0.2.11", &["podMtu=1400"]);
    let theirs = KernelNode::beside(&ours, "192.0.2.12", Device::Vxlan { vni: 1, port: 4789 });
    meet(&ours.pod, &theirs.pod);
    for (mine, yours) in ours.pod.addresses.iter().zip(&theirs.pod.addresses) {
        let payload = (theirs.mtu - if mine.is_ipv4() { 28 } else { 48 }).to_string();
        assert!(theirs.pod.pings(*mine, &["-c", "3", "-i", "0.01", "-M", "do", "-s", &payload]), "{mine}");
        assert_eq!(told(&ours.pod, *yours, 1401), 1400);
        transfer(&theirs.pod, &ours.pod, *mine);
        transfer(&ours.pod, &theirs.pod, *yours);
    }
    assert_eq!(ours.drops(), Vec::<String>::new());
}

/// A link behind the other node takes less than the tunnel: that node says so, and our super-frames are cut to it.
#[test]
fn the_other_node_tells_our_pod_and_our_switch_what_a_link_behind_it_takes() {
    let ours = Ours::up("mtuout", "192.0.2.11", &[]);
    let theirs = KernelNode::beside(&ours, "192.0.2.12", Device::Vxlan { vni: 1, port: 4789 });
    let narrow = narrow(&ours, &theirs);
    meet(&ours.pod, &narrow);
    for address in &narrow.addresses {
        assert_eq!(told(&ours.pod, *address, 1301), 1300);
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
    assert!(ours.looped("super_frames_cut") > 0, "{}", ours.status()["workers"]);
    assert_eq!(ours.drops(), Vec::<String>::new());
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
