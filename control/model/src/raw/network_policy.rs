//! `networking.k8s.io/v1/NetworkPolicy`.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::raw::{IntOrString, Metadata};

/// A NetworkPolicy.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct NetworkPolicy {
    /// Metadata.
    pub metadata: Option<Metadata>,
    /// Spec.
    pub spec: Option<NetworkPolicySpec>,
}

/// `spec` of a NetworkPolicy.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct NetworkPolicySpec {
    /// The pods it is about; missing or empty means every pod of its namespace.
    pub pod_selector: Option<LabelSelector>,
    /// `Ingress`, `Egress`; missing or empty means `Ingress`, and `Egress` too where there is an egress rule.
    pub policy_types: Option<Vec<String>>,
    /// What may come in.
    pub ingress: Option<Vec<NetworkPolicyRule>>,
    /// What may go out.
    pub egress: Option<Vec<NetworkPolicyRule>>,
}

/// One of `spec.ingress` or `spec.egress`. Both lists of peers are read in both, so that the wrong one is told: ignored,
/// it would let everybody in.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct NetworkPolicyRule {
    /// Who may come in; missing or empty means anybody. For ingress alone.
    pub from: Option<Vec<NetworkPolicyPeer>>,
    /// Where it may go; missing or empty means anywhere. For egress alone.
    pub to: Option<Vec<NetworkPolicyPeer>>,
    /// At which ports of the destination; missing or empty means all, and all protocols.
    pub ports: Option<Vec<NetworkPolicyPort>>,
}

/// One of a rule's `from` or `to`.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct NetworkPolicyPeer {
    /// Pods with these labels; missing beside a namespace selector means all of them.
    pub pod_selector: Option<LabelSelector>,
    /// In namespaces with these labels; missing beside a pod selector means the policy's own.
    pub namespace_selector: Option<LabelSelector>,
    /// Addresses.
    pub ip_block: Option<IpBlock>,
}

/// `ipBlock` of a peer.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct IpBlock {
    /// The network.
    pub cidr: Option<String>,
    /// Networks in it that are not meant.
    pub except: Option<Vec<String>>,
}

/// One of a rule's `ports`.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct NetworkPolicyPort {
    /// `TCP` when missing.
    pub protocol: Option<String>,
    /// A number or the name of a container's port; missing means every port of the protocol.
    pub port: Option<IntOrString>,
    /// The last of a range that begins with `port`.
    pub end_port: Option<i64>,
}

/// A label selector.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct LabelSelector {
    /// Labels that must be there with these values; a `null` value is the empty one.
    pub match_labels: Option<BTreeMap<String, Option<String>>>,
    /// Further requirements.
    pub match_expressions: Option<Vec<LabelSelectorRequirement>>,
}

/// One of `matchExpressions`.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct LabelSelectorRequirement {
    /// The label's key.
    pub key: Option<String>,
    /// `In`, `NotIn`, `Exists` or `DoesNotExist`.
    pub operator: Option<String>,
    /// Values for `In` and `NotIn`.
    pub values: Option<Vec<String>>,
}
