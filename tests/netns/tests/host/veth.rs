use sluice_host::{ErrorKind, LinkChange, LinkKind, Netlink, VethEnd};
use sluice_netns::{Namespace, wait_for};
use sluice_wire::MacAddr;

use crate::{output, plain_pair};

const NEAR_MAC: MacAddr = MacAddr([2, 0x53, 0x4c, 0, 0, 1]);
const FAR_MAC: MacAddr = MacAddr([2, 0x53, 0x4c, 0, 0, 2]);

fn names(netlink: &mut Netlink) -> Vec<String> {
    netlink.links().unwrap().into_iter().map(|link| link.name).collect()
}

#[test]
fn both_ends_are_made_as_asked_each_in_its_namespace() {
    let (host, pod) = (Namespace::new("host"), Namespace::new("pod"));
    let mut netlink = host.netlink();
    let near = VethEnd { mtu: Some(65_000), mac: Some(NEAR_MAC), ..VethEnd::named("slu0123456789ab") };
    let far = VethEnd {
        mtu: Some(64_000),
        mac: Some(FAR_MAC),
        netns: Some(&pod),
        gso_max_size: Some(60_000),
        gso_ipv4_max_size: Some(50_000),
        ..VethEnd::named("eth0")
    };
    let pair = netlink.create_veth(&near, &far).unwrap();

    let link = netlink.link_by_name(near.name).unwrap();
    assert_eq!((link.index, link.mtu, link.mac), (pair.near, 65_000, Some(NEAR_MAC)));
    assert_eq!((link.kind, link.peer, link.peer_elsewhere), (LinkKind::Veth, Some(pair.far), true));
    assert_eq!((link.tx_queues, link.rx_queues, link.up), (1, 1, false));

    let link = pod.netlink().link_by_index(pair.far).unwrap();
    assert_eq!((link.name.as_str(), link.mtu, link.mac), ("eth0", 64_000, Some(FAR_MAC)));
    assert_eq!((link.gso_max_size, link.gso_ipv4_max_size), (60_000, 50_000));
    assert_eq!((link.tx_queues, link.rx_queues, link.peer), (1, 1, Some(pair.near)));

    let told = output(&pod, "ip -d -o link show eth0");
    // Debian 12's ip does not know gso_ipv4_max_size.
    for part in ["mtu 64000", "02:53:4c:00:00:02", "gso_max_size 60000", "numtxqueues 1"] {
        assert!(told.contains(part), "{part}: {told}");
    }
    assert!(!names(&mut netlink).contains(&"eth0".to_owned()));
}

#[test]
fn the_near_end_too_may_be_elsewhere() {
    let (here, a, b) = (Namespace::new("here"), Namespace::new("a"), Namespace::new("b"));
    let mut netlink = here.netlink();
    let near = VethEnd { netns: Some(&a), ..VethEnd::named("eth0") };
    let far = VethEnd { netns: Some(&b), ..VethEnd::named("eth0") };
    let pair = netlink.create_veth(&near, &far).unwrap();
    assert_eq!(a.netlink().link_by_name("eth0").unwrap().index, pair.near);
    assert_eq!(b.netlink().link_by_name("eth0").unwrap().index, pair.far);
    assert_eq!(names(&mut netlink), ["lo"]);
}

#[test]
fn it_runs_when_both_ends_are_up() {
    let here = Namespace::new("here");
    let mut netlink = here.netlink();
    let pair = plain_pair(&mut netlink, "near", "far");
    netlink.set_link(pair.near, &LinkChange::up()).unwrap();
    let link = netlink.link_by_index(pair.near).unwrap();
    assert!(link.up && !link.running);
    netlink.set_link(pair.far, &LinkChange::up()).unwrap();
    wait_for("it to run", || netlink.link_by_index(pair.near).unwrap().running.then_some(())).unwrap();
}

#[test]
fn a_taken_name_is_named_and_nothing_is_left() {
    let (host, pod) = (Namespace::new("host"), Namespace::new("pod"));
    let mut netlink = host.netlink();
    plain_pair(&mut netlink, "near", "taken");
    plain_pair(&mut pod.netlink(), "eth0", "other");
    let cases = [
        (VethEnd::named("near"), VethEnd::named("new"), "near", "near in"),
        (VethEnd::named("new"), VethEnd::named("taken"), "taken", "taken in"),
        (VethEnd::named("new"), VethEnd { netns: Some(&pod), ..VethEnd::named("eth0") }, "eth0", pod.label()),
        (VethEnd { netns: Some(&pod), ..VethEnd::named("other") }, VethEnd::named("new"), "other", pod.label()),
        (VethEnd::named("same"), VethEnd::named("same"), "same", "same"),
    ];
    for (near, far, object, part) in cases {
        let error = netlink.create_veth(&near, &far).unwrap_err();
        assert!(error.is_taken(), "{error}");
        assert!(error.object().contains(object) && error.to_string().contains(part), "{error}");
        assert_eq!(names(&mut netlink).len(), 3, "{error}");
        assert_eq!(names(&mut pod.netlink()).len(), 3, "{error}");
    }
}

#[test]
fn a_refused_value_leaves_nothing() {
    let (host, pod) = (Namespace::new("host"), Namespace::new("pod"));
    let mut netlink = host.netlink();
    let far = VethEnd { netns: Some(&pod), ..VethEnd::named("eth0") };
    for mtu in [67, 65_536] {
        let error = netlink.create_veth(&VethEnd::named("near"), &VethEnd { mtu: Some(mtu), ..far }).unwrap_err();
        assert_eq!(error.kind(), &ErrorKind::Invalid, "{error}");
    }
    let group = MacAddr([1, 0, 0x5e, 0, 0, 1]);
    let error = netlink.create_veth(&VethEnd::named("near"), &VethEnd { mac: Some(group), ..far }).unwrap_err();
    assert!(error.to_string().contains("near - eth0"), "{error}");
    for name in ["", "slu0123456789abcd", "eth%d", "a/b"] {
        let error = netlink.create_veth(&VethEnd::named("near"), &VethEnd { name, ..far }).unwrap_err();
        assert!(matches!(error.kind(), ErrorKind::BadName(_)), "{error}");
    }
    assert_eq!((names(&mut netlink).len(), names(&mut pod.netlink()).len()), (1, 1));
}
