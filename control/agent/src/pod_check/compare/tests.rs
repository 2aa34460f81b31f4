//! One thing at a time is another than was told.

use serde_json::{Value, json};
use sluice_host::{LinkIndex, LinkKind};

use super::*;

const MAC: &str = "0a:00:00:00:00:07";

fn stored() -> StoredAttachment {
    serde_json::from_value(json!({"containerId": "c", "ifname": "eth0", "netns": "/run/netns/c",
        "hostVeth": "slu0000000000a", "mac": MAC, "addresses": ["10.1.0.2", "fd00::2"], "podNamespace": "default",
        "podName": "p", "podUid": null, "port": 1, "network": "sluice"}))
    .expect("an attachment")
}

fn told() -> Value {
    json!({
        "interfaces": [{"name": "slu0000000000a"}, {"name": "eth0", "mac": MAC, "mtu": 65000, "sandbox": "/run/netns/c"}],
        "ips": [{"address": "10.1.0.2/32", "interface": 1}, {"address": "fd00::2/128", "interface": 1}],
        "routes": [{"dst": "169.254.1.1/32", "mtu": 1500, "scope": 253},
            {"dst": "0.0.0.0/0", "gw": "169.254.1.1", "mtu": 1500}, {"dst": "::/0", "gw": "fe80::1", "mtu": 1500}],
    })
}

fn inside() -> Inside {
    let link = Link {
        index: LinkIndex(2),
        name: "eth0".into(),
        kind: LinkKind::Veth,
        mac: Some(MacAddr([0x0a, 0, 0, 0, 0, 7])),
        mtu: 65000,
        up: true,
        running: true,
        alias: None,
        master: None,
        peer: Some(LinkIndex(9)),
        peer_elsewhere: true,
        gso_max_size: 0,
        gso_ipv4_max_size: 0,
        tx_queues: 1,
        rx_queues: 1,
        qdisc: "noqueue".into(),
    };
    let nets = ["10.1.0.2/32", "fd00::2/128", "fe80::a/64"].map(|net| net.parse().expect("a network"));
    let gateway = |route: Route, gateway: std::net::IpAddr| Route { gateway: Some(gateway), mtu: Some(1500), ..route };
    let link_route = Route { mtu: Some(1500), ..Route::to(IpNet::from(std::net::IpAddr::from(GATEWAY_IPV4))) };
    let v4 = gateway(Route::default_v4(), GATEWAY_IPV4.into());
    let v6 = gateway(Route::default_v6(), GATEWAY_IPV6.into());
    Inside { link: Some(link), addresses: nets.to_vec(), routes: vec![link_route, v4, v6] }
}

fn shape() -> Shape {
    Shape { path_mtu: 1500, super_frames: true, wire_mtu: 0 }
}

fn compared(told: Value, inside: &Inside) -> Vec<String> {
    let told: AddResult = serde_json::from_value(told).expect("a result");
    differences(&told, &stored(), inside, shape())
}

#[track_caller]
fn differs(word: &str, change: impl FnOnce(&mut Value, &mut Inside)) {
    let (mut told, mut inside) = (told(), inside());
    change(&mut told, &mut inside);
    let found = compared(told, &inside);
    assert!(found.len() == 1 && found[0].contains(word), "{word}: {found:?}");
}

fn link(inside: &mut Inside) -> &mut Link {
    inside.link.as_mut().expect("it is there")
}

#[test]
fn a_pod_as_add_left_it_has_no_difference() {
    assert_eq!(compared(told(), &inside()), [] as [&str; 0]);
}

#[test]
fn a_result_in_an_older_shape_is_compared_in_what_it_says() {
    let told: AddResult = serde_json::from_value(told()).expect("a result");
    for version in sluice_cni_protocol::CniVersion::ALL {
        assert_eq!(compared(told.render(version), &inside()), [] as [&str; 0], "{version}");
    }
}

#[test]
fn each_thing_that_is_gone_or_another_is_told() {
    differs("eth0 is gone", |_, inside| inside.link = None);
    differs("is down", |_, inside| link(inside).up = false);
    differs("0a:00:00:00:00:08 and not", |_, inside| link(inside).mac = Some(MacAddr([0x0a, 0, 0, 0, 0, 8])));
    differs("takes packets of", |told, inside| {
        told["interfaces"][1]["mac"] = "0a:00:00:00:00:08".into();
        link(inside).mac = Some(MacAddr([0x0a, 0, 0, 0, 0, 8]));
    });
    differs("MTU of 65535", |_, inside| link(inside).mtu = 65535);
    differs("MTU of 65000 and not of 9000", |told, _| told["interfaces"][1]["mtu"] = 9000.into());
    differs("lacks its address 10.1.0.2", |_, inside| {
        inside.addresses.remove(0);
    });
    differs("lacks its address fd00::2", |_, inside| {
        inside.addresses.remove(1);
    });
    differs("lacks the route to 0.0.0.0/0 via 169.254.1.1", |_, inside| {
        inside.routes.remove(1);
    });
    differs("lacks the route to ::/0", |_, inside| {
        inside.routes.remove(2);
    });
    differs("lacks the route to 169.254.1.1", |_, inside| {
        inside.routes.remove(0);
    });
    differs("does not keep to the path MTU of 1500", |_, inside| inside.routes[1].mtu = None);
    differs("does not keep to the path MTU of 1500", |_, inside| inside.routes[2].mtu = Some(9000));
}

#[test]
fn a_result_of_another_attachment_is_told() {
    differs("no interface eth0", |told, _| told["interfaces"][1]["name"] = "net1".into());
    differs("does not list its address fd00::2", |told, _| drop(told["ips"].as_array_mut().expect("a list").remove(1)));
    differs("lacks the address 10.1.0.3", |told, _| {
        let ips = told["ips"].as_array_mut().expect("a list");
        ips.push(json!({"address": "10.1.0.3/32", "interface": 1}));
    });
}

#[test]
fn what_plugins_behind_ours_did_is_no_difference() {
    let (mut told, mut inside) = (told(), inside());
    // A device, an address and a route of their own, as they may be of another namespace, too.
    told["interfaces"].as_array_mut().expect("a list").push(json!({"name": "ifb0"}));
    told["ips"].as_array_mut().expect("a list").push(json!({"address": "192.0.2.9/24", "interface": 2}));
    told["ips"].as_array_mut().expect("a list").push(json!({"address": "10.9.0.9/24", "interface": 1}));
    told["routes"].as_array_mut().expect("a list").push(json!({"dst": "203.0.113.0/24", "gw": "192.0.2.1"}));
    inside.addresses.push("10.9.0.9/24".parse().expect("a network"));
    // A route in another table, smaller packets.
    inside.routes[1].table = 100;
    inside.routes[2].mtu = Some(1280);
    link(&mut inside).mtu = 1400;
    assert_eq!(compared(told.clone(), &inside), [] as [&str; 0]);
    // The default route that they took out of the result with the one in the pod.
    told["routes"].as_array_mut().expect("a list").remove(1);
    inside.routes.remove(1);
    assert_eq!(compared(told, &inside), [] as [&str; 0]);
}
