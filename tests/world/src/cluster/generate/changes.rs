//! Changes of a cluster while connections are there: other policies, endpoints that end or go.

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::{Index, select};

use super::policies;
use crate::cluster::{Cluster, Policy};

/// What becomes of an endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    /// Its slices name it no more.
    Removed,
    /// It ends, and serves meanwhile.
    Terminating,
    /// It ends, and serves no more.
    NotServing,
    /// It is not ready, but serves.
    NotReady,
}

/// A change before it knows its cluster.
#[derive(Clone, Debug)]
pub struct Change {
    policies: Option<Vec<Policy>>,
    endpoints: Vec<(Index, Index, Fate)>,
}

/// Any change.
pub fn changes() -> impl Strategy<Value = Change> {
    let fate = select(vec![Fate::Removed, Fate::Removed, Fate::Terminating, Fate::NotServing, Fate::NotReady]);
    let endpoints = vec((any::<Index>(), any::<Index>(), fate), 0..8);
    (option::of(vec(policies::policies(), 0..4)), endpoints)
        .prop_map(|(policies, endpoints)| Change { policies, endpoints })
}

impl Change {
    /// The cluster after it.
    #[must_use]
    pub fn apply(&self, before: &Cluster) -> Cluster {
        let mut after = before.clone();
        if let Some(policies) = &self.policies {
            after.policies.clone_from(policies);
            let namespaces = after.namespaces.len();
            after.policies.iter_mut().for_each(|policy| policy.namespace %= namespaces);
        }
        for (service, endpoint, fate) in &self.endpoints {
            let services = after.services.len().max(1);
            let Some(service) = after.services.get_mut(service.index(services)) else { continue };
            let addresses: Vec<_> = service.slices.iter().flat_map(|it| &it.endpoints).map(|it| it.address).collect();
            if addresses.is_empty() {
                continue;
            }
            let address = addresses[endpoint.index(addresses.len())];
            for slice in &mut service.slices {
                if *fate == Fate::Removed {
                    slice.endpoints.retain(|it| it.address != address);
                }
                for it in slice.endpoints.iter_mut().filter(|it| it.address == address) {
                    it.ready = Some(false);
                    it.serving = Some(*fate != Fate::NotServing);
                    it.terminating = Some(*fate != Fate::NotReady);
                }
            }
        }
        after
    }
}
