//! Literal objects, and the road from them through the model to the compiled rules.

use std::net::IpAddr;
use std::sync::Arc;

use serde_json::{Map, Value, json};
use sluice_model::raw::Raw;
use sluice_model::{Attachment, ContainerId, Fault, Index, Kind, NodeName, PodName, Policies, compile_policies};
use sluice_tables::{PodPolicy, PortId, Rules, WorkerId};
use sluice_wire::MacAddr;

pub(crate) type Labels = Vec<(&'static str, &'static str)>;

/// The node whose rules are compiled.
pub(crate) const HERE: &str = "here";
/// The other node.
pub(crate) const THERE: &str = "there";

/// A namespace, as far as its object is known.
#[derive(Clone, Debug)]
pub(crate) struct Namespace {
    pub(crate) name: &'static str,
    pub(crate) labels: Labels,
}

/// A pod, and what the cluster knows of it.
#[derive(Clone, Debug)]
pub(crate) struct Pod {
    pub(crate) namespace: &'static str,
    pub(crate) name: String,
    pub(crate) labels: Labels,
    pub(crate) node: Option<&'static str>,
    pub(crate) host_network: bool,
    pub(crate) phase: &'static str,
    pub(crate) terminating: bool,
    /// By its status.
    pub(crate) told: Vec<IpAddr>,
    /// By its attachment to the switch; empty: it has none.
    pub(crate) attached: Vec<IpAddr>,
    /// Name, number, protocol.
    pub(crate) ports: Vec<(&'static str, u16, &'static str)>,
    /// Whether there is an object, or an attachment alone.
    pub(crate) known: bool,
}

pub(crate) fn address(text: &str) -> IpAddr {
    text.parse().expect("an address")
}

impl Pod {
    fn new(namespace: &'static str, name: &str) -> Pod {
        Pod {
            namespace,
            name: name.to_owned(),
            labels: vec![],
            node: None,
            host_network: false,
            phase: "Running",
            terminating: false,
            told: vec![],
            attached: vec![],
            ports: vec![],
            known: true,
        }
    }

    /// A pod of this node.
    pub(crate) fn here(namespace: &'static str, name: &str, addresses: &[&str]) -> Pod {
        let attached = addresses.iter().map(|text| address(text)).collect();
        Pod { node: Some(HERE), attached, ..Pod::new(namespace, name) }
    }

    /// A pod of the other node.
    pub(crate) fn there(namespace: &'static str, name: &str, addresses: &[&str]) -> Pod {
        let told = addresses.iter().map(|text| address(text)).collect();
        Pod { node: Some(THERE), told, ..Pod::new(namespace, name) }
    }

    pub(crate) fn label(mut self, key: &'static str, value: &'static str) -> Pod {
        self.labels.push((key, value));
        self
    }

    pub(crate) fn port(mut self, name: &'static str, number: u16, protocol: &'static str) -> Pod {
        self.ports.push((name, number, protocol));
        self
    }

    /// The addresses it is reached at.
    pub(crate) fn addresses(&self) -> &[IpAddr] {
        if self.node == Some(HERE) { &self.attached } else { &self.told }
    }

    fn full_name(&self) -> PodName {
        PodName::parse(self.namespace, &self.name).expect("a name")
    }

    pub(crate) fn object(&self) -> Value {
        let ports: Vec<Value> = self
            .ports
            .iter()
            .map(|(name, number, protocol)| json!({"name": name, "containerPort": number, "protocol": protocol}))
            .collect();
        let told: Vec<Value> = self.told.iter().map(|ip| json!({"ip": ip.to_string()})).collect();
        json!({
            "metadata": {"namespace": self.namespace, "name": self.name, "labels": pairs(&self.labels),
                         "deletionTimestamp": self.terminating.then_some("2026-01-01T00:00:00Z")},
            "spec": {"nodeName": self.node, "hostNetwork": self.host_network, "containers": [{"ports": ports}]},
            "status": {"phase": self.phase, "podIPs": told}
        })
    }
}

fn pairs(labels: &Labels) -> Value {
    Value::Object(labels.iter().map(|(key, value)| ((*key).to_owned(), json!(value))).collect::<Map<_, _>>())
}

/// Everything but the policies.
#[derive(Clone, Debug, Default)]
pub(crate) struct Cluster {
    pub(crate) namespaces: Vec<Namespace>,
    pub(crate) pods: Vec<Pod>,
}

impl Cluster {
    pub(crate) fn of(pods: impl IntoIterator<Item = Pod>) -> Cluster {
        Cluster { namespaces: vec![], pods: pods.into_iter().collect() }
    }

