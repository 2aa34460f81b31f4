//! What the runtime asks for one container, by the capabilities that the network list declares: `runtimeConfig`
//! (CNI specification, "Dynamic Plugin Fields", and the conventions, "Dynamic Plugin specific fields").
//!
//! Keys are read whatever their case is: go-cni, containerd's client, writes the fields of a port mapping and of a bandwidth
//! under their Go names (`HostPort`), which plugins in Go read all the same.

mod bandwidth;
mod port_mapping;

use std::net::IpAddr;

use ipnet::IpNet;
use serde_json::{Map, Value};

pub use bandwidth::{Bandwidth, Rate};
pub use port_mapping::{PortMapping, TransportProtocol};

use crate::config::{ConfigError, invalid};
use crate::result::Dns;

/// The runtime's wishes for one container.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RuntimeConfig {
    /// Ports of the node that lead to the container; no two overlap.
    pub port_mappings: Vec<PortMapping>,
    /// How much the container may send and receive.
    pub bandwidth: Option<Bandwidth>,
    /// Addresses that the container is to have, at most one a family.
    pub ips: Vec<IpAddr>,
    /// Hardware address that the container is to have: of one host, and not all zero.
    pub mac: Option<[u8; 6]>,
    /// Name resolution, in place of the network's.
    pub dns: Option<Dns>,
}

impl RuntimeConfig {
    /// Reads `runtimeConfig` from the keys of a network configuration; keys of other capabilities are left alone.
    ///
    /// # Errors
    /// Names the key and what it must be.
    pub fn from_keys(keys: &Map<String, Value>) -> Result<Self, ConfigError> {
        let asked = match keys.get("runtimeConfig") {
            None | Some(Value::Null) => return Ok(Self::default()),
            Some(Value::Object(asked)) => asked,
            Some(other) => return Err(invalid("runtimeConfig", "an object", other)),
        };
        Ok(Self {
            port_mappings: port_mapping::read(field(asked, "portMappings"))?,
            bandwidth: bandwidth::read(field(asked, "bandwidth"))?,
            ips: ips(field(asked, "ips"))?,
            mac: field(asked, "mac").map(mac).transpose()?.flatten(),
            dns: field(asked, "dns").map(dns).transpose()?,
        })
    }
}

/// The field of this name, else one of this name in another case; `null` is none.
fn field<'a>(keys: &'a Map<String, Value>, name: &str) -> Option<&'a Value> {
    let other_case = || keys.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value);
    keys.get(name).or_else(other_case).filter(|value| !value.is_null())
}

/// With or without a prefix length, which says nothing here: a pod's address stands alone.
fn ips(listed: Option<&Value>) -> Result<Vec<IpAddr>, ConfigError> {
    const KEY: &str = "runtimeConfig.ips";
    let address = |text: &str| text.parse().or_else(|_| text.parse::<IpNet>().map(|net| net.addr())).ok();
    let mut ips: Vec<IpAddr> = Vec::new();
    for one in listed.map_or(Ok([].as_slice()), |listed| {
        listed.as_array().map(Vec::as_slice).ok_or_else(|| invalid(KEY, "a list of addresses", listed))
    })? {
        let wanted = "a list of addresses, each as 10.244.1.9 or 10.244.1.9/24";
        let ip = one.as_str().and_then(address).ok_or_else(|| invalid(KEY, wanted, one))?;
        if ips.iter().any(|other| other.is_ipv4() == ip.is_ipv4()) {
            return Err(invalid(KEY, "a list with at most one address of each family", one));
        }
        ips.push(ip);
    }
    Ok(ips)
}

