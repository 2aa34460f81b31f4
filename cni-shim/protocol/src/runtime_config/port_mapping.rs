//! The capability `portMappings`: ports of the node that lead to a container (Kubernetes' `hostPort`).

use std::fmt;
use std::net::IpAddr;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::field;
use crate::config::{ConfigError, invalid};

const KEY: &str = "runtimeConfig.portMappings";

/// A port of the node that leads to a port of one container.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PortMapping {
    /// The node's address; none for all of them, `0.0.0.0` or `::` for all of one family.
    #[serde(default, rename = "hostIP", skip_serializing_if = "Option::is_none")]
    pub host_ip: Option<IpAddr>,
    /// The node's port, from 1.
    pub host_port: u16,
    /// The protocol of both.
    pub protocol: TransportProtocol,
    /// The container's port, from 1.
    pub container_port: u16,
}

/// A protocol with ports.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TransportProtocol {
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
    /// SCTP.
    Sctp,
}

impl TransportProtocol {
    /// The protocol as Kubernetes writes it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Tcp => "TCP",
            Self::Udp => "UDP",
            Self::Sctp => "SCTP",
        }
    }
}

impl fmt::Display for PortMapping {
    /// The node's side, as `192.0.2.1:8080/TCP`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let protocol = self.protocol.as_str();
        match self.host_ip {
            None => write!(f, "{}/{protocol}", self.host_port),
            Some(IpAddr::V4(v4)) => write!(f, "{v4}:{}/{protocol}", self.host_port),
            Some(IpAddr::V6(v6)) => write!(f, "[{v6}]:{}/{protocol}", self.host_port),
        }
    }
}

impl PortMapping {
    /// Whether some packet could be meant for both.
    pub fn overlaps(&self, other: &Self) -> bool {
        let one_address = match (self.host_ip, other.host_ip) {
            (None, _) | (_, None) => true,
            (Some(a), Some(b)) => a == b || (a.is_ipv4() == b.is_ipv4() && (a.is_unspecified() || b.is_unspecified())),
        };
        one_address && self.host_port == other.host_port && self.protocol == other.protocol
    }

    /// Whether it leads to a container's address: those of the other family are another's, if `host_ip` says one.
    pub fn is_of_family(&self, address: IpAddr) -> bool {
        self.host_ip.is_none_or(|host| host.is_ipv4() == address.is_ipv4())
    }
}

/// The list as it is written, without any two that overlap.
pub(super) fn read(listed: Option<&Value>) -> Result<Vec<PortMapping>, ConfigError> {
    let Some(listed) = listed else { return Ok(Vec::new()) };
    let listed = listed.as_array().ok_or_else(|| invalid(KEY, "a list of port mappings", listed))?;
    let mut mappings: Vec<PortMapping> = Vec::with_capacity(listed.len());
    for one in listed {
        let keys = one.as_object().ok_or_else(|| invalid(KEY, "a list of objects", one))?;
        let mapping = PortMapping {
            host_ip: host_ip(keys)?,
            host_port: port(keys, "hostPort", one)?,
            protocol: protocol(keys)?,
            container_port: port(keys, "containerPort", one)?,
        };
        if mappings.iter().any(|other| other.overlaps(&mapping)) {
            return Err(invalid(KEY, "a list in which each port of the node is there once", one));
        }
        mappings.push(mapping);
    }
    Ok(mappings)
}

fn port(keys: &Map<String, Value>, name: &'static str, whole: &Value) -> Result<u16, ConfigError> {
    let wanted = "a list of objects with hostPort and containerPort from 1 to 65535";
    let given = field(keys, name).ok_or_else(|| invalid(KEY, wanted, whole))?;
    let port = given.as_u64().and_then(|port| u16::try_from(port).ok()).filter(|port| *port > 0);
    port.ok_or_else(|| invalid(KEY, wanted, whole))
}

/// TCP where none is written, as in a Pod.
fn protocol(keys: &Map<String, Value>) -> Result<TransportProtocol, ConfigError> {
    let Some(given) = field(keys, "protocol") else { return Ok(TransportProtocol::Tcp) };
    let known = [TransportProtocol::Tcp, TransportProtocol::Udp, TransportProtocol::Sctp];
    let named = |text: &str| known.into_iter().find(|protocol| protocol.as_str().eq_ignore_ascii_case(text));
    match given.as_str() {
        Some("") => Ok(TransportProtocol::Tcp),
        text => text.and_then(named).ok_or_else(|| invalid(KEY, "a list with the protocols tcp, udp and sctp", given)),
    }
}

