//! The checks that every kind shares: the object's name and its labels, and the gathering of faults.

use std::net::IpAddr;

use crate::fault::{Fault, FieldPath, LabelPart, Problem, Subject};
use crate::name::{NameError, NamespaceName, check_subdomain};
use crate::node::is_reachable;
use crate::object::{Kind, Labels};
use crate::protocol::Protocol;
use crate::raw::Metadata;
use crate::timestamp::Timestamp;

/// Gathers the faults of one object.
pub(crate) struct Check {
    subject: Subject,
    faults: Vec<Fault>,
}

impl Check {
    pub(crate) fn new(kind: Kind, metadata: &Metadata) -> Check {
        let written = || metadata.namespace.clone().unwrap_or_else(|| "default".to_owned());
        let namespace = kind.is_namespaced().then(written);
        Check { subject: Subject { kind, namespace, name: metadata.name.clone() }, faults: Vec::new() }
    }

    /// Notes a fault. Returns nothing, so that a failed check reads as one expression.
    pub(crate) fn fault<T>(&mut self, field: FieldPath, problem: Problem) -> Option<T> {
        self.faults.push(Fault { subject: self.subject.clone(), field, problem });
        None
    }

    /// `metadata.name`, checked by the kind's own constructor.
    pub(crate) fn name<T>(
        &mut self,
        metadata: &Metadata,
        make: impl FnOnce(&str) -> Result<T, NameError>,
    ) -> Option<T> {
        self.text(FieldPath::of(&["metadata", "name"]), metadata.name.as_deref(), make)
    }

    /// `metadata.namespace`, "default" when it is not written.
    pub(crate) fn namespace(&mut self, metadata: &Metadata) -> Option<NamespaceName> {
        let written = metadata.namespace.as_deref().unwrap_or("default");
        self.text(FieldPath::of(&["metadata", "namespace"]), Some(written), NamespaceName::new)
    }

    /// Both of them. The name is checked even where the namespace is bad, so that both faults are told at once.
    pub(crate) fn full_name<T>(
        &mut self,
        metadata: &Metadata,
        make: impl FnOnce(NamespaceName, &str) -> Result<T, NameError>,
    ) -> Option<T> {
        match self.namespace(metadata) {
            Some(namespace) => self.name(metadata, |name| make(namespace, name)),
            None => {
                self.name(metadata, check_subdomain);
                None
            }
        }
    }

    /// A port's number that must be there: 1 to 65535.
    pub(crate) fn port(&mut self, field: FieldPath, written: Option<i64>) -> Option<u16> {
        let Some(value) = written else { return self.fault(field, Problem::Missing) };
        match u16::try_from(value) {
            Ok(port) if port > 0 => Some(port),
            _ => self.fault(field, Problem::NotAPort { value }),
        }
    }

    /// A protocol; TCP when it is not written.
    pub(crate) fn protocol(&mut self, field: FieldPath, written: Option<&str>) -> Option<Protocol> {
        let Some(written) = written.filter(|text| !text.is_empty()) else { return Some(Protocol::Tcp) };
        match Protocol::of(written) {
            Some(protocol) => Some(protocol),
            None => self.fault(field, Problem::NotOneOf { value: written.to_owned(), allowed: "TCP, UDP, SCTP" }),
        }
    }

    /// An address that must be there and be one.
    pub(crate) fn address(&mut self, field: FieldPath, written: Option<&str>) -> Option<IpAddr> {
        let Some(text) = written else { return self.fault(field, Problem::Missing) };
        match text.parse() {
            Ok(address) => Some(address),
            Err(_) => self.fault(field, Problem::NotAnAddress { value: text.to_owned() }),
        }
    }

    /// An address as above that another host could have: unicast and not link-local.
    pub(crate) fn reachable(&mut self, field: FieldPath, written: Option<&str>) -> Option<IpAddr> {
        let value = self.address(field.clone(), written)?;
        if is_reachable(value) { Some(value) } else { self.fault(field, Problem::NotUnicast { value }) }
    }

