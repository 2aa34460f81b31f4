//! STATUS: whether a pod could be attached now, and if not, whether those that are attached are hurt too.

use std::collections::BTreeMap;

use sluice_cni_protocol::{CniError, code};

use crate::agent::Agent;
use crate::dataplane::{Occupancy, PORT_FRAMES};
use crate::readiness::Condition;

/// Why no pod can be attached now.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("pods cannot be attached: {}", .reasons.join("; "))]
pub(crate) struct Unavailable {
    /// Whether pods that are attached are hurt too.
    pods_hurt: bool,
    reasons: Vec<String>,
}

impl From<Unavailable> for CniError {
    fn from(unavailable: Unavailable) -> Self {
        let code = if unavailable.pods_hurt { code::LIMITED } else { code::NOT_AVAILABLE };
        CniError::new(code, unavailable.to_string())
    }
}

/// What it is judged by.
#[derive(Debug, Clone)]
struct Facts {
    unmet: BTreeMap<Condition, String>,
    /// Families without a free address.
    exhausted: Vec<String>,
    frames: Occupancy,
    has_free_port: bool,
    /// Why the latest tables could not be made.
    refused: Option<String>,
    dead_workers: usize,
}

impl Agent {
    /// Whether an ADD could be carried out now.
    pub(crate) fn can_attach(&self) -> Result<(), Unavailable> {
        judge(Facts {
            unmet: self.readiness.all_unmet(),
            exhausted: self.ledger.exhausted().iter().map(ToString::to_string).collect(),
            frames: self.dataplane.occupancy(),
            has_free_port: self.ledger.has_free_port(),
            refused: self.generations.refused(),
            dead_workers: self.dataplane.dead_workers().len(),
        })
    }
}

fn judge(facts: Facts) -> Result<(), Unavailable> {
    let Facts { unmet, exhausted, frames, has_free_port, refused, dead_workers } = facts;
    // Without podCIDRs the host port can have no address; it is the Node object that is missing.
    let follows = |condition: Condition| condition == Condition::HostPort && unmet.contains_key(&Condition::Node);
    let mut pods_hurt = unmet.keys().any(|condition| hurts_pods(*condition) && !follows(*condition));
    let mut reasons: Vec<String> = unmet.into_values().chain(exhausted).collect();
    if frames.free < PORT_FRAMES {
        let Occupancy { free, total } = frames;
        reasons.push(format!("{free} of {total} frames are free, a pod needs {PORT_FRAMES}; raise umemFrames"));
    }
    if !has_free_port {
        reasons.push("all ports of the switch are in use; delete pods".to_owned());
    }
    if let Some(refused) = refused {
        // What changes in the cluster does not reach the pods any more.
        pods_hurt = true;
        reasons.push(format!("the tables cannot be made: {refused}"));
    }
    if dead_workers > 0 {
        pods_hurt = true;
        reasons.push(format!("{dead_workers} workers have ended, and pods of theirs are cut off; restart sluiced"));
    }
    if reasons.is_empty() { Ok(()) } else { Err(Unavailable { pods_hurt, reasons }) }
}

/// Whether the lack of it is felt by pods that are attached.
fn hurts_pods(lacking: Condition) -> bool {
    match lacking {
        // Without objects pods are shut but for their node; kubelet's probes come by the host port, other nodes and the
        // outside by the uplink; a stopped agent forwards nothing.
        Condition::Objects | Condition::HostPort | Condition::Uplink | Condition::Running => true,
        Condition::Node | Condition::Socket => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn well() -> Facts {
        Facts {
            unmet: BTreeMap::new(),
            exhausted: Vec::new(),
            frames: Occupancy { free: PORT_FRAMES, total: 4096 },
            has_free_port: true,
            refused: None,
            dead_workers: 0,
        }
    }

    fn told(facts: Facts) -> (u32, String) {
        let error = CniError::from(judge(facts).expect_err("something is wrong"));
        (error.code, error.msg)
    }

    #[test]
    fn an_agent_that_lacks_nothing_can_attach_pods() {
        assert_eq!(judge(well()), Ok(()));
    }

    #[test]
    fn what_keeps_new_pods_out_alone_is_50_and_what_hurts_those_that_are_there_is_51() {
        let unmet = |condition| Facts { unmet: BTreeMap::from([(condition, "because".to_owned())]), ..well() };
        let cases = [
            (unmet(Condition::Node), 50, "because"),
            (unmet(Condition::Socket), 50, "because"),
            (unmet(Condition::Objects), 51, "because"),
            (unmet(Condition::HostPort), 51, "because"),
            (unmet(Condition::Uplink), 51, "because"),
            (unmet(Condition::Running), 51, "because"),
            (Facts { exhausted: vec!["10.0.0.0/29 is full".into()], ..well() }, 50, "10.0.0.0/29"),
            (Facts { frames: Occupancy { free: PORT_FRAMES - 1, total: 1024 }, ..well() }, 50, "umemFrames"),
            (Facts { has_free_port: false, ..well() }, 50, "ports"),
            (Facts { refused: Some("two have one address".into()), ..well() }, 51, "two have one"),
            (Facts { dead_workers: 1, ..well() }, 51, "1 workers"),
        ];
        for (facts, code, word) in cases {
            let (got, msg) = told(facts.clone());
            assert!(got == code && msg.contains(word), "{facts:?}: {got} {msg}");
        }
    }

    #[test]
    fn a_node_without_pod_cidrs_keeps_new_pods_out_alone() {
        let unmet = [Condition::Node, Condition::HostPort].map(|condition| (condition, "because".to_owned()));
        assert_eq!(told(Facts { unmet: BTreeMap::from(unmet), ..well() }).0, 50);
    }

    #[test]
    fn all_reasons_are_told_and_the_worst_gives_the_code() {
        let facts = Facts { exhausted: vec!["full".into()], dead_workers: 2, ..well() };
        let (code, msg) = told(facts);
        assert!(code == 51 && msg.contains("full") && msg.contains("2 workers"), "{code} {msg}");
    }
}
