//! Names of objects, checked against the rules of the Kubernetes API (RFC 1123 subdomains and labels).

use std::fmt;
use std::sync::Arc;

/// Longest subdomain name (RFC 1035 section 2.3.4, less the trailing dot).
const SUBDOMAIN_MAX: usize = 253;
/// Longest single label (RFC 1035 section 2.3.4).
const LABEL_MAX: usize = 63;

/// Why a string is no name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// The string has no characters.
    #[error("is empty; give it a name")]
    Empty,
    /// The string has more characters than the rule allows.
    #[error("has {length} characters; at most {limit} are allowed")]
    TooLong {
        /// Characters the name has.
        length: usize,
        /// Characters it may have.
        limit: usize,
    },
    /// A character that is not allowed, or not allowed in this place.
    #[error(
        "may hold lower case letters, digits and '-'{dots}, and must begin and end with a letter or digit",
        dots = if *.dots_allowed { " and '.'" } else { "" }
    )]
    BadCharacter {
        /// Whether the rule that was broken allows dots.
        dots_allowed: bool,
    },
}

/// A DNS label of RFC 1123: letters, digits, inner hyphens, at most 63.
pub(crate) fn check_label(name: &str) -> Result<(), NameError> {
    check(name, LABEL_MAX, false)
}

/// A DNS subdomain of RFC 1123: labels joined by dots, at most 253 in all.
pub(crate) fn check_subdomain(name: &str) -> Result<(), NameError> {
    check(name, SUBDOMAIN_MAX, true)
}

fn check(name: &str, limit: usize, dots_allowed: bool) -> Result<(), NameError> {
    if name.is_empty() {
        return Err(NameError::Empty);
    }
    if name.len() > limit {
        return Err(NameError::TooLong { length: name.len(), limit });
    }
    let good = |part: &str| {
        let inner = part.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
        inner && !part.is_empty() && !part.starts_with('-') && !part.ends_with('-')
    };
    let all_good = if dots_allowed { name.split('.').all(good) } else { good(name) };
    if all_good { Ok(()) } else { Err(NameError::BadCharacter { dots_allowed }) }
}

/// Name of a Node (an RFC 1123 subdomain).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeName(Arc<str>);

/// Name of a Namespace (an RFC 1123 label).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NamespaceName(Arc<str>);

impl NodeName {
    /// Checks and takes a name.
    pub fn new(name: &str) -> Result<NodeName, NameError> {
        check_subdomain(name).map(|()| NodeName(name.into()))
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl NamespaceName {
    /// Checks and takes a name.
    pub fn new(name: &str) -> Result<NamespaceName, NameError> {
        check_label(name).map(|()| NamespaceName(name.into()))
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for NodeName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for NamespaceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The full name of an object in a namespace, displayed as `namespace/name` and ordered by both.
macro_rules! full_name {
    ($(#[$doc:meta])* $name:ident, $check:ident) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name {
            namespace: NamespaceName,
            name: Arc<str>,
        }

        impl $name {
            /// Checks the name; the namespace has been checked before.
            pub fn new(namespace: NamespaceName, name: &str) -> Result<$name, NameError> {
                $check(name)?;
                Ok($name { namespace, name: name.into() })
            }

            /// Both parts from text.
            pub fn parse(namespace: &str, name: &str) -> Result<$name, NameError> {
                $name::new(NamespaceName::new(namespace)?, name)
            }

            /// Comes before every name in the namespace, to look for the first of them.
            #[allow(dead_code, reason = "not every kind is looked for by namespace")]
            pub(crate) fn before_all_of(namespace: &NamespaceName) -> $name {
                $name { namespace: namespace.clone(), name: "".into() }
            }

            /// The namespace.
            pub fn namespace(&self) -> &NamespaceName {
                &self.namespace
            }

            /// The name within the namespace.
            pub fn name(&self) -> &str {
                &self.name
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}/{}", self.namespace, self.name)
            }
        }
    };
}

full_name!(
    /// A Pod's full name: its namespace and its name (an RFC 1123 subdomain).
    PodName,
    check_subdomain
);
full_name!(
    /// A Service's full name: its namespace and its name (an RFC 1123 label).
    ServiceName,
    check_label
);
full_name!(
    /// An EndpointSlice's full name: its namespace and its name (an RFC 1123 subdomain).
    EndpointSliceName,
    check_subdomain
);
full_name!(
    /// A NetworkPolicy's full name: its namespace and its name (an RFC 1123 subdomain).
    NetworkPolicyName,
    check_subdomain
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn subdomains_may_hold_dots_and_labels_may_not() {
        assert!(NodeName::new("node-1.example.org").is_ok());
        assert_eq!(NamespaceName::new("a.b"), Err(NameError::BadCharacter { dots_allowed: false }));
    }

    #[test]
    fn bad_names_are_refused_with_the_reason() {
        assert_eq!(NodeName::new(""), Err(NameError::Empty));
        for bad in ["Node", "a_b", "-a", "a-", "a..b", ".a", "a.", "a/b", "ä"] {
            assert_eq!(NodeName::new(bad), Err(NameError::BadCharacter { dots_allowed: true }), "{bad}");
        }
        assert_eq!(NamespaceName::new(&"a".repeat(64)), Err(NameError::TooLong { length: 64, limit: 63 }));
        assert_eq!(NodeName::new(&"a".repeat(254)), Err(NameError::TooLong { length: 254, limit: 253 }));
    }

    #[test]
    fn a_pod_shows_as_namespace_slash_name() {
        assert_eq!(PodName::parse("default", "web-0").unwrap().to_string(), "default/web-0");
    }
}
