//! NetworkPolicies: which pods they isolate, and what they allow.

use crate::check::Check;
use crate::fault::Fault;
use crate::name::NetworkPolicyName;
use crate::object::Kind;
use crate::raw;

/// A checked NetworkPolicy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NetworkPolicy {
    /// Namespace and name.
    pub name: NetworkPolicyName,
}

pub(crate) fn check(raw: &raw::NetworkPolicy) -> Result<NetworkPolicy, Vec<Fault>> {
    let metadata = raw.metadata.clone().unwrap_or_default();
    let mut check = Check::new(Kind::NetworkPolicy, &metadata);
    let name = check.full_name(&metadata, NetworkPolicyName::new);
    check.finish(name.map(|name| NetworkPolicy { name }))
}
