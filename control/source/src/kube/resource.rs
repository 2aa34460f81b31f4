//! Where the API has the objects of a kind, and what RBAC calls them.

use sluice_model::Kind;

/// A kind as the API's addresses and rights name it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Resource {
    /// What follows the server in a URL, without a namespace.
    pub(crate) path: &'static str,
    /// The resource with its group, as RBAC and `kubectl` write it.
    pub(crate) name: &'static str,
    /// `apiVersion` of its objects.
    pub(crate) api_version: &'static str,
    /// `kind` of its objects.
    pub(crate) kind: &'static str,
    /// `kind` of a list of them.
    pub(crate) list_kind: &'static str,
}

/// The resource of a kind.
pub(crate) fn resource(kind: Kind) -> Resource {
    let core = |path, name, kind, list_kind| Resource { path, name, api_version: "v1", kind, list_kind };
    match kind {
        Kind::Node => core("/api/v1/nodes", "nodes", "Node", "NodeList"),
        Kind::Pod => core("/api/v1/pods", "pods", "Pod", "PodList"),
        Kind::Namespace => core("/api/v1/namespaces", "namespaces", "Namespace", "NamespaceList"),
        Kind::Service => core("/api/v1/services", "services", "Service", "ServiceList"),
        Kind::EndpointSlice => Resource {
            path: "/apis/discovery.k8s.io/v1/endpointslices",
            name: "endpointslices.discovery.k8s.io",
            api_version: "discovery.k8s.io/v1",
            kind: "EndpointSlice",
            list_kind: "EndpointSliceList",
        },
        Kind::NetworkPolicy => Resource {
            path: "/apis/networking.k8s.io/v1/networkpolicies",
            name: "networkpolicies.networking.k8s.io",
            api_version: "networking.k8s.io/v1",
            kind: "NetworkPolicy",
            list_kind: "NetworkPolicyList",
        },
    }
}

impl Resource {
    /// The path of one object.
    pub(crate) fn path_of(&self, namespace: Option<&str>, name: &str) -> String {
        match (namespace, self.path.rsplit_once('/')) {
            (Some(namespace), Some((group, plural))) => format!("{group}/namespaces/{namespace}/{plural}/{name}"),
            _ => format!("{}/{name}", self.path),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;
    use crate::kube::status::KINDS;

    #[test]
    fn an_object_is_found_below_its_namespace() {
        let slice = resource(Kind::EndpointSlice);
        assert_eq!(
            slice.path_of(Some("shop"), "web-1"),
            "/apis/discovery.k8s.io/v1/namespaces/shop/endpointslices/web-1"
        );
        assert_eq!(resource(Kind::Node).path_of(None, "n1"), "/api/v1/nodes/n1");
    }

    /// What is written beside: `reporter/write.rs`.
    const WRITTEN: [(&str, &str); 3] =
        [("nodes", "patch"), ("nodes/status", "patch"), ("events.events.k8s.io", "create")];

    #[test]
    fn the_manifest_grants_what_is_asked_for_and_nothing_else() {
        let text = include_str!("../../../../deploy/manifests/rbac.yaml");
        let objects: Vec<Value> = serde_saphyr::from_multiple(text).expect("YAML");
        let role = objects.iter().find(|object| object["kind"] == "ClusterRole").expect("a role");
        let words = |value: &Value| serde_json::from_value::<Vec<String>>(value.clone()).expect("words");
        let mut granted = Vec::new();
        for rule in role["rules"].as_array().expect("rules") {
            assert_eq!(rule.as_object().map(serde_json::Map::len), Some(3), "{rule}");
            for (group, name, verb) in
                each_of(&words(&rule["apiGroups"]), &words(&rule["resources"]), &words(&rule["verbs"]))
            {
                let resource = if group.is_empty() { name } else { format!("{name}.{group}") };
                granted.push((resource, verb));
            }
        }
        let read = KINDS.into_iter().flat_map(|kind| ["get", "list", "watch"].map(|verb| (resource(kind).name, verb)));
        let asked = read.chain(WRITTEN).map(|(name, verb)| (name.to_owned(), verb.to_owned()));
        let sorted = |mut all: Vec<(String, String)>| {
            all.sort();
            all
        };
        assert_eq!(sorted(granted), sorted(asked.collect()));
    }

    fn each_of(groups: &[String], names: &[String], verbs: &[String]) -> Vec<(String, String, String)> {
        let of_group = |group: &String| {
            let of_name = |name: &String| {
                verbs.iter().map(|verb| (group.clone(), name.clone(), verb.clone())).collect::<Vec<_>>()
            };
            names.iter().flat_map(of_name).collect::<Vec<_>>()
        };
        groups.iter().flat_map(of_group).collect()
    }
}
