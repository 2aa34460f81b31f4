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

    /// Whether there is none.
    pub(super) fn is_empty(&self) -> bool {
        self.asking.is_empty() && self.others.is_empty()
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

#[cfg(test)]
mod tests {
    use proptest::collection::{btree_map, btree_set, vec};
    use proptest::prelude::*;
    use proptest::sample::select;

    use super::*;
    use crate::check::Check;
    use crate::fault::FieldPath;
    use crate::object::Kind;
    use crate::raw;

    const KEYS: [&str; 2] = ["app", "tier"];
    const VALUES: [&str; 3] = ["x", "y", "z"];

    fn requirement() -> impl Strategy<Value = raw::LabelSelectorRequirement> {
        let values = btree_set(select(&VALUES[..]), 1..3);
        (select(&KEYS[..]), select(vec!["In", "NotIn", "Exists", "DoesNotExist"]), values).prop_map(
            |(key, operator, values)| raw::LabelSelectorRequirement {
                key: Some(key.to_owned()),
                operator: Some(operator.to_owned()),
                values: operator.contains("In").then(|| values.into_iter().map(str::to_owned).collect()),
            },
        )
    }

    fn selector() -> impl Strategy<Value = Selector> {
        vec(requirement(), 0..3).prop_map(|requirements| {
            let mut check = Check::new(Kind::NetworkPolicy, &raw::Metadata::default());
            let raw = raw::LabelSelector { match_expressions: Some(requirements), ..raw::LabelSelector::default() };
            crate::selector::check(&mut check, &FieldPath::of(&["spec"]), &raw)
        })
    }

    proptest! {
        /// Against asking each of them; and that one with another value of a label that is asked for is not among those found.
        #[test]
        fn all_that_mean_labels_are_candidates_and_no_others_ask_for_another_value(
            selectors in vec((selector(), any::<bool>()), 0..12),
            labels in btree_map(select(&KEYS[..]), select(&VALUES[..]), 0..3)
        ) {
            let labels: Labels =
                labels.into_iter().map(|(key, value)| (key.to_owned(), value.to_owned())).collect();
            let mut known = Selectors::default();
            for (number, (selector, _)) in (0..).zip(&selectors) {
                known.insert(number, selector);
            }
            for (number, (selector, _)) in (0..).zip(&selectors).filter(|(_, (_, stays))| !stays) {
                known.remove(number, selector);
            }
            let found = known.candidates(&labels);
            for (number, (selector, stays)) in (0..).zip(&selectors) {
                if *stays && selector.matches(&labels) {
                    prop_assert!(found.contains(&number), "{selector:?}");
                }
                let asks_otherwise = asked(selector).is_some_and(|(key, values)| {
                    labels.get(key).is_none_or(|value| !values.contains(value))
                });
                if !stays || asks_otherwise {
                    prop_assert!(!found.contains(&number), "{selector:?}");
                }
            }
            prop_assert_eq!(known.is_empty(), selectors.iter().all(|(_, stays)| !stays));
        }
    }
}
