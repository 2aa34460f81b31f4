//! The result of ADD, kept in the newest shape and rendered in the shape of the request's version.

use std::net::IpAddr;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::version::CniVersion;

/// A CNI ADD result in the shape of 1.1.0, without `cniVersion`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct AddResult {
    /// Interfaces made, host and container side.
    pub interfaces: Vec<Interface>,
    /// Addresses given.
    pub ips: Vec<IpConfig>,
    /// Routes in the container.
    pub routes: Vec<Route>,
    /// Name resolution.
    pub dns: Dns,
}

/// An interface of a result.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Interface {
    /// The device's name.
    pub name: String,
    /// Hardware address, `aa:bb:cc:dd:ee:ff`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mac: Option<String>,
    /// Link MTU in bytes (1.1.0).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mtu: Option<u32>,
    /// `CNI_NETNS` for a device in the container; absent for one on the host.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sandbox: Option<String>,
    /// Path of a socket that stands for the device (1.1.0).
    #[serde(default, rename = "socketPath", skip_serializing_if = "Option::is_none")]
    pub socket_path: Option<String>,
    /// PCI address of the device (1.1.0).
    #[serde(default, rename = "pciID", skip_serializing_if = "Option::is_none")]
    pub pci_id: Option<String>,
}

/// An address of a result.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct IpConfig {
    /// The address with its prefix length.
    pub address: IpNet,
    /// The gateway for this family.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gateway: Option<IpAddr>,
    /// Index into [`AddResult::interfaces`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub interface: Option<usize>,
}

/// A route of a result.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Route {
    /// Destination.
    pub dst: IpNet,
    /// Next hop; absent means the interface's own gateway, or a route on the link with `scope` 253.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gw: Option<IpAddr>,
    /// Path MTU in bytes (1.1.0).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mtu: Option<u32>,
    /// TCP MSS to advertise, in bytes (1.1.0).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub advmss: Option<u32>,
    /// Metric, lower first (1.1.0).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub priority: Option<u32>,
    /// Routing table (1.1.0).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub table: Option<u32>,
    /// Scope as in rtnetlink: 0 global, 253 link (1.1.0).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scope: Option<u32>,
}

/// Name resolution settings, handed through.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Dns {
    /// Name servers in order.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub nameservers: Vec<String>,
    /// Local domain.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub domain: Option<String>,
    /// Search domains in order.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub search: Vec<String>,
    /// Resolver options.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub options: Vec<String>,
}

impl AddResult {
    /// `self`, the earlier plugins' result, with `ours` added behind it. Interface indexes of `ours` are shifted.
    #[must_use]
    pub fn extended_by(mut self, ours: AddResult) -> Self {
        let shift = self.interfaces.len();
        self.interfaces.extend(ours.interfaces);
        self.ips.extend(ours.ips.into_iter().map(|ip| IpConfig { interface: ip.interface.map(|i| i + shift), ..ip }));
        self.routes.extend(ours.routes);
        if self.dns == Dns::default() {
            self.dns = ours.dns;
        }
        self
    }

    /// The JSON that the plugin prints, in the shape of `version`.
    pub fn render(&self, version: CniVersion) -> Value {
        json!({
            "cniVersion": version.as_str(),
            "interfaces": self.interfaces.iter().map(|i| render_interface(i, version)).collect::<Vec<_>>(),
            "ips": self.ips.iter().map(|ip| render_ip(ip, version)).collect::<Vec<_>>(),
            "routes": self.routes.iter().map(|r| render_route(r, version)).collect::<Vec<_>>(),
            "dns": self.dns,
        })
    }
}

fn render_interface(interface: &Interface, version: CniVersion) -> Value {
    let mut value = json!(interface);
    if version < CniVersion::V1_1_0 {
        keep(&mut value, &["name", "mac", "sandbox"]);
    }
    value
}

fn render_ip(ip: &IpConfig, version: CniVersion) -> Value {
    let mut value = json!(ip);
    if version < CniVersion::V1_0_0 {
        let family = if ip.address.addr().is_ipv4() { "4" } else { "6" };
        if let Some(keys) = value.as_object_mut() {
            keys.insert("version".to_owned(), family.into());
        }
    }
    value
}

fn render_route(route: &Route, version: CniVersion) -> Value {
    let mut value = json!(route);
    if version < CniVersion::V1_1_0 {
        keep(&mut value, &["dst", "gw"]);
    }
    value
}

fn keep(value: &mut Value, known: &[&str]) {
    if let Some(keys) = value.as_object_mut() {
        *keys =
            std::mem::take(keys).into_iter().filter(|(key, _)| known.contains(&key.as_str())).collect::<Map<_, _>>();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn result() -> AddResult {
        AddResult {
            interfaces: vec![Interface {
                name: "eth0".into(),
                mac: Some("02:00:00:00:00:01".into()),
                mtu: Some(65000),
                sandbox: Some("/run/netns/p".into()),
                ..Interface::default()
            }],
            ips: vec![
                IpConfig {
                    address: "10.1.0.2/32".parse().unwrap(),
                    gateway: Some("169.254.1.1".parse().unwrap()),
                    interface: Some(0),
                },
                IpConfig { address: "fd00::2/128".parse().unwrap(), gateway: None, interface: Some(0) },
            ],
            routes: vec![Route {
                dst: "0.0.0.0/0".parse().unwrap(),
                gw: Some("169.254.1.1".parse().unwrap()),
                mtu: Some(1500),
                advmss: Some(1460),
                priority: None,
                table: None,
                scope: None,
            }],
            dns: Dns::default(),
        }
    }

    #[test]
    fn the_newest_shape_has_everything() {
        let value = result().render(CniVersion::V1_1_0);
        assert_eq!(value["cniVersion"], "1.1.0");
        assert_eq!(value["interfaces"][0]["mtu"], 65000);
        assert_eq!(value["routes"][0]["advmss"], 1460);
        assert_eq!(value["ips"][0].get("version"), None);
    }

    #[test]
    fn older_shapes_lack_what_their_version_does_not_know() {
        let value = result().render(CniVersion::V1_0_0);
        assert_eq!(value["interfaces"][0].get("mtu"), None);
        assert_eq!(value["routes"][0], json!({"dst": "0.0.0.0/0", "gw": "169.254.1.1"}));
        assert_eq!(value["ips"][0].get("version"), None);
        for version in [CniVersion::V0_3_1, CniVersion::V0_4_0] {
            let value = result().render(version);
            assert_eq!(value["cniVersion"], version.as_str());
            assert_eq!(value["ips"][0]["version"], "4");
            assert_eq!(value["ips"][1]["version"], "6");
        }
    }

    #[test]
    fn a_rendered_result_is_read_back_as_prev_result() {
        for version in CniVersion::ALL {
            let read: AddResult = serde_json::from_value(result().render(version)).unwrap();
            assert_eq!(read.ips, result().ips);
        }
    }

    #[test]
    fn a_chain_keeps_the_earlier_result_and_shifts_indexes() {
        let both = result().extended_by(result());
        assert_eq!(both.interfaces.len(), 2);
        assert_eq!(both.ips.iter().map(|ip| ip.interface).collect::<Vec<_>>(), [Some(0), Some(0), Some(1), Some(1)]);
    }
}
