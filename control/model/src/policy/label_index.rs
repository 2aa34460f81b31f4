//! From label to those that carry it, so that a selector is answered without asking each of them.

use std::collections::BTreeMap;

use super::members::Members;
use crate::object::Labels;
use crate::selector::{LabelTest, Requirement, Selector};

/// Who carries which label. Those that are indexed have numbers from 0.
#[derive(Clone, Debug, Default)]
pub(super) struct LabelIndex {
    size: u32,
    carriers: BTreeMap<String, BTreeMap<String, Carriers>>,
}

/// Those that carry one label: mostly few, so they are listed.
type Carriers = Vec<u32>;

impl LabelIndex {
    /// Adds the next one, and returns its number.
    pub(super) fn push(&mut self, labels: &Labels) -> u32 {
        let member = self.size;
        self.size += 1;
        for (key, value) in labels {
            if !self.carriers.contains_key(key) {
                self.carriers.insert(key.clone(), BTreeMap::new());
            }
            let Some(values) = self.carriers.get_mut(key) else { continue };
            match values.get_mut(value) {
                Some(carriers) => carriers.push(member),
                None => drop(values.insert(value.clone(), vec![member])),
            }
        }
        member
    }

    /// All of them.
    pub(super) fn all(&self) -> Members {
        Members::below(self.size)
    }

    /// Those of `among` that a selector means.
    pub(super) fn select(&self, selector: &Selector, mut among: Members) -> Members {
        for Requirement { key, test } in selector.requirements() {
            let with_key = self.carriers.get(key);
            let with = |value: &String| with_key.and_then(|values| values.get(value)).into_iter().flatten();
            let any_value = || with_key.into_iter().flatten().flat_map(|(_, carriers)| carriers);
            match test {
                LabelTest::In(values) => among.intersect(&set(values.iter().flat_map(with))),
                LabelTest::Exists => among.intersect(&set(any_value())),
                LabelTest::NotIn(values) => among.subtract(&set(values.iter().flat_map(with))),
                LabelTest::DoesNotExist => among.subtract(&set(any_value())),
            }
        }
        among
    }
}

fn set<'m>(carriers: impl Iterator<Item = &'m u32>) -> Members {
    let mut set = Members::default();
    carriers.for_each(|member| set.insert(*member));
    set
}
