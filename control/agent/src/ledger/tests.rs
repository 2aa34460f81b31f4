//! What is entered, kept and given back, over restarts and changes of the podCIDRs.

use super::*;
use crate::state::Requested;

fn wanted(container: &str) -> Wanted {
    Wanted {
        attachment: id(container),
        netns: "/run/netns/x".into(),
        pod: PodIdentity::from_args("", "pod").unwrap(),
        network: "sluice".into(),
        wishes: Wishes::default(),
    }
}

fn id(container: &str) -> AttachmentId {
    AttachmentId {
        container_id: container.to_owned().try_into().unwrap(),
        ifname: "eth0".to_owned().try_into().unwrap(),
    }
}

fn nets(networks: &[&str]) -> Vec<IpNet> {
    networks.iter().map(|n| n.parse().unwrap()).collect()
}

fn ledger(dir: &tempfile::TempDir, networks: &[&str]) -> Ledger {
    let file = StateFile::open(dir.path()).unwrap();
    let state = file.load().unwrap().unwrap_or_default();
    let ledger = Ledger::restore(file, state).unwrap();
    ledger.set_networks(&nets(networks)).unwrap();
    ledger
}

#[test]
fn an_add_under_way_is_not_stored_and_what_is_stored_keeps_its_address() {
    let dir = tempfile::tempdir().unwrap();
    let before = ledger(&dir, &["10.0.0.0/24"]);
    before.reserve(wanted("a")).unwrap();
    let b = before.reserve(wanted("b")).unwrap();
    before.set_phase(&id("b"), Phase::Live);
    before.save().unwrap();
    let after = ledger(&dir, &["10.0.0.0/24"]);
    assert_eq!(after.all(), [(id("b"), b.clone(), Phase::Kept)]);
    assert!(after.live().is_empty());
    let c = after.reserve(wanted("c")).unwrap();
    assert_ne!(c.addresses, b.addresses);
    assert_ne!(c.port, b.port);
}

#[test]
fn an_attachment_is_entered_once_and_can_be_entered_again_after() {
    let dir = tempfile::tempdir().unwrap();
    let ledger = ledger(&dir, &["10.0.0.0/24"]);
    ledger.reserve(wanted("a")).unwrap();
    assert!(matches!(ledger.reserve(wanted("a")), Err(LedgerError::Exists(_))));
    ledger.forget(&id("a"));
    ledger.forget(&id("a"));
    ledger.reserve(wanted("a")).unwrap();
}

#[test]
fn a_full_range_is_refused_and_a_release_makes_room() {
    let dir = tempfile::tempdir().unwrap();
    let ledger = ledger(&dir, &["10.0.0.0/29"]);
    for n in 0..5 {
        ledger.reserve(wanted(&format!("c{n}"))).unwrap();
    }
    assert!(matches!(ledger.reserve(wanted("x")), Err(LedgerError::Address(IpamError::Full { .. }))));
    ledger.forget(&id("c0"));
    ledger.reserve(wanted("x")).unwrap();
}

#[test]
fn without_podcidrs_there_is_no_address_until_they_come() {
    let dir = tempfile::tempdir().unwrap();
    let ledger = ledger(&dir, &[]);
    assert!(matches!(ledger.reserve(wanted("a")), Err(LedgerError::Address(IpamError::NoNetworks))));
    ledger.set_networks(&nets(&["10.0.0.0/24", "fd00::/64"])).unwrap();
    assert_eq!(ledger.reserve(wanted("a")).unwrap().addresses.len(), 2);
}

#[test]
fn an_address_outside_of_changed_podcidrs_stays_with_its_pod() {
    let dir = tempfile::tempdir().unwrap();
    let ledger = ledger(&dir, &["10.0.0.0/24"]);
    let a = ledger.reserve(wanted("a")).unwrap();
    ledger.set_networks(&nets(&["10.1.0.0/24"])).unwrap();
    assert_eq!(ledger.get(&id("a")).unwrap(), a);
    ledger.forget(&id("a"));
    assert_eq!(ledger.usage()[0].in_use, 0);
}

#[test]
fn what_was_cooling_is_not_given_out_first_after_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let before = ledger(&dir, &["10.0.0.0/29"]);
    let a = before.reserve(wanted("a")).unwrap();
    before.forget(&id("a"));
    before.save().unwrap();
    // A start that ends before the podCIDRs are known must not forget it either.
    ledger(&dir, &[]).save().unwrap();
    let after = ledger(&dir, &["10.0.0.0/29"]);
    for n in 0..4 {
        assert_ne!(after.reserve(wanted(&format!("c{n}"))).unwrap().addresses, a.addresses);
    }
    assert_eq!(after.reserve(wanted("last")).unwrap().addresses, a.addresses);
}

#[test]
fn a_save_that_has_nothing_new_writes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let ledger = ledger(&dir, &["10.0.0.0/24"]);
    ledger.save().unwrap();
    std::fs::remove_file(dir.path().join("state.json")).unwrap();
    ledger.save().unwrap();
    assert!(!dir.path().join("state.json").exists());
}

/// Two names whose hashes agree in the bits that the device's name has.
const ONE_HASH: [&str; 2] = ["c102288", "c9839957"];