    pub(crate) fn namespace(mut self, name: &'static str, labels: &[(&'static str, &'static str)]) -> Cluster {
        self.namespaces.push(Namespace { name, labels: labels.to_vec() });
        self
    }

    /// Objects and attachments through the model. `policies`: namespace and spec of each.
    pub(crate) fn compile(&self, policies: &[(&str, Value)]) -> Compiled {
        let index = self.index(policies);
        let attachments = self.attachments();
        let node = NodeName::new(HERE).expect("a name");
        let pods = attachments.iter().map(|attachment| attachment.pod.clone()).collect();
        Compiled { policies: compile_policies(&index, &node, &attachments, 7), pods }
    }

    /// All objects.
    pub(crate) fn index(&self, policies: &[(&str, Value)]) -> Index {
        let mut index = Index::new();
        let mut apply = |kind, value| {
            let raw = Raw::deserialize(kind, value).expect("types are right");
            index.apply(raw.check().expect("is valid"));
        };
        for (node, ip, network) in [(HERE, "192.0.2.1", "10.0.0.0/24"), (THERE, "192.0.2.2", "10.0.1.0/24")] {
            apply(
                Kind::Node,
                json!({"metadata": {"name": node}, "spec": {"podCIDR": network},
                       "status": {"addresses": [{"type": "InternalIP", "address": ip}]}}),
            );
        }
        for namespace in &self.namespaces {
            let metadata = json!({"name": namespace.name, "labels": pairs(&namespace.labels)});
            apply(Kind::Namespace, json!({"metadata": metadata}));
        }
        self.pods.iter().filter(|pod| pod.known).for_each(|pod| apply(Kind::Pod, pod.object()));
        for (position, (namespace, spec)) in policies.iter().enumerate() {
            let metadata = json!({"namespace": namespace, "name": format!("policy-{position}")});
            apply(Kind::NetworkPolicy, json!({"metadata": metadata, "spec": spec}));
        }
        index
    }

    pub(crate) fn attachments(&self) -> Vec<Attachment> {
        let attached = self.pods.iter().enumerate().filter(|(_, pod)| !pod.attached.is_empty());
        let attachment = |(position, pod): (usize, &Pod)| Attachment {
            container: ContainerId::new("c"),
            pod: pod.full_name(),
            port: PortId(position as u16 + 1),
            worker: WorkerId(0),
            mac: MacAddr([2, 0, 0, 0, 0, 1]),
            addresses: pod.attached.clone(),
            path_mtu: 1500,
            max_l3_len: 1500,
        };
        attached.map(attachment).collect()
    }
}

/// IP protocol numbers by the API's names, and those of ICMP and GRE.
pub(crate) fn protocol(name: &str) -> u8 {
    match name {
        "ICMP" => 1,
        "TCP" => 6,
        "UDP" => 17,
        "GRE" => 47,
        "ICMPv6" => 58,
        "SCTP" => 132,
        other => panic!("{other}"),
    }
}

/// The compiled rules, and which pod's they are.
pub(crate) struct Compiled {
    pub(crate) policies: Policies,
    /// Pods of `policies.by_port`, in its order.
    pods: Vec<PodName>,
}

impl Compiled {
    pub(crate) fn faults(&self) -> Vec<String> {
        self.policies.faults.iter().map(Fault::to_string).collect()
    }

    /// What an attached pod (`namespace/name`) enforces.
    pub(crate) fn of(&self, pod: &str) -> &PodPolicy {
        let position = self.pods.iter().position(|name| name.to_string() == pod).expect("is attached");
        &self.policies.by_port[position].1
    }

    fn allows(&self, rules: &Option<Arc<Rules>>, peer: IpAddr, proto: &str, port: u16) -> bool {
        let identity = self.policies.identities.get(peer);
        rules.as_ref().is_none_or(|rules| rules.allows(peer, identity, protocol(proto), port))
    }

    /// Whether `peer` may open a connection to an attached pod.
    pub(crate) fn enters(&self, peer: &str, pod: &str, proto: &str, port: u16) -> bool {
        self.ingress(pod, address(peer), proto, port)
    }

    /// Whether an attached pod may open a connection to `peer`.
    pub(crate) fn leaves(&self, pod: &str, peer: &str, proto: &str, port: u16) -> bool {
        self.egress(pod, address(peer), proto, port)
    }

    pub(crate) fn ingress(&self, pod: &str, peer: IpAddr, proto: &str, port: u16) -> bool {
        self.allows(&self.of(pod).ingress, peer, proto, port)
    }

    pub(crate) fn egress(&self, pod: &str, peer: IpAddr, proto: &str, port: u16) -> bool {
        self.allows(&self.of(pod).egress, peer, proto, port)
    }
}
