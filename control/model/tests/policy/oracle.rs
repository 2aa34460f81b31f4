//! The oracle: literal policies, and the question asked of them with plain loops. It knows no identity, no index, no rule
//! of the tables.

use std::net::IpAddr;

use serde_json::{Map, Value, json};

use super::cluster::{Cluster, HERE, Labels, Pod};

/// A selector as it is written.
#[derive(Clone, Debug, Default)]
pub(crate) struct Selector {
    pub(crate) labels: Labels,
    /// Key, operator, values.
    pub(crate) expressions: Vec<(&'static str, &'static str, Vec<&'static str>)>,
}

/// A peer as it is written.
#[derive(Clone, Debug, Default)]
pub(crate) struct Peer {
    pub(crate) pods: Option<Selector>,
    pub(crate) namespaces: Option<Selector>,
    /// Address, prefix length; exceptions likewise.
    pub(crate) block: Option<(Prefix, Vec<Prefix>)>,
}

pub(crate) type Prefix = (IpAddr, u8);

/// A port as it is written.
#[derive(Clone, Debug)]
pub(crate) struct Port {
    pub(crate) protocol: Option<&'static str>,
    pub(crate) port: Option<Number>,
    pub(crate) end: Option<u16>,
}

#[derive(Clone, Debug)]
pub(crate) enum Number {
    Number(u16),
    Name(&'static str),
}

/// A rule as it is written; `from` or `to` by the list it stands in.
#[derive(Clone, Debug)]
pub(crate) struct Rule {
    pub(crate) peers: Option<Vec<Peer>>,
    pub(crate) ports: Option<Vec<Port>>,
}

/// A policy as it is written.
#[derive(Clone, Debug)]
pub(crate) struct Policy {
    pub(crate) namespace: &'static str,
    pub(crate) subjects: Selector,
    pub(crate) types: Option<Vec<&'static str>>,
    pub(crate) ingress: Option<Vec<Rule>>,
    pub(crate) egress: Option<Vec<Rule>>,
}

fn selects(selector: &Selector, labels: &[(&str, &str)]) -> bool {
    let value = |key: &str| labels.iter().find(|(k, _)| *k == key).map(|(_, v)| *v);
    for (key, wanted) in &selector.labels {
        if value(key) != Some(wanted) {
            return false;
        }
    }
    for (key, operator, values) in &selector.expressions {
        let holds = match (*operator, value(key)) {
            ("In", Some(value)) => values.contains(&value),
            ("In", None) | ("Exists", None) | ("DoesNotExist", Some(_)) => false,
            ("NotIn", Some(value)) => !values.contains(&value),
            ("NotIn", None) | ("Exists", Some(_)) | ("DoesNotExist", None) => true,
            other => panic!("{other:?}"),
        };
        if !holds {
            return false;
        }
    }
    true
}

/// Bit by bit.
fn inside((network, length): Prefix, address: IpAddr) -> bool {
    let bits = |address| match address {
        IpAddr::V4(v4) => u128::from(u32::from(v4)) << 96,
        IpAddr::V6(v6) => u128::from(v6),
    };
    let same_family = network.is_ipv4() == address.is_ipv4();
    same_family && (0..length).all(|bit| (bits(network) ^ bits(address)) & (1 << (127 - bit)) == 0)
}

impl Cluster {
    /// The pod that an address leads to, for selectors.
    fn owner(&self, address: IpAddr) -> Option<&Pod> {
        for pod in &self.pods {
            let over = matches!(pod.phase, "Succeeded" | "Failed");
            if pod.known && !pod.host_network && !over && pod.addresses().contains(&address) {
                return Some(pod);
            }
        }
        None
    }

    fn namespace_labels(&self, name: &'static str) -> Labels {
        let mut labels = vec![("kubernetes.io/metadata.name", name)];
        for namespace in &self.namespaces {
            if namespace.name == name {
                labels.extend(namespace.labels.clone());
            }
        }
        labels
    }

