//! Literal objects, and what becomes of them on node `n1`.

use std::net::IpAddr;

use serde_json::{Value, json};
use sluice_model::raw::Raw;
use sluice_model::{Index, Kind, Node, NodeName, Object, ServicesConfig, compile_services};
use sluice_tables::{Backends, FrontendKind, FrontendLookup, Service, Services};

pub(crate) const TCP: u8 = 6;
pub(crate) const UDP: u8 = 17;
pub(crate) const SCTP: u8 = 132;

pub(crate) fn object(kind: Kind, value: Value) -> Object {
    Raw::deserialize(kind, value).expect("types are right").check().expect("is good")
}

/// A Service `default/<name>` with ClusterIP `10.96.0.<byte>` and TCP port 80 to 8080; `change` is merged into it.
pub(crate) fn mk_service(name: &str, byte: u8, change: Value) -> Object {
    let mut value = json!({
        "metadata": {"name": name},
        "spec": {"clusterIP": format!("10.96.0.{byte}"), "ports": [{"port": 80, "targetPort": 8080}]}
    });
    merge(&mut value, change);
    object(Kind::Service, value)
}

/// A slice of `default/<service>` with one unnamed TCP port 8080 and these endpoints; `change` is merged into it.
pub(crate) fn mk_slice(name: &str, service: &str, endpoints: &[Value], change: Value) -> Object {
    let mut value = json!({
        "metadata": {"name": name, "labels": {"kubernetes.io/service-name": service}},
        "addressType": "IPv4", "ports": [{"port": 8080}], "endpoints": endpoints
    });
    merge(&mut value, change);
    object(Kind::EndpointSlice, value)
}

/// A ready endpoint on a node.
pub(crate) fn mk_endpoint(address: &str, node: &str) -> Value {
    json!({"addresses": [address], "nodeName": node})
}

/// An endpoint on a node that is in a state: ready, serving, terminating.
pub(crate) fn mk_state(address: &str, node: &str, is: (bool, bool, bool)) -> Value {
    let conditions = json!({"ready": is.0, "serving": is.1, "terminating": is.2});
    json!({"addresses": [address], "nodeName": node, "conditions": conditions})
}

/// A Node with an InternalIP of each family and a network of each; `change` is merged into it.
pub(crate) fn mk_node(name: &str, byte: u8, change: Value) -> Object {
    let mut value = json!({
        "metadata": {"name": name},
        "spec": {"podCIDRs": [format!("10.1.{byte}.0/24"), format!("fd00:1:{byte}::/64")]},
        "status": {"addresses": [
            {"type": "InternalIP", "address": format!("192.0.2.{byte}")},
            {"type": "InternalIP", "address": format!("2001:db8::{byte}")}
        ]}
    });
    merge(&mut value, change);
    object(Kind::Node, value)
}

/// Objects take each other's keys; anything else is replaced.
fn merge(into: &mut Value, change: Value) {
    match (into, change) {
        (Value::Object(into), Value::Object(change)) => {
            for (key, value) in change {
                merge(into.entry(key).or_insert(Value::Null), value);
            }
        }
        (_, Value::Null) => {}
        (into, change) => *into = change,
    }
}

/// What a node makes of objects.
pub(crate) struct Outcome {
    pub(crate) services: Services,
    pub(crate) faults: Vec<String>,
}

pub(crate) fn index(objects: impl IntoIterator<Item = Object>) -> Index {
    let mut index = Index::new();
    index.apply(mk_node("n1", 1, Value::Null));
    index.apply(mk_node("n2", 2, Value::Null));
    for object in objects {
        index.apply(object);
    }
    index
}

pub(crate) fn n1(index: &Index) -> &Node {
    index.node(&NodeName::new("n1").expect("is a name")).expect("is in the index")
}

pub(crate) fn outcome_with(config: &ServicesConfig, objects: impl IntoIterator<Item = Object>) -> Outcome {
    let index = index(objects);
    let (services, faults) = compile_services(&index, n1(&index), config, 7);
    Outcome { services, faults: faults.iter().map(ToString::to_string).collect() }
}

pub(crate) fn outcome(objects: impl IntoIterator<Item = Object>) -> Outcome {
    outcome_with(&ServicesConfig::default(), objects)
}

pub(crate) fn ip(text: &str) -> IpAddr {
    text.parse().expect("is an address")
}

/// The backends of a set, as text.
pub(crate) fn shown(backends: &Backends) -> Vec<String> {
    backends.all().iter().map(|backend| format!("{}:{}", backend.address, backend.port)).collect()
}

impl Outcome {
    pub(crate) fn good(self) -> Outcome {
        assert!(self.faults.is_empty(), "{:?}", self.faults);
        self
    }

    /// The Service at an address, and by which of its faces.
    pub(crate) fn at(&self, address: &str, port: u16, protocol: u8) -> Option<(&Service, FrontendKind)> {
        match self.services.frontend(ip(address), port, protocol) {
            FrontendLookup::Found(service, kind) => Some((service, kind)),
            _ => None,
        }
    }

    /// The Service at a TCP address that must be there.
    pub(crate) fn tcp(&self, address: &str, port: u16) -> &Service {
        self.at(address, port, TCP).unwrap_or_else(|| panic!("nothing at {address}:{port}")).0
    }

    /// `name` of the Service at an address; empty where there is none.
    pub(crate) fn name_at(&self, address: &str, port: u16, protocol: u8) -> String {
        self.at(address, port, protocol).map(|(service, _)| service.name().to_string()).unwrap_or_default()
    }

    /// Backends under policy Cluster of the Service at 10.96.0.1:80.
    pub(crate) fn cluster(&self) -> Vec<String> {
        shown(self.tcp("10.96.0.1", 80).cluster())
    }

    /// The same under policy Local.
    pub(crate) fn local(&self) -> Vec<String> {
        shown(self.tcp("10.96.0.1", 80).local())
    }
}
