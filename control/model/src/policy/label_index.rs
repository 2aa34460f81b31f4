//! From label to those that carry it, so that a selector is answered without asking each of them.

use std::collections::BTreeMap;

use super::members::Members;
use crate::object::Labels;
use crate::selector::{LabelTest, Requirement, Selector};

/// Who carries which label. Those that are indexed have numbers from 0.
#[derive(Debug, Default)]
pub(super) struct LabelIndex<'a> {
    size: usize,
    carriers: BTreeMap<&'a str, BTreeMap<&'a str, Vec<u32>>>,
}

impl<'a> LabelIndex<'a> {
    /// Adds the next one, and returns its number.
    pub(super) fn push(&mut self, labels: impl IntoIterator<Item = (&'a str, &'a str)>) -> u32 {
        let member = self.size as u32;
        self.size += 1;
        for (key, value) in labels {
            self.carriers.entry(key).or_default().entry(value).or_default().push(member);
        }
        member
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.size
    }

    /// All of them.
    pub(super) fn all(&self) -> Members {
        let mut all = Members::none(self.size);
        (0..self.size as u32).for_each(|member| all.insert(member));
        all
    }

    /// Those of `among` that a selector means.
    pub(super) fn select(&self, selector: &Selector, mut among: Members) -> Members {
        for Requirement { key, test } in selector.requirements() {
            let with_key = self.carriers.get(key.as_str());
            let with = |value: &String| with_key.and_then(|values| values.get(value.as_str())).into_iter().flatten();
            let any_value = || with_key.into_iter().flatten().flat_map(|(_, members)| members);
            match test {
                LabelTest::In(values) => self.keep(&mut among, values.iter().flat_map(with)),
                LabelTest::Exists => self.keep(&mut among, any_value()),
                LabelTest::NotIn(values) => values.iter().flat_map(with).for_each(|member| among.remove(*member)),
                LabelTest::DoesNotExist => any_value().for_each(|member| among.remove(*member)),
            }
        }
        among
    }

    fn keep<'m>(&self, among: &mut Members, members: impl Iterator<Item = &'m u32>) {
        let mut kept = Members::none(self.size);
        members.for_each(|member| kept.insert(*member));
        among.intersect(&kept);
    }
}

/// Labels as the index takes them.
pub(super) fn pairs(labels: &Labels) -> impl Iterator<Item = (&str, &str)> {
    labels.iter().map(|(key, value)| (key.as_str(), value.as_str()))
}
