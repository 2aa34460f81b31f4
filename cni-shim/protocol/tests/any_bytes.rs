//! Messages and network configurations of any bytes: what holds for each. The fuzz target `cni` calls the same function.

use serde_json::Value;
use sluice_cni_protocol::frame::{self, MAX_ANSWER, MAX_REQUEST};
use sluice_cni_protocol::result::{Dns, Interface, IpConfig};
use sluice_cni_protocol::{
    AddResult, AddSettings, CniError, CniVersion, Envelope, Garbage, NetworkConfig, PortMapping, Request, Response,
    RuntimeConfig,
};

/// Reads the bytes as a message with its length in front, as one without, and as a network configuration.
pub fn exercise(bytes: &[u8]) {
    if let Ok(envelope) = frame::read::<Envelope>(&mut &bytes[..], MAX_REQUEST) {
        request(&envelope);
    }
    if let Ok(envelope) = frame::decode::<Envelope>(bytes) {
        request(&envelope);
    }
    if let Ok(response) = frame::decode::<Response>(bytes) {
        let again = frame::encode(&response, MAX_ANSWER).expect("it came in a shorter message");
        assert_eq!(frame::read::<Response>(&mut again.as_slice(), MAX_ANSWER).expect("our own"), response);
    }
    if let Err(error) = NetworkConfig::parse(bytes) {
        assert!(CniError::from(error).code != 0);
    }
    if let Ok(value) = serde_json::from_slice(bytes) {
        configuration(&value);
    }
}

fn request(envelope: &Envelope) {
    let again = frame::encode(envelope, MAX_ANSWER).expect("it came in a shorter message");
    assert_eq!(&frame::read::<Envelope>(&mut again.as_slice(), MAX_ANSWER).expect("our own"), envelope);
    if let Request::Cni(request) = &envelope.request {
        let (container, ifname) = (request.attachment.container_id.as_str(), request.attachment.ifname.as_str());
        // They become names of files and devices.
        assert!(!container.is_empty() && !container.starts_with('.') && !container.contains(['/', '@', '\0']));
        assert!(!ifname.is_empty() && ifname.len() < 16 && !ifname.contains(['/', '\0']));
        configuration(&request.config);
    }
}

fn configuration(value: &Value) {
    let Ok(NetworkConfig { run_dir, state_dir, .. }) = NetworkConfig::from_value(value) else { return };
    assert!(run_dir.is_absolute() && state_dir.is_absolute());
    if let Ok(Garbage { valid }) = Garbage::from_value(value) {
        assert!(valid.iter().all(|id| !id.container_id.as_str().contains('/')));
    }
    let Ok(AddSettings { dns, prev_result, runtime, .. }) = AddSettings::from_value(value) else { return };
    capabilities(&runtime);
    let before = prev_result.unwrap_or_default();
    let (interfaces, ips) = (before.interfaces.len(), before.ips.clone());
    let whole = before.extended_by(ours(dns));
    assert_eq!(whole.ips[..ips.len()], ips, "what came before is handed on as it is");
    assert_eq!(whole.ips[ips.len()].interface, Some(interfaces));
    for version in CniVersion::ALL {
        let rendered = whole.render(version);
        assert_eq!(rendered["cniVersion"], version.as_str());
        let again: AddResult = serde_json::from_value(rendered).expect("the next plugin's prevResult");
        assert_eq!(again.ips, whole.ips);
        if version == CniVersion::V1_1_0 {
            assert_eq!(again, whole, "the newest shape has everything");
        }
    }
}

/// What becomes ports of the node, addresses and limits.
fn capabilities(runtime: &RuntimeConfig) {
    let RuntimeConfig { port_mappings, bandwidth, ips, mac, dns: _ } = runtime;
    for (at, one) in port_mappings.iter().enumerate() {
        assert!(one.host_port > 0 && one.container_port > 0);
        assert!(port_mappings[..at].iter().all(|other| !other.overlaps(one)));
    }
    let again = serde_json::to_value(port_mappings).and_then(serde_json::from_value::<Vec<PortMapping>>);
    assert_eq!(&again.expect("they are kept on disk"), port_mappings);
    assert!(ips.len() <= 2 && mac.is_none_or(|mac| mac[0] & 1 == 0));
    assert!(bandwidth.is_none_or(|both| both.ingress.or(both.egress).is_some()));
}

/// A result as the agent makes it.
fn ours(dns: Dns) -> AddResult {
    let ip = IpConfig { address: "10.0.0.2/32".parse().expect("an address"), gateway: None, interface: Some(0) };
    AddResult { interfaces: vec![Interface::default()], ips: vec![ip], routes: Vec::new(), dns }
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;
    use proptest::sample::{Index, select};

    use super::*;

    const ADD: &[u8] = include_bytes!("../../../tests/fuzz/corpus/cni/add");
    const CONFIGURATION: &[u8] = include_bytes!("../../../tests/fuzz/corpus/cni/configuration");
    const BYTES: &[u8] = b"{}[]:,\"\\\0 0129-.eE/azn\xff";

    #[test]
    fn the_good_ones_are_good() {
        frame::read::<Envelope>(&mut &ADD[..], MAX_REQUEST).unwrap();
        let value: Value = serde_json::from_slice(CONFIGURATION).unwrap();
        NetworkConfig::from_value(&value).unwrap();
        assert!(AddSettings::from_value(&value).unwrap().prev_result.is_some());
        exercise(ADD);
        exercise(CONFIGURATION);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(500))]
        #[test]
        fn any_bytes_are_read_or_refused(bytes in vec(any::<u8>(), 0..200)) {
            exercise(&bytes);
        }

        #[test]
        fn good_ones_with_changes_are_read_or_refused(
            good in select(vec![ADD, CONFIGURATION]),
            changes in vec((any::<Index>(), select(BYTES)), 1..6),
            from in any::<Index>(),
            cut in 0..40usize,
        ) {
            let mut bytes = good.to_vec();
            for (at, byte) in changes {
                let at = at.index(bytes.len());
                bytes[at] = byte;
            }
            let from = from.index(bytes.len());
            bytes.drain(from..(from + cut).min(bytes.len()));
            exercise(&bytes);
        }
    }
}