fn host_ip(keys: &Map<String, Value>) -> Result<Option<IpAddr>, ConfigError> {
    let Some(given) = field(keys, "hostIP") else { return Ok(None) };
    let wanted = "a list with addresses of this node as hostIP, or none";
    match given.as_str() {
        Some("") => Ok(None),
        text => match text.and_then(|text| text.parse::<IpAddr>().ok()) {
            Some(address) if !address.is_multicast() => Ok(Some(address)),
            _ => Err(invalid(KEY, wanted, given)),
        },
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn of(list: Value) -> Result<Vec<PortMapping>, ConfigError> {
        read(Some(&list))
    }

    #[test]
    fn what_containerd_and_cri_o_write_is_read() {
        let containerd = json!([{"HostPort": 8080, "ContainerPort": 80, "Protocol": "tcp", "HostIP": ""}]);
        let cri_o = json!([{"hostPort": 8080, "containerPort": 80, "protocol": "TCP"}]);
        let wanted =
            PortMapping { host_ip: None, host_port: 8080, protocol: TransportProtocol::Tcp, container_port: 80 };
        for list in [containerd, cri_o] {
            assert_eq!(of(list).expect("good"), std::slice::from_ref(&wanted));
        }
    }

    #[test]
    fn one_port_may_be_there_for_each_protocol_and_address() {
        let list = json!([
            {"hostPort": 53, "containerPort": 53, "protocol": "udp"},
            {"hostPort": 53, "containerPort": 53, "protocol": "tcp", "hostIP": "192.0.2.1"},
            {"hostPort": 53, "containerPort": 53, "protocol": "tcp", "hostIP": "192.0.2.2"},
            {"hostPort": 53, "containerPort": 53, "protocol": "tcp", "hostIP": "::"},
            {"hostPort": 53, "containerPort": 53, "protocol": "SCTP", "hostIP": "0.0.0.0"},
        ]);
        let read = of(list).expect("good");
        assert_eq!(read.len(), 5);
        assert_eq!(read[1].to_string(), "192.0.2.1:53/TCP");
        assert_eq!(read[3].to_string(), "[::]:53/TCP");
        let again: Vec<PortMapping> = serde_json::from_value(json!(read)).expect("it was written by us");
        assert_eq!(again, read);
    }

    #[test]
    fn two_that_overlap_are_refused() {
        for (one, other) in
            [("", ""), ("192.0.2.1", "192.0.2.1"), ("", "192.0.2.1"), ("0.0.0.0", "192.0.2.1"), ("::", "2001:db8::1")]
        {
            let mapping = |address: &str| json!({"hostPort": 80, "containerPort": 80, "hostIP": address});
            for list in [json!([mapping(one), mapping(other)]), json!([mapping(other), mapping(one)])] {
                let refused = of(list.clone()).expect_err("they overlap");
                assert!(refused.code() == 7 && refused.to_string().contains("once"), "{list}: {refused}");
            }
        }
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        for list in [
            json!({}),
            json!([80]),
            json!([{}]),
            json!([{"hostPort": 80}]),
            json!([{"hostPort": 0, "containerPort": 80}]),
            json!([{"hostPort": 65536, "containerPort": 80}]),
            json!([{"hostPort": 80, "containerPort": -1}]),
            json!([{"hostPort": "80", "containerPort": 80}]),
            json!([{"hostPort": 80.5, "containerPort": 80}]),
            json!([{"hostPort": 80, "containerPort": 80, "protocol": "icmp"}]),
            json!([{"hostPort": 80, "containerPort": 80, "hostIP": "node-a"}]),
            json!([{"hostPort": 80, "containerPort": 80, "hostIP": "224.0.0.1"}]),
            json!([{"hostPort": 80, "containerPort": 80, "hostIP": 1}]),
        ] {
            let refused = of(list.clone()).expect_err("it makes no sense");
            assert!(refused.code() == 7 && refused.to_string().contains("portMappings"), "{list}: {refused}");
        }
    }
}
