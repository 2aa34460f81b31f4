//! Which pod a CNI request is about, from `CNI_ARGS` as kubelet's runtimes set it.

use sluice_model::{NameError, PodName};

/// Namespace of containers that the runtime names no pod for, as when the plugin is called by hand.
const UNNAMED: &str = "unnamed";

/// A pod as the runtime names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PodIdentity {
    /// Namespace and name.
    pub(crate) name: PodName,
    /// The uid, when it was given.
    pub(crate) uid: Option<String>,
}

/// The runtime named a pod by a name that no pod can have.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("CNI_ARGS: {key} {value:?} {source}")]
pub(crate) struct IdentityError {
    key: &'static str,
    value: String,
    source: NameError,
}

impl PodIdentity {
    /// Reads `K8S_POD_NAMESPACE`, `K8S_POD_NAME` and `K8S_POD_UID` from `args` (`KEY=VALUE;...`); other keys are for
    /// others. Without a pod's name the identity is `fallback` in a namespace of its own.
    pub(crate) fn from_args(args: &str, fallback: &str) -> Result<Self, IdentityError> {
        let value = |key: &str| {
            args.split(';')
                .filter_map(|pair| pair.split_once('='))
                .find(|(k, v)| *k == key && !v.is_empty())
                .map(|p| p.1)
        };
        let (namespace, name) = match (value("K8S_POD_NAMESPACE"), value("K8S_POD_NAME")) {
            (Some(namespace), Some(name)) => (namespace, name),
            _ => (UNNAMED, fallback),
        };
        let failed = |key: &'static str, value: &str| {
            let value = value.to_owned();
            move |source| IdentityError { key, value, source }
        };
        let namespace = sluice_model::NamespaceName::new(namespace).map_err(failed("K8S_POD_NAMESPACE", namespace))?;
        let name = PodName::new(namespace, name).map_err(failed("K8S_POD_NAME", name))?;
        Ok(Self { name, uid: value("K8S_POD_UID").map(str::to_owned) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kubelets_arguments_are_read() {
        let args =
            "IgnoreUnknown=1;K8S_POD_NAMESPACE=default;K8S_POD_NAME=web-0;K8S_POD_INFRA_CONTAINER_ID=x;K8S_POD_UID=u";
        let identity = PodIdentity::from_args(args, "slu1").unwrap();
        assert_eq!(identity.name.to_string(), "default/web-0");
        assert_eq!(identity.uid.as_deref(), Some("u"));
    }

    #[test]
    fn a_container_without_a_pod_has_a_name_all_the_same() {
        for args in ["", ";;", "x", "K8S_POD_NAME=web", "K8S_POD_NAMESPACE=;K8S_POD_NAME=web"] {
            assert_eq!(PodIdentity::from_args(args, "slu1").unwrap().name.to_string(), "unnamed/slu1", "{args}");
        }
    }

    #[test]
    fn a_bad_name_is_refused_by_its_key() {
        let refused = PodIdentity::from_args("K8S_POD_NAMESPACE=A_B;K8S_POD_NAME=web", "slu1").unwrap_err().to_string();
        assert!(refused.contains("K8S_POD_NAMESPACE") && refused.contains("A_B"), "{refused}");
        let refused = PodIdentity::from_args("K8S_POD_NAMESPACE=a;K8S_POD_NAME=../x", "slu1").unwrap_err().to_string();
        assert!(refused.contains("K8S_POD_NAME") && refused.contains("../x"), "{refused}");
    }
}