/// Six pairs of hexadecimal digits with ':' or '-' between them; an empty text asks for nothing.
fn mac(given: &Value) -> Result<Option<[u8; 6]>, ConfigError> {
    let refused = || invalid("runtimeConfig.mac", "a hardware address of one host, as 0a:58:0a:f4:01:09", given);
    let text = given.as_str().ok_or_else(refused)?;
    if text.is_empty() {
        return Ok(None);
    }
    let mut mac = [0; 6];
    let mut pairs = text.split([':', '-']);
    for byte in &mut mac {
        let pair = pairs.next().filter(|it| it.len() == 2 && it.bytes().all(|b| b.is_ascii_hexdigit()));
        *byte = pair.and_then(|pair| u8::from_str_radix(pair, 16).ok()).ok_or_else(refused)?;
    }
    let of_one_host = mac[0] & 1 == 0 && mac != [0; 6];
    if pairs.next().is_none() && of_one_host { Ok(Some(mac)) } else { Err(refused()) }
}

fn dns(given: &Value) -> Result<Dns, ConfigError> {
    const KEY: &str = "runtimeConfig.dns";
    let keys = given.as_object().ok_or_else(|| invalid(KEY, "an object", given))?;
    let texts = |name: &str| -> Result<Vec<String>, ConfigError> {
        let Some(listed) = field(keys, name) else { return Ok(Vec::new()) };
        serde_json::from_value(listed.clone()).map_err(|_| invalid(KEY, "an object with lists of texts", listed))
    };
    // The conventions name the lists in the plural; containerd sends servers, searches, options.
    Ok(Dns { nameservers: texts("servers")?, domain: None, search: texts("searches")?, options: texts("options")? })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(asked: Value) -> Result<RuntimeConfig, ConfigError> {
        let config = json!({ "runtimeConfig": asked });
        RuntimeConfig::from_keys(config.as_object().expect("an object"))
    }

    #[test]
    fn nothing_asked_is_nothing_wanted() {
        for asked in [json!(null), json!({}), json!({"portMappings": null, "ips": [], "mac": "", "cgroupPath": "/x"})] {
            assert_eq!(read(asked.clone()).expect("good"), RuntimeConfig::default(), "{asked}");
        }
        assert_eq!(RuntimeConfig::from_keys(&Map::new()).expect("good"), RuntimeConfig::default());
    }

    #[test]
    fn addresses_may_have_a_prefix_length_and_macs_either_separator() {
        let asked = json!({"ips": ["10.1.0.9/24", "fd00::9"], "mac": "0A-58-0a-01-00-09"});
        let RuntimeConfig { ips, mac, .. } = read(asked).expect("good");
        assert_eq!(ips, ["10.1.0.9".parse::<IpAddr>().expect("one"), "fd00::9".parse().expect("one")]);
        assert_eq!(mac, Some([0x0a, 0x58, 0x0a, 1, 0, 9]));
    }

    #[test]
    fn name_resolution_of_the_runtime_is_read() {
        let asked =
            json!({"dns": {"servers": ["10.96.0.10"], "searches": ["svc.cluster.local"], "options": ["ndots:5"]}});
        let dns = read(asked).expect("good").dns.expect("it is there");
        assert_eq!((dns.nameservers, dns.search), (vec!["10.96.0.10".into()], vec!["svc.cluster.local".into()]));
    }

    #[test]
    fn what_makes_no_sense_is_refused_with_its_key() {
        for (asked, key) in [
            (json!(3), "runtimeConfig"),
            (json!({"ips": "10.1.0.9"}), "ips"),
            (json!({"ips": ["10.1.0"]}), "ips"),
            (json!({"ips": [9]}), "ips"),
            (json!({"ips": ["10.1.0.9", "10.1.0.8"]}), "each family"),
            (json!({"mac": "0a:58:0a:01:00"}), "mac"),
            (json!({"mac": "0a:58:0a:01:00:09:01"}), "mac"),
            (json!({"mac": "0a:58:0a:01:00:+9"}), "mac"),
            (json!({"mac": "01:00:5e:00:00:01"}), "mac"),
            (json!({"mac": "00:00:00:00:00:00"}), "mac"),
            (json!({"mac": 7}), "mac"),
            (json!({"dns": {"servers": [1]}}), "dns"),
        ] {
            let refused = read(asked.clone()).expect_err("it makes no sense");
            assert!(refused.code() == 7 && refused.to_string().contains(key), "{asked}: {refused}");
        }
    }
}