    /// `metadata.creationTimestamp`; an empty one is a missing one.
    pub(crate) fn created(&mut self, metadata: &Metadata) -> Option<Timestamp> {
        self.time(FieldPath::of(&["metadata", "creationTimestamp"]), metadata.creation_timestamp.as_deref())
    }

    /// A time that need not be there.
    pub(crate) fn time(&mut self, field: FieldPath, written: Option<&str>) -> Option<Timestamp> {
        let text = written.filter(|text| !text.is_empty())?;
        match Timestamp::parse(text) {
            Some(time) => Some(time),
            None => self.fault(field, Problem::NotATime { value: text.to_owned() }),
        }
    }

    /// One of a closed list of words; the first of them when none is written.
    pub(crate) fn one_of<T: Copy>(
        &mut self,
        field: FieldPath,
        written: Option<&str>,
        words: &[(&str, T)],
        allowed: &'static str,
    ) -> Option<T> {
        let Some(written) = written.filter(|text| !text.is_empty()) else { return words.first().map(|word| word.1) };
        match words.iter().find(|(word, _)| *word == written) {
            Some((_, value)) => Some(*value),
            None => self.fault(field, Problem::NotOneOf { value: written.to_owned(), allowed }),
        }
    }

    /// A text that must be there and be a name.
    pub(crate) fn text<T>(
        &mut self,
        field: FieldPath,
        text: Option<&str>,
        make: impl FnOnce(&str) -> Result<T, NameError>,
    ) -> Option<T> {
        let Some(text) = text else { return self.fault(field, Problem::Missing) };
        match make(text) {
            Ok(name) => Some(name),
            Err(reason) => self.fault(field, Problem::BadName { value: text.to_owned(), reason }),
        }
    }

    /// `metadata.labels`; a label without a value has the empty one.
    pub(crate) fn labels(&mut self, metadata: &Metadata) -> Labels {
        let mut labels = Labels::new();
        for (key, value) in metadata.labels.iter().flatten() {
            let field = FieldPath::of(&["metadata", "labels"]).key(key);
            let value = value.clone().unwrap_or_default();
            if !is_label_key(key) {
                self.fault::<()>(field, Problem::BadLabel { value: key.clone(), part: LabelPart::Key });
            } else if !value.is_empty() && !is_label_text(&value) {
                self.fault::<()>(field, Problem::BadLabel { value, part: LabelPart::Value });
            } else {
                labels.insert(key.clone(), value);
            }
        }
        labels
    }

    /// The object when it is whole, else all faults. An object is whole when no check failed.
    pub(crate) fn finish<T>(self, object: Option<T>) -> Result<T, Vec<Fault>> {
        match object {
            Some(object) if self.faults.is_empty() => Ok(object),
            _ => Err(self.faults),
        }
    }
}

/// Labels and selectors, Kubernetes: an optional DNS prefix and a slash before the name.
pub(crate) fn is_label_key(key: &str) -> bool {
    match key.split_once('/') {
        Some((prefix, name)) => check_subdomain(prefix).is_ok() && is_label_text(name),
        None => is_label_text(key),
    }
}

/// A label's value that is not empty, or the part of a key behind the slash.
pub(crate) fn is_label_text(text: &str) -> bool {
    let edge = |b: Option<u8>| b.is_some_and(|b| b.is_ascii_alphanumeric());
    let inner = text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'));
    inner && text.len() <= 63 && edge(text.bytes().next()) && edge(text.bytes().last())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn label_keys_may_have_a_dns_prefix() {
        for good in ["app", "app.kubernetes.io/name", "a-b_c.d", "X"] {
            assert!(is_label_key(good), "{good}");
        }
        for bad in ["", "/x", "a/", "a/b/c", "-a", "a-", "A.B/c", "a b", &"x".repeat(64)] {
            assert!(!is_label_key(bad), "{bad}");
        }
    }
}
