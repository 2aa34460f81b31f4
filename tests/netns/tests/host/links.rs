use sluice_host::{AddressSpec, ErrorKind, LinkChange, LinkKind, VethEnd};
use sluice_netns::Namespace;
use sluice_wire::MacAddr;

use crate::{NO_SUCH_DEVICE, output, plain_pair};

#[test]
fn every_setting_of_a_device_can_be_changed() {
    let a = Namespace::new("a");
    let mut netlink = a.netlink();
    let index = plain_pair(&mut netlink, "near", "far").near;
    let mac = MacAddr([2, 0, 0, 0, 0, 9]);
    let change = LinkChange {
        up: Some(true),
        mtu: Some(9000),
        mac: Some(mac),
        gso_max_size: Some(61_000),
        gso_ipv4_max_size: Some(60_000),
        alias: Some("sluice pod default/web-0".to_owned()),
        ..LinkChange::default()
    };
    netlink.set_link(index, &change).unwrap();
    let link = netlink.link_by_index(index).unwrap();
    assert_eq!((link.up, link.mtu, link.mac), (true, 9000, Some(mac)));
    assert_eq!((link.gso_max_size, link.gso_ipv4_max_size), (61_000, 60_000));
    assert_eq!(link.alias.as_deref(), Some("sluice pod default/web-0"));
    let told = output(&a, "ip -d -o link show near");
    for part in ["alias sluice pod default/web-0", "gso_max_size 61000", "mtu 9000"] {
        assert!(told.contains(part), "{part}: {told}");
    }

    netlink.set_link(index, &LinkChange::default()).unwrap();
    assert_eq!(netlink.link_by_index(index).unwrap(), link);
    let change = LinkChange { up: Some(false), alias: Some(String::new()), ..LinkChange::default() };
    netlink.set_link(index, &change).unwrap();
    netlink.set_link(index, &LinkChange { name: Some("eth0".to_owned()), ..LinkChange::default() }).unwrap();
    let link = netlink.link_by_name("eth0").unwrap();
    assert_eq!((link.index, link.up, link.alias), (index, false, None));
}

#[test]
fn the_list_has_every_device_with_kind_and_alias() {
    let a = Namespace::new("a");
    let mut netlink = a.netlink();
    // More than fit one datagram of the kernel's answer.
    for number in 0..60 {
        let pair = plain_pair(&mut netlink, &format!("near{number}"), &format!("far{number}"));
        let alias = Some(format!("alias {number}"));
        netlink.set_link(pair.near, &LinkChange { alias, ..LinkChange::default() }).unwrap();
    }
    netlink.create_bridge("br0").unwrap();
    let links = netlink.links().unwrap();
    assert_eq!(links.len(), 122);
    let find = |name: &str| links.iter().find(|link| link.name == name).unwrap();
    assert_eq!((&find("lo").kind, &find("br0").kind), (&LinkKind::Plain, &LinkKind::Bridge));
    for number in 0..60 {
        let (near, far) = (find(&format!("near{number}")), find(&format!("far{number}")));
        assert_eq!((&near.kind, near.peer, near.peer_elsewhere), (&LinkKind::Veth, Some(far.index), false));
        assert_eq!((near.alias.as_deref(), &far.alias), (Some(format!("alias {number}").as_str()), &None));
    }
}

#[test]
fn a_device_that_does_not_exist_is_named() {
    let a = Namespace::new("a");
    let mut netlink = a.netlink();
    let errors = [
        netlink.link_by_name("eth7").unwrap_err(),
        netlink.link_by_index(NO_SUCH_DEVICE).unwrap_err(),
        netlink.set_link(NO_SUCH_DEVICE, &LinkChange::up()).unwrap_err(),
        netlink.delete_link(NO_SUCH_DEVICE).unwrap_err(),
        netlink.set_pfifo(NO_SUCH_DEVICE, 10).unwrap_err(),
    ];
    for error in errors {
        assert_eq!(error.kind(), &ErrorKind::NoDevice, "{error}");
        assert!(error.is_absent() && error.to_string().contains(a.name()), "{error}");
        assert!(error.to_string().contains("eth7") || error.to_string().contains("device 2147418112"), "{error}");
    }
    assert_eq!(netlink.find_link("eth7").unwrap(), None);
}

