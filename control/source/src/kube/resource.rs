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
    use super::*;

    #[test]
    fn an_object_is_found_below_its_namespace() {
        let slice = resource(Kind::EndpointSlice);
        assert_eq!(
            slice.path_of(Some("shop"), "web-1"),
            "/apis/discovery.k8s.io/v1/namespaces/shop/endpointslices/web-1"
        );
        assert_eq!(resource(Kind::Node).path_of(None, "n1"), "/api/v1/nodes/n1");
    }
}
