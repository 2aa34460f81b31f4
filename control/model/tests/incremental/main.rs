//! What a compiler makes of one change after the other is what a new one makes of the objects there are in the end.

mod objects;
mod outcome;

use std::collections::BTreeMap;

use proptest::collection::vec;
use proptest::prelude::*;
use sluice_model::{Compiler, Index, Key, Object};

use objects::{attachments, node_of, pod_step, policy_step, step};
use outcome::{Config, Outcome, compile};

/// One thing that happens.
#[derive(Clone, Debug)]
enum Step {
    Apply(Box<Object>),
    /// The object at this place among those there are.
    Delete(prop::sample::Index),
    /// Which of the pods of this node are attached.
    Attach(u8),
    /// What the operator says otherwise from now on.
    Config(fn(&mut Config)),
}

/// The objects in force, twice: in an index that has seen them come and go, and in a list.
struct World {
    index: Index,
    compiler: Compiler,
    objects: BTreeMap<Key, Object>,
    attached: u8,
    config: Config,
}

impl World {
    /// Without any object. Identities and selections that nothing uses any more are forgotten beyond so many.
    fn new(identities: usize, selections: usize) -> World {
        World {
            index: Index::new(),
            compiler: Compiler::with_slack(identities, selections),
            objects: BTreeMap::new(),
            attached: 0,
            config: Config::default(),
        }
    }

    fn take(&mut self, step: Step) {
        match step {
            Step::Apply(object) => {
                self.objects.insert(object.key(), (*object).clone());
                self.index.apply(*object);
            }
            Step::Delete(which) => {
                if let Some(key) = (!self.objects.is_empty()).then(|| which.index(self.objects.len())) {
                    let key = self.objects.keys().nth(key).cloned().expect("below the length");
                    assert_eq!(self.index.delete(&key), self.objects.remove(&key));
                }
            }
            Step::Attach(attached) => self.attached = attached,
            Step::Config(change) => change(&mut self.config),
        }
    }

    /// Both ways.
    fn outcomes(&mut self) -> (Outcome, Outcome) {
        let mut fresh = Index::new();
        for object in self.objects.values() {
            fresh.apply(object.clone());
        }
        assert_eq!(fresh, self.index);
        let attachments = attachments(self.attached);
        let node = node_of(&self.index);
        let one = compile(&mut self.compiler, &mut self.index, &node, &attachments, self.config);
        let other = compile(&mut Compiler::new(), &mut fresh, &node, &attachments, self.config);
        (one, other)
    }
}

/// Plays what happens, and compares after each round.
fn play(mut world: World, rounds: Vec<Vec<Step>>) -> Result<(), TestCaseError> {
    for steps in rounds {
        let told = format!("{steps:?}");
        steps.into_iter().for_each(|step| world.take(step));
        let (one_by_one, at_once) = world.outcomes();
        prop_assert_eq!(one_by_one, at_once, "after {}", told);
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn changes_one_by_one_come_to_the_same_as_all_at_once(
        slack in 0..5usize,
        attached in any::<u8>(),
        rounds in vec(vec(step(), 1..4), 1..40)
    ) {
        play(World { attached, ..World::new(slack, slack) }, rounds)?;
    }

    /// With pods of so many labels that identities, and what policies selected, are forgotten again and again.
    #[test]
    fn what_is_forgotten_because_nothing_uses_it_changes_nothing(
        identities in prop_oneof![Just(0), Just(1000)],
        policies in vec(policy_step(), 2..6),
        rounds in vec(vec(pod_step(), 1..3), 20..60)
    ) {
        play(World { attached: 0xf, ..World::new(identities, 0) }, [vec![policies], rounds].concat())?;
    }
}