#[test]
fn refused_changes_say_why() {
    let a = Namespace::new("a");
    let mut netlink = a.netlink();
    let index = plain_pair(&mut netlink, "near", "far").near;
    let mut refused = |change: LinkChange| netlink.set_link(index, &change).unwrap_err();
    let error = refused(LinkChange { mtu: Some(1 << 20), ..LinkChange::default() });
    assert_eq!(error.kind(), &ErrorKind::Invalid, "{error}");
    // The kernel's own words come along.
    assert!(error.to_string().contains("mtu greater than device maximum"), "{error}");
    let error = refused(LinkChange { alias: Some("x".repeat(256)), ..LinkChange::default() });
    assert!(matches!(error.kind(), ErrorKind::BadName(_)), "{error}");
    let error = refused(LinkChange { name: Some("far".to_owned()), ..LinkChange::default() });
    assert!(error.is_taken(), "{error}");
    let error = refused(LinkChange { name: Some("a b".to_owned()), ..LinkChange::default() });
    assert!(matches!(error.kind(), ErrorKind::BadName(_)), "{error}");
}

#[test]
fn an_end_takes_its_peer_along() {
    let (a, b) = (Namespace::new("a"), Namespace::new("b"));
    let mut netlink = a.netlink();
    let far = VethEnd { netns: Some(&b), ..VethEnd::named("eth0") };
    let pair = netlink.create_veth(&VethEnd::named("near"), &far).unwrap();
    netlink.delete_link(pair.near).unwrap();
    assert_eq!(b.netlink().find_link("eth0").unwrap(), None);
    assert!(netlink.delete_link(pair.near).unwrap_err().is_absent());
}

#[test]
fn a_bridge_joins_its_ports() {
    let (node, a, b) = (Namespace::new("node"), Namespace::new("a"), Namespace::new("b"));
    let mut netlink = node.netlink();
    let bridge = netlink.create_bridge("br0").unwrap();
    assert!(netlink.create_bridge("br0").unwrap_err().is_taken());
    netlink.set_link(bridge, &LinkChange::up()).unwrap();
    for (port, pod, address) in [("port-a", &a, "10.1.0.1/24"), ("port-b", &b, "10.1.0.2/24")] {
        let far = VethEnd { netns: Some(pod), ..VethEnd::named("eth0") };
        let pair = netlink.create_veth(&VethEnd::named(port), &far).unwrap();
        let join = LinkChange { master: Some(Some(bridge)), ..LinkChange::up() };
        netlink.set_link(pair.near, &join).unwrap();
        assert_eq!(netlink.link_by_index(pair.near).unwrap().master, Some(bridge));
        let mut inside = pod.netlink();
        inside.add_address(pair.far, &AddressSpec::with_prefix_route(address.parse().unwrap())).unwrap();
        inside.set_link(pair.far, &LinkChange::up()).unwrap();
    }
    output(&a, "ping -c 1 -W 10 10.1.0.2");

    let port = netlink.link_by_name("port-a").unwrap().index;
    netlink.set_link(port, &LinkChange { master: Some(None), ..LinkChange::default() }).unwrap();
    assert_eq!(netlink.link_by_index(port).unwrap().master, None);
}

#[test]
fn a_queue_is_put_on_a_device_and_taken_away() {
    let a = Namespace::new("a");
    let mut netlink = a.netlink();
    let index = plain_pair(&mut netlink, "near", "far").near;
    netlink.set_link(index, &LinkChange::up()).unwrap();
    assert_eq!(netlink.link_by_index(index).unwrap().qdisc, "noqueue");
    for limit in [500, 1000] {
        netlink.set_pfifo(index, limit).unwrap();
        assert_eq!(netlink.link_by_index(index).unwrap().qdisc, "pfifo");
        let told = output(&a, "tc qdisc show dev near");
        assert!(told.contains("pfifo") && told.contains(&format!("limit {limit}p")), "{told}");
    }
    let queues = netlink.qdiscs().unwrap();
    assert!(queues.iter().any(|queue| queue.link == index && queue.kind == "pfifo"), "{queues:?}");
    netlink.delete_qdisc(index).unwrap();
    assert_eq!(netlink.link_by_index(index).unwrap().qdisc, "noqueue");
    let error = netlink.delete_qdisc(index).unwrap_err();
    assert_eq!(error.kind(), &ErrorKind::NotFound, "{error}");
}
