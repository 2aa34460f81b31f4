use std::net::IpAddr;

use sluice_host::{ErrorKind, LinkChange};
use sluice_netns::Namespace;
use sluice_wire::MacAddr;

use crate::{NO_SUCH_DEVICE, output, plain_pair};

#[test]
fn a_permanent_neighbour_is_set_replaced_and_forgotten() {
    let a = Namespace::new("a");
    let mut netlink = a.netlink();
    let index = plain_pair(&mut netlink, "eth0", "far").near;
    netlink.set_link(index, &LinkChange::up()).unwrap();
    for address in ["169.254.1.1", "fe80::1"].map(|text| text.parse::<IpAddr>().unwrap()) {
        for last in [1, 2] {
            let mac = MacAddr([2, 0x53, 0x4c, 0, 0, last]);
            netlink.add_neighbour(index, address, mac).unwrap();
            let all = netlink.neighbours().unwrap();
            let found = all.iter().find(|neighbour| neighbour.address == address).unwrap();
            assert_eq!((found.link, found.mac, found.permanent), (index, Some(mac), true));
        }
        let told = output(&a, &format!("ip neigh show {address}"));
        assert!(told.contains("dev eth0 lladdr 02:53:4c:00:00:02 PERMANENT"), "{told}");
        netlink.delete_neighbour(index, address).unwrap();
        let error = netlink.delete_neighbour(index, address).unwrap_err();
        assert_eq!(error.kind(), &ErrorKind::NotFound, "{error}");
        assert!(error.object().contains(&address.to_string()), "{error}");
        let error = netlink.add_neighbour(NO_SUCH_DEVICE, address, MacAddr([2, 0, 0, 0, 0, 1])).unwrap_err();
        assert_eq!(error.kind(), &ErrorKind::NoDevice, "{error}");
    }
}
