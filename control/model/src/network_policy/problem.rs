//! What can be wrong with a policy beside what can be wrong with any object.

use std::net::IpAddr;

use ipnet::IpNet;

use crate::object::Key;

/// What is wrong with a field of a policy, or with what policies go by. Reads after the field's name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PolicyProblem {
    /// A text that is no port's name (IANA service name, RFC 6335 section 5.1).
    #[error(
        "\"{value}\" is no port's name: at most 15 lower case letters, digits and single inner '-', one a letter at least"
    )]
    NotAPortName {
        /// As written.
        value: String,
    },
    /// A range without a number that it begins with.
    #[error("ends a range that has no beginning; write the first number in port")]
    NoBeginning,
    /// A range that ends before it begins.
    #[error("{end} lies before {port}; write the smaller number in port")]
    EndBeforePort {
        /// Where it ends.
        end: u16,
        /// Where it begins.
        port: u16,
    },
    /// A peer that says nothing.
    #[error("chooses nobody; write podSelector, namespaceSelector or ipBlock, or leave the list out to mean anybody")]
    NoPeer,
    /// A block and a selector in one item.
    #[error("cannot stand beside a selector; give it an item of its own")]
    BlockWithSelector,
    /// What is taken out of a block is not a part of it.
    #[error("{value} is no part of {cidr}; except only takes away from its own block")]
    NotInside {
        /// What should be taken out.
        value: IpNet,
        /// The block.
        cidr: IpNet,
    },
    /// Peers under the name that the other direction has for them.
    #[error("is for the other direction; write {instead}")]
    WrongDirection {
        /// What to write.
        instead: &'static str,
    },
    /// An address that somebody else has, too. It is then nobody's, for policies.
    #[error(
        "{address} is also the address of {other}; until one gives it up, policies that select pods do not let it in"
    )]
    AddressTaken {
        /// The address.
        address: IpAddr,
        /// Who else has it.
        other: Key,
    },
}
