//! Where objects are in the API.

use serde_json::Value;

use crate::error::E2eError;

/// The kinds that the tests use: kind, plural, whether it is in a namespace.
const KINDS: &[(&str, &str, bool)] = &[
    ("Namespace", "namespaces", false),
    ("Node", "nodes", false),
    ("Pod", "pods", true),
    ("Service", "services", true),
    ("ServiceAccount", "serviceaccounts", true),
    ("EndpointSlice", "endpointslices", true),
    ("NetworkPolicy", "networkpolicies", true),
    ("ClusterRole", "clusterroles", false),
    ("ClusterRoleBinding", "clusterrolebindings", false),
    ("ConfigMap", "configmaps", true),
    ("DaemonSet", "daemonsets", true),
    ("Job", "jobs", true),
];

/// The path of an object, by its kind, namespace (`default` where it has none) and name.
///
/// # Errors
/// [`E2eError::Object`] for a kind that no test uses, or without a name.
pub fn path_of(object: &Value) -> Result<String, E2eError> {
    let name = object["metadata"]["name"].as_str();
    let name = name.ok_or_else(|| E2eError::Object(format!("an object without metadata.name: {object}")))?;
    Ok(format!("{}/{name}", collection_of(object)?))
}

/// The path of the collection that an object belongs in.
pub(crate) fn collection_of(object: &Value) -> Result<String, E2eError> {
    let kind = object["kind"].as_str().unwrap_or_default();
    let known = KINDS.iter().find(|(name, ..)| *name == kind);
    let (_, plural, namespaced) = known.ok_or_else(|| E2eError::Object(format!("no test uses the kind {kind:?}")))?;
    let version = object["apiVersion"].as_str().unwrap_or("v1");
    let root = if version.contains('/') { "/apis" } else { "/api" };
    let namespace = object["metadata"]["namespace"].as_str().unwrap_or("default");
    Ok(match namespaced {
        true => format!("{root}/{version}/namespaces/{namespace}/{plural}"),
        false => format!("{root}/{version}/{plural}"),
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn objects_are_found_with_and_without_group_and_namespace() {
        let of = |object: Value| path_of(&object).expect("a path");
        let node = json!({ "apiVersion": "v1", "kind": "Node", "metadata": { "name": "a" } });
        assert_eq!(of(node), "/api/v1/nodes/a");
        let policy = json!({
            "apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", "metadata": { "name": "p", "namespace": "n" },
        });
        assert_eq!(of(policy), "/apis/networking.k8s.io/v1/namespaces/n/networkpolicies/p");
        assert!(path_of(&json!({ "kind": "Secret", "metadata": { "name": "s" } })).is_err());
        assert!(path_of(&json!({ "kind": "Node" })).is_err());
    }
}
