//! Ports of the node that lead to pods, in the words of the model.

use std::net::IpAddr;

use sluice_cni_protocol::TransportProtocol;
use sluice_model::{Attachment, PortMapping, Protocol};
use sluice_tables::Backend;

use crate::state::StoredAttachment;

/// The port mappings of all attachments, one for each address of a pod that they lead to. `attachments` are those of `attached`,
/// in their order. Those at the node's loopback addresses lead nowhere: what the node sends there does not pass the switch.
pub(super) fn port_mappings(attached: &[StoredAttachment], attachments: &[Attachment]) -> Vec<PortMapping> {
    let mut mappings = Vec::new();
    for (stored, Attachment { pod, addresses, .. }) in attached.iter().zip(attachments) {
        for wanted in &stored.requested.port_mappings {
            let at = wanted.host_ip.filter(|ip| !ip.is_unspecified());
            if at.is_some_and(|ip| ip.is_loopback()) {
                continue;
            }
            let backend = |address: IpAddr| Backend { address, port: wanted.container_port };
            mappings.extend(addresses.iter().filter(|address| wanted.is_of_family(**address)).map(|address| {
                PortMapping {
                    pod: pod.clone(),
                    at,
                    port: wanted.host_port,
                    protocol: match wanted.protocol {
                        TransportProtocol::Tcp => Protocol::Tcp,
                        TransportProtocol::Udp => Protocol::Udp,
                        TransportProtocol::Sctp => Protocol::Sctp,
                    },
                    backend: backend(*address),
                }
            }));
        }
    }
    mappings
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use sluice_model::{ContainerId, PodName};
    use sluice_tables::{PortId, WorkerId};
    use sluice_wire::MacAddr;

    use super::*;

    fn of(mappings: serde_json::Value) -> Vec<String> {
        let stored: StoredAttachment = serde_json::from_value(json!({"containerId": "c", "ifname": "eth0", "netns": "/n",
            "hostVeth": "slu0", "mac": "02:00:00:00:00:01", "addresses": ["10.1.0.2", "fd00::2"], "podNamespace": "default",
            "podName": "p", "podUid": null, "port": 1, "network": "n", "requested": {"portMappings": mappings}}))
        .expect("an attachment");
        let attachment = Attachment {
            container: ContainerId::new("c"),
            pod: PodName::parse("default", "p").expect("a name"),
            port: PortId(1),
            worker: WorkerId(0),
            mac: MacAddr(stored.mac),
            addresses: stored.addresses.clone(),
            path_mtu: 1500,
            max_l3_len: 1500,
        };
        let text = |one: PortMapping| {
            let Backend { address, port } = one.backend;
            format!(
                "{} {}/{} {address} {port}",
                one.at.map_or("any".into(), |at| at.to_string()),
                one.port,
                one.protocol
            )
        };
        port_mappings(&[stored], &[attachment]).into_iter().map(text).collect()
    }

    #[test]
    fn a_mapping_leads_to_the_addresses_of_its_family() {
        let mapping =
            |host_ip: &str| json!([{"hostIP": host_ip, "hostPort": 80, "protocol": "udp", "containerPort": 8080}]);
        let anywhere = json!([{"hostPort": 80, "protocol": "tcp", "containerPort": 8080}]);
        assert_eq!(of(anywhere), ["any 80/TCP 10.1.0.2 8080", "any 80/TCP fd00::2 8080"]);
        assert_eq!(of(mapping("0.0.0.0")), ["any 80/UDP 10.1.0.2 8080"]);
        assert_eq!(of(mapping("::")), ["any 80/UDP fd00::2 8080"]);
        assert_eq!(of(mapping("192.0.2.1")), ["192.0.2.1 80/UDP 10.1.0.2 8080"]);
        assert_eq!(of(mapping("127.0.0.1")), [] as [&str; 0]);
    }
}
