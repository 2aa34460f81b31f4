//! The way back to the Kubernetes API, where the objects come from there: what this node uses, and what is wrong with objects.

use std::sync::Arc;
use std::time::{Duration, Instant};

use sluice_model::{Kind, Subject};
use sluice_source::kube::{self, KindStatus, NodeFacts, ObjectFault, Reporter, ReporterTiming};
use tokio::time::MissedTickBehavior;
use tracing::warn;

use crate::agent::Agent;
use crate::conditions::Unserving;
use crate::config::{Encapsulation, Source};
use crate::feed;
use crate::readiness::Condition;

/// Time between two looks for faults that are new.
const LOOK: Duration = Duration::from_millis(200);
/// All that hold are told again so often; who is told decides whether that is soon.
const REPEAT: Duration = Duration::from_secs(60);

/// The API, as far as it is spoken to.
#[derive(Debug)]
pub(crate) struct Api {
    /// How the watches fare.
    pub(crate) watches: kube::Status,
    /// What tells the API something.
    pub(crate) reporter: Reporter,
}

impl Api {
    /// To be called in a tokio runtime.
    pub(crate) fn start(agent: &Agent, watches: kube::Status) -> anyhow::Result<Option<Self>> {
        let Source::Kubernetes(kubernetes) = &agent.config.source else { return Ok(None) };
        let access = feed::access(kubernetes)?;
        let timing = ReporterTiming { events_per_minute: kubernetes.events_per_minute, ..ReporterTiming::default() };
        let reporter = Reporter::start(access, agent.config.node_name.clone(), timing);
        Ok(Some(Self { watches, reporter }))
    }
}

impl Agent {
    /// Tells the API what this node uses, once that works.
    pub(crate) fn tell_node_facts(&self) {
        let Some(api) = self.api.get() else { return };
        if [Condition::Node, Condition::HostPort].into_iter().any(|condition| self.readiness.is_unmet(condition)) {
            return;
        }
        let network = &self.config.network;
        let tunnel = self.generations.tunnel();
        let encapsulation = match network.encapsulation {
            Encapsulation::Vxlan => "vxlan",
            Encapsulation::Geneve => "geneve",
            Encapsulation::None => "none",
        };
        api.reporter.publish_node(NodeFacts {
            tunnel_addresses: tunnel.iter().map(|tunnel| tunnel.local).collect(),
            encapsulation: self.uplink.is_some().then(|| encapsulation.to_owned()),
            tunnel_port: tunnel.map(|tunnel| tunnel.port),
            vni: tunnel.map(|tunnel| tunnel.vni),
            mtu: Some(self.shape.path_mtu.into()),
        });
    }

    /// Brings what is known to be wrong up to date, and logs what is new.
    pub(crate) fn renew_faults(&self) {
        for fault in self.faults.replace(self.generations.faults()) {
            warn!(fault, "objects are not as they should be");
        }
    }

    /// What is wrong with objects, those of which nothing but this node knows among them.
    fn object_faults(&self) -> Vec<ObjectFault> {
        let node = Subject { kind: Kind::Node, namespace: None, name: Some(self.config.node_name.as_str().to_owned()) };
        let exhausted = self.ledger.exhausted().into_iter().map(|exhausted| ObjectFault {
            subject: node.clone(),
            reason: "AddressesExhausted",
            note: exhausted.to_string(),
        });
        self.faults.of_objects().into_iter().chain(exhausted).collect()
    }
}

/// Tells what is wrong with the objects, with this node and its clock, in the log and to the API, until the task is dropped. Apart from those who put objects in
/// force, so that nothing waits for it.
pub(crate) async fn tell_faults(agent: Arc<Agent>) {
    let mut looks = tokio::time::interval(LOOK);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let (mut seen, mut told, mut unserving) = (None, None::<Instant>, Unserving::default());
    loop {
        looks.tick().await;
        agent.generations.look_at_clocks();
        agent.tell_conditions(&mut unserving);
        let state = (agent.generations.object_changes(), agent.dataplane.generation(), agent.faults.changes());
        let again = told.is_none_or(|told| told.elapsed() >= REPEAT);
        if seen == Some(state) && !again {
            continue;
        }
        seen = Some(state);
        told = Some(Instant::now());
        let asking = Arc::clone(&agent);
        // A panic has been logged.
        let _ = tokio::task::spawn_blocking(move || {
            asking.renew_faults();
            if let Some(api) = asking.api.get() {
                if let Some(waiting) = waiting(&api.watches.kinds()) {
                    asking.readiness.explain(Condition::Objects, waiting);
                }
                api.reporter.report(&asking.object_faults());
            }
        })
        .await;
    }
}

/// Which objects are waited for, and why they do not come; `None` when none are.
fn waiting(kinds: &[KindStatus]) -> Option<String> {
    let missing = kinds.iter().filter(|kind| !kind.synced);
    let told: Vec<String> = missing
        .map(|KindStatus { kind, state, last_failure, .. }| match last_failure {
            Some((failure, _)) => format!("{kind} ({state}: {failure})"),
            None => format!("{kind} ({state})"),
        })
        .collect();
    (!told.is_empty()).then(|| format!("the API server has not told all objects yet: {}", told.join(", ")))
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use sluice_source::Failure;
    use sluice_source::kube::KindState;

    use super::*;

    #[test]
    fn kinds_that_are_waited_for_are_named_with_what_keeps_them() {
        let kind = |kind: Kind, synced: bool, state: KindState, failure: Option<Failure>| KindStatus {
            kind,
            state,
            since: SystemTime::UNIX_EPOCH,
            synced,
            objects: 0,
            faulty: 0,
            resource_version: String::new(),
            heard: None,
            last_failure: failure.map(|failure| (failure, SystemTime::UNIX_EPOCH)),
            lists: 0,
            failures: 0,
            events: 0,
        };
        let forbidden = Failure::Forbidden { verb: "list", resource: "services", message: "no".into() };
        let all = [
            kind(Kind::Node, true, KindState::Watching, None),
            kind(Kind::Pod, false, KindState::Listing, None),
            kind(Kind::Service, false, KindState::Forbidden, Some(forbidden)),
        ];
        let told = waiting(&all).expect("two are missing");
        assert!(told.contains(": Pod (listing), Service (forbidden: list services is forbidden"), "{told}");
        assert_eq!(waiting(&all[..1]), None);
    }
}