#[test]
fn two_attachments_never_have_one_device() {
    let [first, second] = ONE_HASH;
    assert_eq!(host_link_name(&id(first)), host_link_name(&id(second)));
    let dir = tempfile::tempdir().unwrap();
    let ledger = ledger(&dir, &["10.0.0.0/24"]);
    let link = ledger.reserve(wanted(first)).unwrap().host_veth;
    let refused = ledger.reserve(wanted(second)).unwrap_err();
    assert!(matches!(&refused, LedgerError::LinkTaken { owner, .. } if *owner == id(first)), "{refused}");
    assert_eq!(ledger.usage()[0].in_use, 1);
    assert_eq!(ledger.owner_of_link(&link), Some(id(first)));
    ledger.forget(&id(first));
    assert_eq!(ledger.owner_of_link(&link), None);
    ledger.reserve(wanted(second)).unwrap();
}

#[test]
fn ports_that_no_pod_can_have_are_numbered_anew_and_devices_that_are_not_ours_are_left_out() {
    let dir = tempfile::tempdir().unwrap();
    let before = ledger(&dir, &["10.0.0.0/24"]);
    let stored: Vec<_> = ["a", "b", "c", "d"].iter().map(|name| before.reserve(wanted(name)).unwrap()).collect();
    let [a, b, c, d] = stored.try_into().unwrap();
    let attachments = vec![
        StoredAttachment { port: HOST_PORT.0, ..a },
        StoredAttachment { port: u16::MAX, ..b },
        StoredAttachment { port: 7, ..c },
        StoredAttachment { host_veth: "eth0".into(), ..d },
    ];
    let file = StateFile::open(dir.path()).unwrap();
    let after = Ledger::restore(file, State { attachments, cooling: Vec::new() }).unwrap();
    let ports: Vec<u16> = after.all().iter().map(|(_, stored, _)| stored.port).collect();
    assert_eq!(ports.len(), 3);
    assert_eq!(ports[2], 7);
    assert!(ports.iter().all(|port| (1..=LAST_POD_PORT).contains(port)) && ports[0] != ports[1], "{ports:?}");
}

fn mapped(container: &str, mappings: serde_json::Value) -> Wanted {
    let port_mappings = serde_json::from_value(mappings).expect("port mappings");
    let requested = Requested { port_mappings, ..Requested::default() };
    Wanted { wishes: Wishes { requested, ..Wishes::default() }, ..wanted(container) }
}

#[test]
fn a_port_of_the_node_is_one_pods_until_that_goes() {
    let dir = tempfile::tempdir().unwrap();
    let ledger = ledger(&dir, &["10.0.0.0/24"]);
    let one = |host_ip: &str, protocol: &str| serde_json::json!([{"hostIP": host_ip, "hostPort": 80, "protocol": protocol, "containerPort": 8080}]);
    ledger.reserve(mapped("a", one("192.0.2.1", "tcp"))).unwrap();
    for (container, host_ip, protocol) in [("b", "192.0.2.2", "tcp"), ("c", "192.0.2.1", "udp"), ("d", "::", "tcp")] {
        ledger.reserve(mapped(container, one(host_ip, protocol))).unwrap();
    }
    let before = ledger.usage();
    let refused = ledger.reserve(mapped("e", one("0.0.0.0", "tcp"))).unwrap_err();
    assert!(matches!(refused, LedgerError::HostPortTaken { .. }), "{refused}");
    let told = refused.to_string();
    assert!(told.contains("0.0.0.0:80/TCP") && told.contains("a/eth0"), "{told}");
    assert_eq!(ledger.usage(), before, "no address was taken for it");
    ledger.forget(&id("a"));
    ledger.forget(&id("b"));
    ledger.reserve(mapped("e", one("0.0.0.0", "tcp"))).unwrap();
}

#[test]
fn addresses_and_the_mac_that_were_asked_for_are_given_once() {
    let dir = tempfile::tempdir().unwrap();
    let ledger = ledger(&dir, &["10.0.0.0/24", "fd00::/64"]);
    let ask = |container: &str, address: &str| {
        let wishes =
            Wishes { addresses: vec![address.parse().unwrap()], mac: Some([2, 0, 0, 0, 0, 9]), ..Wishes::default() };
        ledger.reserve(Wanted { wishes, ..wanted(container) })
    };
    let given = ask("a", "10.0.0.77").unwrap();
    assert_eq!((given.addresses[0].to_string().as_str(), given.addresses.len()), ("10.0.0.77", 2));
    assert_eq!(given.mac, [2, 0, 0, 0, 0, 9]);
    assert!(matches!(ask("b", "10.0.0.77"), Err(LedgerError::Address(IpamError::InUse(_)))));
    assert!(matches!(ask("b", "10.9.0.77"), Err(LedgerError::Address(IpamError::Outside { .. }))));
    assert!(matches!(ask("b", "10.0.0.1"), Err(LedgerError::Address(IpamError::Reserved { .. }))));
}

#[test]
fn a_networks_attachments_are_told_apart_by_its_name() {
    let dir = tempfile::tempdir().unwrap();
    let ledger = ledger(&dir, &["10.0.0.0/24"]);
    ledger.reserve(wanted("a")).unwrap();
    ledger.reserve(Wanted { network: "other".into(), ..wanted("b") }).unwrap();
    assert_eq!(ledger.of_network("sluice"), [id("a")]);
    assert_eq!(ledger.of_network("other"), [id("b")]);
    assert_eq!(ledger.of_network("nobody's"), []);
}
