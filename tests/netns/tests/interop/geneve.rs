//! Geneve with Open vSwitch's userspace datapath, and with the kernel's own device where it has one.

use crate::kernel::{self, Device, KernelNode};
use crate::openvswitch::OpenVSwitch;
use crate::ours::Ours;
use crate::sizes;
use crate::traffic::{exchange, expire, meet};

fn hold(ours: &Ours, theirs: &OpenVSwitch) {
    meet(&ours.pod, &theirs.pod);
    exchange(&ours.pod, &theirs.pod);
    sizes::hold(&ours.pod, &theirs.pod, mtu(ours));
    // Flows answer nobody, so of the two hops only ours can.
    expire(&ours.pod, &theirs.pod, &["1"]);
    expire(&theirs.pod, &ours.pod, &["2"]);
    assert!(ours.counted("encapsulated") > 0 && ours.counted("decapsulated") > 0, "{}", ours.status()["path"]);
    assert!(ours.looped("super_frames_cut") > 0, "{}", ours.status()["workers"]);
    // Of each family one from each side.
    ours.await_drops(&["ttl_expired 4"]);
    assert_eq!(theirs.refused(), 0);
}

fn mtu(ours: &Ours) -> u32 {
    ours.status()["podMtu"].as_u64().and_then(|mtu| mtu.try_into().ok()).expect("a number")
}

#[test]
fn open_vswitch_and_our_node_understand_each_other_over_ipv4() {
    let ours = Ours::up("gn", "192.0.2.11", &["tunnel.encapsulation=geneve", "tunnel.vni=77"]);
    let theirs = OpenVSwitch::beside(&ours, "192.0.2.12", 77, mtu(&ours), "options:csum=true");
    hold(&ours, &theirs);
}

#[test]
fn open_vswitch_and_our_node_understand_each_other_over_ipv6() {
    let ours = Ours::up("gnsix", "2001:db8::11", &["tunnel.encapsulation=geneve", "tunnel.vni=16777215"]);
    let theirs = OpenVSwitch::beside(&ours, "2001:db8::12", 16_777_215, mtu(&ours), "options:csum=true");
    hold(&ours, &theirs);
}

/// RFC 8926 section 3.5: an option that a node does not know is passed over, unless it says that it must be understood.
#[test]
fn options_that_our_node_does_not_know_are_passed_over_unless_they_are_critical() {
    let ours = Ours::up("gnopt", "192.0.2.11", &["tunnel.encapsulation=geneve", "tunnel.vni=77"]);
    let theirs = OpenVSwitch::beside(&ours, "192.0.2.12", 77, mtu(&ours), "");
    meet(&ours.pod, &theirs.pod);
    theirs.add_option(0x01, "0x11223344");
    for address in &ours.pod.addresses {
        assert!(theirs.pod.pings(*address, &["-c", "3", "-i", "0.01"]), "with an option, to {address}");
    }
    assert_eq!(ours.drops(), Vec::<String>::new());
    theirs.add_option(0x81, "0x55667788");
    for address in &ours.pod.addresses {
        assert!(!theirs.pod.pings(*address, &["-c", "1", "-W", "1"]), "with a critical option, to {address}");
    }
    ours.await_drops(&["tunnel_malformed 2"]);
}

/// The kernel's device, on kernels that have it; the others have Open vSwitch above.
#[test]
fn the_kernels_geneve_device_and_our_node_understand_each_other() {
    if !kernel::has_geneve() {
        eprintln!("this kernel has no Geneve devices");
        return;
    }
    for (label, address, their_address) in
        [("gk", "192.0.2.11", "192.0.2.12"), ("gksix", "2001:db8::11", "2001:db8::12")]
    {
        let ours = Ours::up(label, address, &["tunnel.encapsulation=geneve", "tunnel.vni=5"]);
        let theirs = KernelNode::beside(&ours, their_address, Device::Geneve { vni: 5, port: 6081 });
        crate::vxlan::hold(&ours, &theirs);
    }
}