    fn is_peer(&self, peer: &Peer, policy: &Policy, address: IpAddr) -> bool {
        if let Some((block, except)) = &peer.block {
            return inside(*block, address) && !except.iter().any(|part| inside(*part, address));
        }
        let Some(pod) = self.owner(address) else { return false };
        let namespace = match &peer.namespaces {
            None => pod.namespace == policy.namespace,
            Some(selector) => selects(selector, &self.namespace_labels(pod.namespace)),
        };
        namespace && peer.pods.as_ref().is_none_or(|selector| selects(selector, &pod.labels))
    }
}

/// Whether a rule's port is meant, where `destination` is the pod that is addressed, if it is one.
fn is_port(written: &Port, destination: Option<&Pod>, protocol: &str, port: u16) -> bool {
    if written.protocol.unwrap_or("TCP") != protocol {
        return false;
    }
    match (&written.port, written.end) {
        (None, _) => true,
        (Some(Number::Number(first)), None) => port == *first,
        (Some(Number::Number(first)), Some(last)) => *first <= port && port <= last,
        (Some(Number::Name(name)), _) => {
            for (candidate, number, proto) in destination.map_or(&[][..], |pod| &pod.ports) {
                if candidate == name && *proto == protocol {
                    return *number == port;
                }
            }
            false
        }
    }
}

/// Which direction of the subject is asked about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Direction {
    Ingress,
    Egress,
}

/// Whether a pod of this node may be reached by, or reach, whoever has `peer`.
pub(crate) fn may(
    cluster: &Cluster,
    policies: &[Policy],
    subject: &Pod,
    direction: Direction,
    peer: IpAddr,
    protocol: &str,
    port: u16,
) -> bool {
    assert_eq!(subject.node, Some(HERE));
    let mut isolated = false;
    for policy in policies {
        if policy.namespace != subject.namespace {
            continue;
        }
        if !subject.known {
            return false;
        }
        let types = match (&policy.types, &policy.egress) {
            (Some(types), _) if !types.is_empty() => types.clone(),
            (_, Some(rules)) if !rules.is_empty() => vec!["Ingress", "Egress"],
            _ => vec!["Ingress"],
        };
        let (name, rules) = match direction {
            Direction::Ingress => ("Ingress", &policy.ingress),
            Direction::Egress => ("Egress", &policy.egress),
        };
        if !types.contains(&name) || !selects(&policy.subjects, &subject.labels) {
            continue;
        }
        isolated = true;
        let destination = match direction {
            Direction::Ingress => Some(subject),
            Direction::Egress => cluster.owner(peer),
        };
        for rule in rules.iter().flatten() {
            let peers = rule.peers.as_deref().unwrap_or_default();
            let ports = rule.ports.as_deref().unwrap_or_default();
            let peer_is_meant = peers.is_empty() || peers.iter().any(|one| cluster.is_peer(one, policy, peer));
            let port_is_meant = ports.is_empty() || ports.iter().any(|one| is_port(one, destination, protocol, port));
            if peer_is_meant && port_is_meant {
                return true;
            }
        }
    }
    !isolated
}

impl Selector {
    fn written(&self) -> Value {
        let labels: Map<_, _> = self.labels.iter().map(|(key, value)| ((*key).to_owned(), json!(value))).collect();
        let expression = |(key, operator, values): &(&str, &str, Vec<&str>)| json!({"key": key, "operator": operator, "values": values});
        let expressions: Vec<Value> = self.expressions.iter().map(expression).collect();
        json!({"matchLabels": labels, "matchExpressions": expressions})
    }
}

impl Peer {
    fn written(&self) -> Value {
        let text = |(address, length): &Prefix| format!("{address}/{length}");
        let block = self
            .block
            .as_ref()
            .map(|(cidr, except)| json!({"cidr": text(cidr), "except": except.iter().map(text).collect::<Vec<_>>()}));
        json!({"podSelector": self.pods.as_ref().map(Selector::written),
               "namespaceSelector": self.namespaces.as_ref().map(Selector::written), "ipBlock": block})
    }
}

impl Rule {
    fn written(&self, peers: &str) -> Value {
        let port = |port: &Port| {
            let number = port.port.as_ref().map(|number| match number {
                Number::Number(number) => json!(number),
                Number::Name(name) => json!(name),
            });
            json!({"protocol": port.protocol, "port": number, "endPort": port.end})
        };
        let items = self.peers.as_ref().map(|peers| peers.iter().map(Peer::written).collect::<Vec<_>>());
        let ports = self.ports.as_ref().map(|ports| ports.iter().map(port).collect::<Vec<_>>());
        json!({peers: items, "ports": ports})
    }
}

impl Policy {
    /// The spec as JSON.
    pub(crate) fn written(&self) -> Value {
        let rules = |rules: &Option<Vec<Rule>>, peers| {
            rules.as_ref().map(|rules| rules.iter().map(|rule| rule.written(peers)).collect::<Vec<_>>())
        };
        json!({"podSelector": self.subjects.written(), "policyTypes": self.types,
               "ingress": rules(&self.ingress, "from"), "egress": rules(&self.egress, "to")})
    }
}
