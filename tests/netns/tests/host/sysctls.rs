use sluice_host::{ErrorKind, sysctl};
use sluice_netns::Namespace;

use crate::{output, plain_pair};

const KEY: &str = "net/ipv4/ip_forward";

#[test]
fn a_setting_reaches_its_namespace_and_no_other() {
    let (a, b) = (Namespace::new("a"), Namespace::new("b"));
    let outside = sysctl::get(KEY).unwrap();
    for value in ["1", "0", "1"] {
        sysctl::set_in(&a, &[(KEY, value)]).unwrap();
        assert_eq!(a.run(|| sysctl::get(KEY)).unwrap().unwrap(), value);
        assert_eq!(output(&a, "cat /proc/sys/net/ipv4/ip_forward").trim(), value);
        assert_eq!(b.run(|| sysctl::get(KEY)).unwrap().unwrap(), "0");
        assert_eq!(sysctl::get(KEY).unwrap(), outside);
    }
}

#[test]
fn a_devices_settings_are_those_of_its_namespace() {
    let (a, b) = (Namespace::new("a"), Namespace::new("b"));
    // A device of that name in each: the key must find the right one.
    for space in [&a, &b] {
        plain_pair(&mut space.netlink(), "eth0.1", "far");
    }
    let key = "net/ipv4/conf/eth0.1/rp_filter";
    let before = b.run(|| sysctl::get(key)).unwrap().unwrap();
    sysctl::set_in(&a, &[(key, "2"), ("net/ipv6/conf/eth0.1/accept_ra", "0")]).unwrap();
    assert_eq!(a.run(|| sysctl::get(key)).unwrap().unwrap(), "2");
    assert_eq!(b.run(|| sysctl::get(key)).unwrap().unwrap(), before);
}

#[test]
fn a_missing_key_or_a_refused_value_is_named() {
    let a = Namespace::new("a");
    let error = sysctl::set_in(&a, &[("net/ipv4/conf/eth9/rp_filter", "0")]).unwrap_err();
    assert_eq!(error.kind(), &ErrorKind::NotFound, "{error}");
    assert!(error.to_string().contains("eth9") && error.to_string().contains(a.name()), "{error}");
    let error = sysctl::set_in(&a, &[(KEY, "yes")]).unwrap_err();
    assert_eq!(error.kind(), &ErrorKind::Invalid, "{error}");
    assert!(error.to_string().contains("net/ipv4/ip_forward=yes"), "{error}");
    let error = a.run(|| sysctl::get("net/../kernel/hostname")).unwrap().unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::BadName(_)), "{error}");
}
