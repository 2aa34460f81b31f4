//! NetworkPolicy as the path asks it: may this peer talk to this pod at this port?
//!
//! ```text
//! PodPolicy: ingress, egress -> Rules: any | by identity | by address | by block -> Ports
//! ```
//!
//! Policies only add, so all that select a pod are united into one [`Rules`] a direction when they are compiled. Pods
//! with the same rules share them by `Arc`.

mod blocks;
mod identity;
mod ports;
mod rules;

use std::sync::Arc;

pub use identity::{Identities, Identity};
pub use ports::{BadPortRange, PortRange, Ports};
pub use rules::{Rules, RulesBuilder};

/// What a pod may do. The default is a pod that no policy selects.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PodPolicy {
    /// Who may open connections to it; `None`: everyone, it is not isolated.
    pub ingress: Option<Arc<Rules>>,
    /// What it may open connections to; `None`: everything, it is not isolated.
    pub egress: Option<Arc<Rules>>,
}

/// For what no policy was given.
pub(crate) static NOT_ISOLATED: PodPolicy = PodPolicy { ingress: None, egress: None };
