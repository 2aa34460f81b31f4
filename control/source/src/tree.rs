//! A YAML document as a tree in which every value knows its line.

use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_saphyr::Spanned;
use sluice_model::{FieldPath, Segment};

/// A value and where it is.
pub(crate) type Located = Spanned<Tree>;

/// Any YAML value. Keys are text, in the order written.
#[derive(Clone, Debug)]
pub(crate) enum Tree {
    Scalar(serde_json::Value),
    List(Vec<Located>),
    Map(Vec<(String, Located)>),
}

impl Tree {
    /// The value of a key, when this is a mapping that has it.
    pub(crate) fn get(&self, key: &str) -> Option<&Located> {
        match self {
            Tree::Map(entries) => entries.iter().find(|(name, _)| name == key).map(|(_, value)| value),
            Tree::Scalar(_) | Tree::List(_) => None,
        }
    }

    /// The text of a key, when it has one.
    pub(crate) fn text(&self, key: &str) -> Option<&str> {
        match &self.get(key)?.value {
            Tree::Scalar(value) => value.as_str(),
            Tree::List(_) | Tree::Map(_) => None,
        }
    }

    pub(crate) fn is_null(&self) -> bool {
        matches!(self, Tree::Scalar(serde_json::Value::Null))
    }

    /// Without the lines. The depth is bounded by the parser's own limit.
    pub(crate) fn to_value(&self) -> serde_json::Value {
        match self {
            Tree::Scalar(value) => value.clone(),
            Tree::List(values) => values.iter().map(|value| value.value.to_value()).collect(),
            Tree::Map(entries) => entries.iter().map(|(key, value)| (key.clone(), value.value.to_value())).collect(),
        }
    }
}

/// The line of a field, or of the nearest thing around it that is there.
pub(crate) fn line_of(tree: &Located, field: &FieldPath) -> u64 {
    let mut here = tree;
    let mut line = tree.referenced.line();
    for segment in field.segments() {
        let next = match (segment, &here.value) {
            (Segment::Key(key), value) => value.get(key),
            (Segment::Index(index), Tree::List(values)) => values.get(*index),
            (Segment::Index(_), _) => None,
        };
        let Some(next) = next else { break };
        here = next;
        // Values from merge keys may have no place of their own.
        if here.referenced.line() > 0 {
            line = here.referenced.line();
        }
    }
    line
}

impl<'de> Deserialize<'de> for Tree {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Tree, D::Error> {
        deserializer.deserialize_any(TreeVisitor)
    }
}

struct TreeVisitor;

impl<'de> Visitor<'de> for TreeVisitor {
    type Value = Tree;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a YAML value")
    }

    fn visit_unit<E>(self) -> Result<Tree, E> {
        Ok(Tree::Scalar(serde_json::Value::Null))
    }

    fn visit_none<E: serde::de::Error>(self) -> Result<Tree, E> {
        self.visit_unit()
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Tree, D::Error> {
        Tree::deserialize(deserializer)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Tree, E> {
        Ok(Tree::Scalar(value.into()))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Tree, E> {
        Ok(Tree::Scalar(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Tree, E> {
        Ok(Tree::Scalar(value.into()))
    }

    /// No field that Sluice reads is so large; its text is enough.
    fn visit_i128<E>(self, value: i128) -> Result<Tree, E> {
        Ok(Tree::Scalar(value.to_string().into()))
    }

    fn visit_u128<E>(self, value: u128) -> Result<Tree, E> {
        Ok(Tree::Scalar(value.to_string().into()))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Tree, E> {
        Ok(Tree::Scalar(value.into()))
    }

    fn visit_str<E>(self, value: &str) -> Result<Tree, E> {
        Ok(Tree::Scalar(value.into()))
    }

    /// `!!binary`: no field that Sluice reads.
    fn visit_bytes<E: serde::de::Error>(self, _value: &[u8]) -> Result<Tree, E> {
        self.visit_unit()
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Tree, A::Error> {
        let mut values = Vec::new();
        while let Some(value) = access.next_element()? {
            values.push(value);
        }
        Ok(Tree::List(values))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Tree, A::Error> {
        let mut entries = Vec::new();
        while let Some(entry) = access.next_entry()? {
            entries.push(entry);
        }
        Ok(Tree::Map(entries))
    }
}
