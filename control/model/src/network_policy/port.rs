//! One of a rule's ports.

use super::problem::PolicyProblem;
use crate::check::Check;
use crate::fault::{FieldPath, Problem};
use crate::protocol::Protocol;
use crate::raw::{self, IntOrString};

/// Ports of a destination.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PolicyPort {
    /// Every port of a protocol.
    Whole(Protocol),
    /// The ports `first..=last`, both from 1, `first` not after `last`.
    Range {
        /// The protocol.
        protocol: Protocol,
        /// The first port.
        first: u16,
        /// The last port.
        last: u16,
    },
    /// What the destination pod calls by this name, for this protocol: nothing, where it has no such port.
    Named {
        /// The protocol.
        protocol: Protocol,
        /// The name of a container's port.
        name: String,
    },
}

pub(super) fn check(check: &mut Check, field: &FieldPath, raw: &raw::NetworkPolicyPort) -> Option<PolicyPort> {
    let protocol = check.protocol(field.clone().key("protocol"), raw.protocol.as_deref());
    let at = field.clone().key("port");
    let end = field.clone().key("endPort");
    let wrong = |check: &mut Check, field, problem| check.fault(field, Problem::Policy(problem));
    match (&raw.port, raw.end_port) {
        (None, None) => Some(PolicyPort::Whole(protocol?)),
        (Some(IntOrString::Text(name)), None) if is_port_name(name) => {
            Some(PolicyPort::Named { protocol: protocol?, name: name.clone() })
        }
        (Some(IntOrString::Text(name)), None) => wrong(check, at, PolicyProblem::NotAPortName { value: name.clone() }),
        (None | Some(IntOrString::Text(_)), Some(_)) => wrong(check, end, PolicyProblem::NoBeginning),
        (Some(IntOrString::Int(first)), last) => {
            let first = check.port(at, Some(*first));
            let last = last.map_or(first, |last| check.port(end.clone(), Some(last)));
            let (protocol, first, last) = (protocol?, first?, last?);
            if last < first {
                return wrong(check, end, PolicyProblem::EndBeforePort { end: last, port: first });
            }
            Some(PolicyPort::Range { protocol, first, last })
        }
    }
}

/// The API server's `IsValidPortName`.
fn is_port_name(name: &str) -> bool {
    let inner = name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
    let letter = name.bytes().any(|b| b.is_ascii_lowercase());
    let hyphens = name.starts_with('-') || name.ends_with('-') || name.contains("--");
    inner && letter && !hyphens && name.len() <= 15
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_name_is_a_service_name() {
        for good in ["http", "a", "80-http", "x-1", "a23456789012345"] {
            assert!(is_port_name(good), "{good}");
        }
        for bad in ["", "80", "Http", "-a", "a-", "a--b", "a_b", "a234567890123456"] {
            assert!(!is_port_name(bad), "{bad}");
        }
    }
}
