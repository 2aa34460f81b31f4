//! VXLAN with the kernel's own device and bridge, as Flannel lays them out.

use crate::kernel::{Device, KernelNode};
use crate::ours::Ours;
use crate::traffic::{exchange, meet};

/// Both nodes exchange everything, all of it through the tunnel, and nothing is lost on our side.
pub(crate) fn hold(ours: &Ours, theirs: &KernelNode) {
    meet(&ours.pod, &theirs.pod);
    exchange(&ours.pod, &theirs.pod);
    let (received, sent) = theirs.carried();
    let (encapsulated, decapsulated) = (ours.counted("encapsulated"), ours.counted("decapsulated"));
    // A super-frame is one packet where it is cut or made, and many on the wire.
    assert!(received >= encapsulated && encapsulated > 0, "{received} of {encapsulated}");
    assert!(decapsulated >= sent && sent > 0, "{decapsulated} of {sent}");
    assert_eq!(theirs.refused(), 0);
    assert!(ours.looped("super_frames_cut") > 0 && ours.looped("segments_joined") > 0, "{}", ours.status()["workers"]);
    assert_eq!(ours.drops(), Vec::<String>::new());
    assert_eq!(ours.status()["podMtu"], theirs.mtu, "both leave as much of the wire's MTU to a pod");
}

/// Flannel's port and network.
#[test]
fn a_node_as_flannel_lays_it_out_and_ours_understand_each_other_over_ipv4() {
    let ours = Ours::up("vx", "192.0.2.11", &["tunnel.port=8472"]);
    let theirs = KernelNode::beside(&ours, "192.0.2.12", Device::Vxlan { vni: 1, port: 8472 });
    hold(&ours, &theirs);
}

/// The kernel refuses a tunnel packet over IPv6 whose outer checksum is zero or wrong (RFC 8200 section 8.1).
#[test]
fn a_node_as_flannel_lays_it_out_and_ours_understand_each_other_over_ipv6() {
    let ours = Ours::up("vxsix", "2001:db8::11", &["tunnel.vni=7700077"]);
    let theirs = KernelNode::beside(&ours, "2001:db8::12", Device::Vxlan { vni: 7_700_077, port: 4789 });
    hold(&ours, &theirs);
}
