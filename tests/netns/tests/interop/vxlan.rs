//! VXLAN with the kernel's own device and bridge, as Flannel lays them out.

use crate::kernel::{Device, KernelNode};
use crate::ours::Ours;
use crate::sizes;
use crate::traffic::{Host, exchange, expire, meet, transfer};

/// Both nodes exchange everything, all of it through the tunnel, and nothing is lost on our side.
pub(crate) fn hold(ours: &Ours, theirs: &KernelNode) {
    meet(&ours.pod, &theirs.pod);
    exchange(&ours.pod, &theirs.pod);
    sizes::hold(&ours.pod, &theirs.pod, theirs.mtu);
    expire(&ours.pod, &theirs.pod, &["1", "2"]);
    expire(&theirs.pod, &ours.pod, &["1", "2"]);
    let (received, sent) = theirs.carried();
    let (encapsulated, decapsulated) = (ours.counted("encapsulated"), ours.counted("decapsulated"));
    // A super-frame is one packet where it is cut or made, and many on the wire.
    assert!(received >= encapsulated && encapsulated > 0, "{received} of {encapsulated}");
    assert!(decapsulated >= sent && sent > 0, "{decapsulated} of {sent}");
    assert_eq!(theirs.refused(), 0);
    assert!(ours.looped("super_frames_cut") > 0 && ours.looped("segments_joined") > 0, "{}", ours.status()["workers"]);
    // Of each family one from each side.
    ours.await_drops(&["ttl_expired 4"]);
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

/// Kubelets probe pods, and what a pod serves is asked for by nodes: each node's own stack reaches the other's pods, under
/// the address that the node has among its pods (of Flannel's, the first of the podCIDR).
#[test]
fn the_stack_of_each_node_reaches_the_pods_of_the_other() {
    let ours = Ours::up("stack", "192.0.2.11", &[]);
    let theirs = KernelNode::beside(&ours, "192.0.2.12", Device::Vxlan { vni: 1, port: 4789 });
    meet(&ours.pod, &theirs.pod);
    let their_node = Host::of(&theirs.theirs.name, &["10.244.2.0", "fd00:10:244:2::"]);
    let our_node = Host::of(&ours.namespace_of("ours"), &["10.244.1.1", "fd00:10:244:1::1"]);
    for (node, pod) in [(&their_node, &ours.pod), (&our_node, &theirs.pod)] {
        for address in &pod.addresses {
            assert!(node.pings(*address, &["-c", "5", "-i", "0.01"]), "{address}");
            transfer(node, pod, *address);
        }
    }
    assert_eq!(ours.drops(), Vec::<String>::new());
}
