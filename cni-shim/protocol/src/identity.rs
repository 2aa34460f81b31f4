//! Names from the runtime, checked once at the edge.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Longest container id taken. Runtimes use 64 characters; the id is part of a file name (255 bytes) in the journal.
pub const MAX_CONTAINER_ID: usize = 200;
/// Longest interface name: `IFNAMSIZ` (include/uapi/linux/if.h) less the terminating zero.
pub const MAX_INTERFACE_NAME: usize = 15;

/// Why a name is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// The CNI specification, section "Parameters", gives the form.
    #[error(
        "container id {0:?} is invalid: it must start with a letter or digit, go on with letters, digits, '_', '.' or \
         '-', and have at most {MAX_CONTAINER_ID} characters"
    )]
    ContainerId(String),
    /// The rules of `dev_valid_name` (net/core/dev.c), and no '%', which the kernel reads as a pattern.
    #[error(
        "interface name {0:?} is invalid: it must have 1 to {MAX_INTERFACE_NAME} bytes with no '/', ':', '%' or \
         white space, and be neither \".\" nor \"..\""
    )]
    InterfaceName(String),
}

/// The id that the runtime gave the container (`CNI_CONTAINERID`).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ContainerId(String);

/// The name of the interface inside the container (`CNI_IFNAME`).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct InterfaceName(String);

/// What identifies an attachment to a network: CNI allows one ADD for each such pair.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AttachmentId {
    /// The container.
    pub container_id: ContainerId,
    /// The interface inside it.
    pub ifname: InterfaceName,
}

impl fmt::Display for AttachmentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.container_id, self.ifname)
    }
}

impl TryFrom<String> for ContainerId {
    type Error = NameError;

    fn try_from(id: String) -> Result<Self, NameError> {
        let inner = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b'-');
        let valid = id.len() <= MAX_CONTAINER_ID
            && id.bytes().next().is_some_and(|b| b.is_ascii_alphanumeric())
            && id.bytes().all(inner);
        if valid { Ok(Self(id)) } else { Err(NameError::ContainerId(id)) }
    }
}

impl TryFrom<String> for InterfaceName {
    type Error = NameError;

    fn try_from(name: String) -> Result<Self, NameError> {
        let valid = (1..=MAX_INTERFACE_NAME).contains(&name.len())
            && name != "."
            && name != ".."
            && !name.chars().any(|c| matches!(c, '/' | ':' | '%' | '\0') || c.is_whitespace());
        if valid { Ok(Self(name)) } else { Err(NameError::InterfaceName(name)) }
    }
}

macro_rules! as_text {
    ($name:ident) => {
        impl $name {
            /// The name as the runtime wrote it.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl From<$name> for String {
            fn from(name: $name) -> Self {
                name.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

as_text!(ContainerId);
as_text!(InterfaceName);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn container_ids() {
        for good in ["a", "0", "abc-1_2.3", &"f".repeat(MAX_CONTAINER_ID)] {
            assert!(ContainerId::try_from(good.to_owned()).is_ok(), "{good}");
        }
        for bad in ["", "-a", ".a", "..", "a/b", "a b", "\u{e9}", &"f".repeat(MAX_CONTAINER_ID + 1)] {
            assert!(ContainerId::try_from(bad.to_owned()).is_err(), "{bad}");
        }
    }

    #[test]
    fn interface_names() {
        for good in ["eth0", "e", "a.b", "net-1", "123456789012345"] {
            assert!(InterfaceName::try_from(good.to_owned()).is_ok(), "{good}");
        }
        for bad in ["", ".", "..", "a/b", "a:1", "a b", "1234567890123456", "a\0", "eth%d"] {
            assert!(InterfaceName::try_from(bad.to_owned()).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_bad_name_does_not_come_in_through_json() {
        let given = r#"{"containerId":"../x","ifname":"eth0"}"#;
        assert!(serde_json::from_str::<AttachmentId>(given).is_err());
    }
}
