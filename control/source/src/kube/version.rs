//! Resource versions.

use std::hash::{DefaultHasher, Hash, Hasher};

/// A resource version in little memory. Since Kubernetes 1.35 those of one kind are numbers that grow
/// (KEP-5504); servers of before behaved the same. Others can only be told apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Version {
    /// A number.
    Number(u64),
    /// The hash of another text, also of none at all.
    Other(u64),
}

impl Version {
    pub(crate) fn new(text: &str) -> Version {
        // A sign or zeros before would make two texts the same number.
        let canonical = !text.starts_with(['+', '0']);
        match text.parse() {
            Ok(number) if canonical => Version::Number(number),
            _ => {
                let mut hasher = DefaultHasher::new();
                text.hash(&mut hasher);
                Version::Other(hasher.finish())
            }
        }
    }

    /// Whether this is known to be older than the other.
    pub(crate) fn is_before(self, other: Version) -> bool {
        matches!((self, other), (Version::Number(this), Version::Number(other)) if this < other)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_an_order_and_other_texts_only_a_difference() {
        assert!(Version::new("9").is_before(Version::new("10")));
        assert!(!Version::new("10").is_before(Version::new("10")));
        assert!(!Version::new("a").is_before(Version::new("b")) && !Version::new("b").is_before(Version::new("a")));
        assert_ne!(Version::new("a"), Version::new("b"));
        assert_ne!(Version::new("+7"), Version::new("7"));
        assert_eq!(Version::new("a"), Version::new("a"));
    }
}
