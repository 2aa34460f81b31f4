//! NetworkPolicies (`networking.k8s.io/v1`): which pods they isolate, and what they allow.
//!
//! What a missing or an empty field means is settled here, so that later code asks no more: an empty list of peers is
//! anybody, an empty list of ports is every port of every protocol, and a direction that the policy is not about is `None`.
//! The rules are those of the API server's validation (`pkg/apis/networking/validation`) and defaults
//! (`pkg/apis/networking/v1/defaults.go`), because manifests in a directory have not been through it.

mod peer;
mod port;
mod problem;

pub use peer::{IpBlock, PolicyPeer};
pub use port::PolicyPort;
pub use problem::PolicyProblem;

use crate::check::Check;
use crate::fault::{Fault, FieldPath, Problem};
use crate::name::NetworkPolicyName;
use crate::object::Kind;
use crate::raw;
use crate::selector::{self, Selector};

/// A checked NetworkPolicy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NetworkPolicy {
    /// Namespace and name.
    pub name: NetworkPolicyName,
    /// The pods of its namespace that it is about.
    pub subjects: Selector,
    /// What may come in to them: without a rule nothing. `None`: it leaves this direction alone.
    pub ingress: Option<Vec<PolicyRule>>,
    /// What may go out of them: without a rule nothing. `None`: it leaves this direction alone.
    pub egress: Option<Vec<PolicyRule>>,
}

/// One thing that a policy allows: these peers at these ports of the destination.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PolicyRule {
    /// Any of these; empty: anybody, pod or not.
    pub peers: Vec<PolicyPeer>,
    /// Any of these; empty: every port, and protocols without ports too.
    pub ports: Vec<PolicyPort>,
}

/// Which list of rules is read.
#[derive(Clone, Copy)]
enum Side {
    Ingress,
    Egress,
}

impl Side {
    /// The list of rules, the list of peers in a rule, and the list of peers that has no meaning in it.
    fn fields(self) -> (&'static str, &'static str, &'static str) {
        match self {
            Side::Ingress => ("ingress", "from", "to"),
            Side::Egress => ("egress", "to", "from"),
        }
    }
}

pub(crate) fn check(raw: &raw::NetworkPolicy) -> Result<NetworkPolicy, Vec<Fault>> {
    let metadata = raw.metadata.clone().unwrap_or_default();
    let spec = raw.spec.clone().unwrap_or_default();
    let mut check = Check::new(Kind::NetworkPolicy, &metadata);
    let name = check.full_name(&metadata, NetworkPolicyName::new);
    let at = FieldPath::of(&["spec", "podSelector"]);
    let subjects = selector::check(&mut check, &at, &spec.pod_selector.clone().unwrap_or_default());
    let ingress = check_rules(&mut check, Side::Ingress, spec.ingress.as_deref().unwrap_or_default());
    let egress = check_rules(&mut check, Side::Egress, spec.egress.as_deref().unwrap_or_default());
    let types = check_types(&mut check, &spec);
    check.finish(name.map(|name| NetworkPolicy {
        name,
        subjects,
        ingress: types.ingress.then_some(ingress),
        egress: types.egress.then_some(egress),
    }))
}

struct Types {
    ingress: bool,
    egress: bool,
}

/// Which directions a policy is about. Rules for a direction that `policyTypes` leaves out have no effect, as the API
/// has it.
fn check_types(check: &mut Check, spec: &raw::NetworkPolicySpec) -> Types {
    let written = spec.policy_types.as_deref().unwrap_or_default();
    if written.is_empty() {
        return Types { ingress: true, egress: spec.egress.as_ref().is_some_and(|rules| !rules.is_empty()) };
    }
    let mut types = Types { ingress: false, egress: false };
    for (position, value) in written.iter().enumerate() {
        match value.as_str() {
            "Ingress" => types.ingress = true,
            "Egress" => types.egress = true,
            other => {
                let field = FieldPath::of(&["spec", "policyTypes"]).index(position);
                check.fault::<()>(field, Problem::NotOneOf { value: other.to_owned(), allowed: "Ingress, Egress" });
            }
        }
    }
    types
}

/// Rules are checked even where `policyTypes` leaves their direction out: a fault in them is still somebody's mistake.
fn check_rules(check: &mut Check, side: Side, raw: &[raw::NetworkPolicyRule]) -> Vec<PolicyRule> {
    let (list, peers, misplaced) = side.fields();
    let rules = raw.iter().enumerate().map(|(position, raw)| {
        let field = FieldPath::of(&["spec", list]).index(position);
        let (ours, other) = match side {
            Side::Ingress => (&raw.from, &raw.to),
            Side::Egress => (&raw.to, &raw.from),
        };
        if other.is_some() {
            let problem = PolicyProblem::WrongDirection { instead: peers };
            check.fault::<()>(field.clone().key(misplaced), Problem::Policy(problem));
        }
        let peers = list_of(check, &field.clone().key(peers), ours, peer::check);
        let ports = list_of(check, &field.key("ports"), &raw.ports, port::check);
        PolicyRule { peers, ports }
    });
    rules.collect()
}

fn list_of<R, T>(
    check: &mut Check,
    field: &FieldPath,
    raw: &Option<Vec<R>>,
    one: impl Fn(&mut Check, &FieldPath, &R) -> Option<T>,
) -> Vec<T> {
    let items = raw.iter().flatten().enumerate();
    items.filter_map(|(position, raw)| one(check, &field.clone().index(position), raw)).collect()
}
