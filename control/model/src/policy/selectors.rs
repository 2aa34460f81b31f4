//! From labels to the selectors that may mean them, so that not every selector has to be asked.

use std::collections::{BTreeMap, BTreeSet};

use crate::object::Labels;
use crate::selector::{LabelTest, Requirement, Selector};

/// Numbered selectors, each under the labels of which it asks one.
#[derive(Clone, Debug, Default)]
pub(super) struct Selectors {
    /// Those that ask for a value of a key, by both.
    asking: BTreeMap<String, BTreeMap<String, BTreeSet<u64>>>,
    /// Those that ask for none.
    others: BTreeSet<u64>,
}

impl Selectors {
    /// Takes a selector.
    pub(super) fn insert(&mut self, number: u64, selector: &Selector) {
        let Some((key, values)) = asked(selector) else {
            self.others.insert(number);
            return;
        };
        let of_key = self.asking.entry(key.clone()).or_default();
        for value in values {
            of_key.entry(value.clone()).or_default().insert(number);
        }
    }

    /// Gives a selector up that was taken under this number.
    pub(super) fn remove(&mut self, number: u64, selector: &Selector) {
        let Some((key, values)) = asked(selector) else {
            self.others.remove(&number);
            return;
        };
        let Some(of_key) = self.asking.get_mut(key) else { return };
        for value in values {
            if let Some(numbers) = of_key.get_mut(value) {
                numbers.remove(&number);
                if numbers.is_empty() {
                    of_key.remove(value);
                }
            }
        }
        if of_key.is_empty() {
            self.asking.remove(key);
        }
    }

    /// All that mean these labels, in the order of their numbers, and some that do not.
    pub(super) fn candidates(&self, labels: &Labels) -> BTreeSet<u64> {
        let asking = labels.iter().filter_map(|(key, value)| self.asking.get(key)?.get(value));
        asking.flatten().chain(&self.others).copied().collect()
    }
}

/// The first label that a selector asks for by value.
fn asked(selector: &Selector) -> Option<(&String, &BTreeSet<String>)> {
    selector.requirements().iter().find_map(|Requirement { key, test }| match test {
        LabelTest::In(values) => Some((key, values)),
        LabelTest::NotIn(_) | LabelTest::Exists | LabelTest::DoesNotExist => None,
    })
}
