use sluice_host::offload::{self, Feature};
use sluice_host::{ErrorKind, LinkIndex, Netlink};
use sluice_netns::Namespace;

use crate::{NO_SUCH_DEVICE, output, plain_pair};

fn device(space: &Namespace) -> (Netlink, LinkIndex) {
    let mut netlink = space.netlink();
    let index = plain_pair(&mut netlink, "eth0", "far").near;
    (netlink, index)
}

#[test]
fn a_pods_offloads_are_switched_as_ethtool_tells() {
    let a = Namespace::new("a");
    let (mut netlink, index) = device(&a);
    for on in [false, true, false] {
        let mut wanted = vec![
            (offload::TX_CHECKSUM, true),
            (offload::TX_CHECKSUM_SCTP, on),
            (offload::TX_UDP_SEGMENTATION, on),
            (offload::GRO, on),
        ];
        wanted.extend(offload::TCP_SEGMENTATION.map(|feature| (feature, on)));
        offload::set(&mut netlink, index, &wanted).unwrap();
        let features = offload::get(&mut netlink, index).unwrap();
        let told = output(&a, "ethtool -k eth0");
        for (feature, on) in wanted {
            assert_eq!(features.is_on(feature), on, "{feature:?}");
            // ethtool has names of its own for a few that are older than the kernel's list.
            let name = if feature == offload::GRO { "generic-receive-offload" } else { feature.name() };
            let line = format!("{name}: {}", if on { "on" } else { "off" });
            assert!(told.lines().any(|told| told.trim() == line), "{line}: {told}");
        }
    }
}

#[test]
fn what_was_not_named_stays() {
    let a = Namespace::new("a");
    let (mut netlink, index) = device(&a);
    let before = offload::get(&mut netlink, index).unwrap();
    assert!(before.iter().count() > 40);
    offload::set(&mut netlink, index, &[(offload::TX_UDP_SEGMENTATION, false)]).unwrap();
    let after = offload::get(&mut netlink, index).unwrap();
    let changed: Vec<_> = before.iter().zip(after.iter()).filter(|(b, a)| b != a).map(|(b, _)| b.0).collect();
    assert_eq!(changed, [offload::TX_UDP_SEGMENTATION.name()]);
    offload::set(&mut netlink, index, &[]).unwrap();
    assert_eq!(offload::get(&mut netlink, index).unwrap(), after);
}

#[test]
fn a_feature_the_device_does_not_take_is_named() {
    let a = Namespace::new("a");
    let (mut netlink, index) = device(&a);
    // Segmentation cannot stay on without checksums.
    let wanted = [(offload::TX_CHECKSUM, false), (offload::TX_TCP_SEGMENTATION, true)];
    let error = offload::set(&mut netlink, index, &wanted).unwrap_err();
    assert_eq!(error.kind(), &ErrorKind::NotApplied { feature: "tx-tcp-segmentation" }, "{error}");
    assert!(error.to_string().contains("tx-checksum-ip-generic off, tx-tcp-segmentation on"), "{error}");

    let features = offload::get(&mut netlink, index).unwrap();
    let fixed = features.get(Feature::named("rx-fcs")).unwrap();
    assert!(!fixed.active && !fixed.changeable);
    let error = offload::set(&mut netlink, index, &[(Feature::named("rx-fcs"), true)]).unwrap_err();
    assert_eq!(error.kind(), &ErrorKind::NotApplied { feature: "rx-fcs" }, "{error}");
}

#[test]
fn unknown_features_and_devices_are_refused() {
    let a = Namespace::new("a");
    let (mut netlink, index) = device(&a);
    let error = offload::set(&mut netlink, index, &[(Feature::named("tx-no-such"), true)]).unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::Invalid | ErrorKind::NotSupported), "{error}");
    assert!(error.to_string().contains("tx-no-such on"), "{error}");
    for error in [
        offload::get(&mut netlink, NO_SUCH_DEVICE).unwrap_err(),
        offload::set(&mut netlink, NO_SUCH_DEVICE, &[(offload::GRO, true)]).unwrap_err(),
    ] {
        assert_eq!(error.kind(), &ErrorKind::NoDevice, "{error}");
    }
}
