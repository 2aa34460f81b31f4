//! Label selectors: which labels an object must have to be meant.

use std::collections::BTreeSet;

use crate::check::{Check, is_label_key, is_label_text};
use crate::fault::{FieldPath, LabelPart, Problem};
use crate::object::Labels;
use crate::raw;

/// A checked label selector. The one without requirements selects everything.
///
/// Requirements are sorted and each is there once, so that selectors that ask the same in another order are equal.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Selector {
    requirements: Vec<Requirement>,
}

/// One requirement on one label.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Requirement {
    /// The label's key.
    pub key: String,
    /// What is asked of it.
    pub test: LabelTest,
}

/// What a selector asks of a label.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum LabelTest {
    /// It is there, with one of these values (never none). A `matchLabels` entry is this with one value.
    In(BTreeSet<String>),
    /// It is not there, or has another value than these (never none).
    NotIn(BTreeSet<String>),
    /// It is there.
    Exists,
    /// It is not there.
    DoesNotExist,
}

/// What is wrong with the values of a requirement. Reads after the field's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SelectorProblem {
    /// `In` or `NotIn` of nothing.
    #[error("is empty; give operator {operator} at least one value")]
    NoValues {
        /// The operator.
        operator: &'static str,
    },
    /// `Exists` or `DoesNotExist` with values.
    #[error("has values; leave them out with operator {operator}, which asks for the key alone")]
    Values {
        /// The operator.
        operator: &'static str,
    },
}

impl Selector {
    /// The requirements, all of which must hold.
    pub fn requirements(&self) -> &[Requirement] {
        &self.requirements
    }

    /// Whether an object with these labels is meant.
    pub fn matches(&self, labels: &Labels) -> bool {
        self.requirements.iter().all(|Requirement { key, test }| {
            let value = labels.get(key);
            match test {
                LabelTest::In(values) => value.is_some_and(|value| values.contains(value)),
                LabelTest::NotIn(values) => value.is_none_or(|value| !values.contains(value)),
                LabelTest::Exists => value.is_some(),
                LabelTest::DoesNotExist => value.is_none(),
            }
        })
    }
}

/// Checks a selector that stands at `field`. What is wrong is noted in `check`; the requirement is left out, which is no
/// harm because an object with faults is never taken.
pub(crate) fn check(check: &mut Check, field: &FieldPath, raw: &raw::LabelSelector) -> Selector {
    let mut requirements = BTreeSet::new();
    for (key, value) in raw.match_labels.iter().flatten() {
        let field = field.clone().key("matchLabels").key(key);
        let value = value.clone().unwrap_or_default();
        let key = check_key(check, field.clone(), key);
        let value = check_value(check, field, &value);
        if let (Some(key), Some(value)) = (key, value) {
            requirements.insert(Requirement { key, test: LabelTest::In(BTreeSet::from([value])) });
        }
    }
    for (position, raw) in raw.match_expressions.iter().flatten().enumerate() {
        let field = field.clone().key("matchExpressions").index(position);
        requirements.extend(check_requirement(check, &field, raw));
    }
    Selector { requirements: requirements.into_iter().collect() }
}

fn check_requirement(check: &mut Check, field: &FieldPath, raw: &raw::LabelSelectorRequirement) -> Option<Requirement> {
    let key = match raw.key.as_deref() {
        Some(key) => check_key(check, field.clone().key("key"), key),
        None => check.fault(field.clone().key("key"), Problem::Missing),
    };
    let values: BTreeSet<String> = check_values(check, field, raw.values.as_deref().unwrap_or_default());
    let written = raw.values.as_ref().is_some_and(|values| !values.is_empty());
    let at = field.clone().key("values");
    let wrong = |check: &mut Check, problem| check.fault(at, Problem::Selector(problem));
    let test = match raw.operator.as_deref() {
        Some("In") if written => Some(LabelTest::In(values)),
        Some("NotIn") if written => Some(LabelTest::NotIn(values)),
        Some("Exists") if !written => Some(LabelTest::Exists),
        Some("DoesNotExist") if !written => Some(LabelTest::DoesNotExist),
        Some("In") => wrong(check, SelectorProblem::NoValues { operator: "In" }),
        Some("NotIn") => wrong(check, SelectorProblem::NoValues { operator: "NotIn" }),
        Some("Exists") => wrong(check, SelectorProblem::Values { operator: "Exists" }),
        Some("DoesNotExist") => wrong(check, SelectorProblem::Values { operator: "DoesNotExist" }),
        Some(other) => {
            let problem = Problem::NotOneOf { value: other.to_owned(), allowed: "In, NotIn, Exists, DoesNotExist" };
            check.fault(field.clone().key("operator"), problem)
        }
        None => check.fault(field.clone().key("operator"), Problem::Missing),
    };
    Some(Requirement { key: key?, test: test? })
}

fn check_key(check: &mut Check, field: FieldPath, key: &str) -> Option<String> {
    if is_label_key(key) {
        return Some(key.to_owned());
    }
    check.fault(field, Problem::BadLabel { value: key.to_owned(), part: LabelPart::Key })
}

fn check_values(check: &mut Check, field: &FieldPath, values: &[String]) -> BTreeSet<String> {
    let at = |position| field.clone().key("values").index(position);
    values.iter().enumerate().filter_map(|(position, value)| check_value(check, at(position), value)).collect()
}

fn check_value(check: &mut Check, field: FieldPath, value: &str) -> Option<String> {
    if value.is_empty() || is_label_text(value) {
        return Some(value.to_owned());
    }
    check.fault(field, Problem::BadLabel { value: value.to_owned(), part: LabelPart::Value })
}
