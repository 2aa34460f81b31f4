//! The name of a lab and of the namespaces it makes.

use std::fmt;
use std::str::FromStr;

use crate::error::LabError;

/// A lab's name: 1 to 16 of `a-z0-9`. No hyphen, so that no lab's namespaces can be taken for another's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LabName(String);

impl LabName {
    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// What the names of all of this lab's namespaces begin with.
    pub fn netns_prefix(&self) -> String {
        format!("slu-{self}-")
    }

    /// Name of the namespace that plays a node.
    pub fn node_netns(&self, node: &str) -> String {
        format!("slu-{self}-{node}")
    }

    /// Name of the namespace with the wire between the nodes. No Kubernetes name has an underscore.
    pub fn underlay_netns(&self) -> String {
        format!("slu-{self}-_underlay")
    }

    /// Name of the namespace that plays what is outside the cluster.
    pub fn outside_netns(&self) -> String {
        format!("slu-{self}-_outside")
    }

    /// Name of the namespace of a host on the wire that is no node.
    pub fn host_netns(&self, label: &str) -> String {
        format!("slu-{self}-_{label}")
    }

    /// Name of the namespace that plays a pod.
    pub fn pod_netns(&self, namespace: &str, pod: &str) -> String {
        format!("slu-{self}-{namespace}-{pod}")
    }
}

impl Default for LabName {
    /// The lab of someone who needs only one.
    fn default() -> Self {
        Self("default".to_owned())
    }
}

impl fmt::Display for LabName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for LabName {
    type Err = LabError;

    fn from_str(name: &str) -> Result<Self, LabError> {
        let valid =
            (1..=16).contains(&name.len()) && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
        if valid { Ok(Self(name.to_owned())) } else { Err(LabError::Name { name: name.to_owned() }) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_short_and_without_hyphens() {
        for good in ["a", "default", "lab2", "abcdefghijklmnop"] {
            assert_eq!(good.parse::<LabName>().expect("valid").as_str(), good);
        }
        for bad in ["", "a-b", "A", "a/b", "..", "abcdefghijklmnopq", "ä"] {
            assert!(matches!(bad.parse::<LabName>(), Err(LabError::Name { .. })), "{bad:?}");
        }
    }

    #[test]
    fn no_lab_s_prefix_fits_another_lab_s_namespace() {
        let one: LabName = "a".parse().expect("valid");
        let other: LabName = "ab".parse().expect("valid");
        assert!(!other.node_netns("n").starts_with(&one.netns_prefix()));
    }
}
