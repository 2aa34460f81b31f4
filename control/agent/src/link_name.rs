//! Names and hardware addresses of a pod's devices, derived from the attachment so that a restart finds them again.

use sluice_cni_protocol::AttachmentId;
use sluice_wire::MacAddr;

/// Start of every pod device's name on the node's side.
const PREFIX: &str = "slu";
/// Hex digits behind the prefix: together 14 of the 15 bytes that a name may have.
const DIGITS: usize = 11;

/// Name of the node's end of the veth: `slu` and 11 hex digits, 44 bits of a hash of container id and interface name.
pub(crate) fn host_link_name(attachment: &AttachmentId) -> String {
    let hash = hash(attachment) >> (64 - 4 * DIGITS);
    format!("{PREFIX}{hash:0DIGITS$x}")
}

/// Whether a device of this name can only be the node's end of a pod's veth.
pub(crate) fn is_host_link_name(name: &str) -> bool {
    name.strip_prefix(PREFIX)
        .is_some_and(|digits| digits.len() == DIGITS && digits.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')))
}

/// Hardware address of the pod's end: locally administered, unicast, and not in the gateway's range (02:53).
pub(crate) fn pod_mac(attachment: &AttachmentId) -> MacAddr {
    let [_, b, c, d, e, f, ..] = hash(attachment).to_be_bytes();
    MacAddr([0x0a, b, c, d, e, f])
}

/// FNV-1a, 64 bits. It must never change: the names of devices that are in use depend on it.
fn hash(attachment: &AttachmentId) -> u64 {
    let container = attachment.container_id.as_str().bytes();
    // The byte 0 is in neither name, so no two pairs run together.
    let all = container.chain([0]).chain(attachment.ifname.as_str().bytes());
    all.fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn attachment(container: &str, ifname: &str) -> AttachmentId {
        AttachmentId {
            container_id: container.to_owned().try_into().unwrap(),
            ifname: ifname.to_owned().try_into().unwrap(),
        }
    }

    #[test]
    fn names_are_stable_and_recognised() {
        let name = host_link_name(&attachment("c1", "eth0"));
        assert_eq!(name, host_link_name(&attachment("c1", "eth0")));
        assert_eq!(name.len(), 14);
        assert!(is_host_link_name(&name), "{name}");
        assert_ne!(name, host_link_name(&attachment("c1", "eth1")));
        assert_ne!(host_link_name(&attachment("c1e", "th0")), host_link_name(&attachment("c1", "eth0")));
    }

    #[test]
    fn other_devices_are_not_taken_for_pods() {
        for name in
            ["sluice_host", "sluice_port", "slu", "slu0123456789", "slu0123456789ABC", "slu0123456789aX", "eth0"]
        {
            assert!(!is_host_link_name(name), "{name}");
        }
    }

    #[test]
    fn macs_are_local_and_unicast() {
        for n in 0..100 {
            let mac = pod_mac(&attachment(&format!("c{n}"), "eth0"));
            assert_eq!(mac.0[0] & 3, 2, "{mac:?}");
            assert_ne!(mac, sluice_tables::GATEWAY_MAC);
        }
    }
}
