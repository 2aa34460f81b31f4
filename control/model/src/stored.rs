//! Objects and names as they are kept on disk between two runs.
//!
//! They are written in the API's own form and read back through the same checks as everything else, so that no file,
//! whatever became of it, makes an object that the checks would not have let pass.

use std::fmt;

use serde::de::{Deserialize, Deserializer, Error, Visitor};
use serde::ser::{Serialize, Serializer};

use crate::fault::Fault;
use crate::name::{EndpointSliceName, NameError, NamespaceName, NetworkPolicyName, NodeName, PodName, ServiceName};
use crate::object::{Key, Object};
use crate::raw;
use crate::raw::Raw;

/// `{"Node": {..}}`, with the kind outside and the API's fields within.
impl Serialize for Object {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        Raw::from(self).serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Object {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Object, D::Error> {
        let raw = match Tagged::deserialize(deserializer)? {
            Tagged::Node(raw) => Raw::Node(raw),
            Tagged::Pod(raw) => Raw::Pod(raw),
            Tagged::Namespace(raw) => Raw::Namespace(raw),
            Tagged::Service(raw) => Raw::Service(raw),
            Tagged::EndpointSlice(raw) => Raw::EndpointSlice(raw),
            Tagged::NetworkPolicy(raw) => Raw::NetworkPolicy(raw),
        };
        let told = |faults: Vec<Fault>| faults.iter().map(Fault::to_string).collect::<Vec<_>>().join("; ");
        raw.check().map_err(|faults| D::Error::custom(told(faults)))
    }
}

/// [`Raw`] with its kind. Apart from it, because a raw object is elsewhere read by a kind that is known already.
#[derive(serde::Deserialize)]
enum Tagged {
    Node(raw::Node),
    Pod(raw::Pod),
    Namespace(raw::Namespace),
    Service(Box<raw::Service>),
    EndpointSlice(raw::EndpointSlice),
    NetworkPolicy(raw::NetworkPolicy),
}

/// As in `Pod default/web`, with the kind outside: `{"Pod": "default/web"}`.
#[derive(serde::Serialize, serde::Deserialize)]
#[serde(remote = "Key")]
enum TaggedKey {
    Node(NodeName),
    Pod(PodName),
    Namespace(NamespaceName),
    Service(ServiceName),
    EndpointSlice(EndpointSliceName),
    NetworkPolicy(NetworkPolicyName),
}

impl Serialize for Key {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        TaggedKey::serialize(self, serializer)
    }
}

impl<'de> Deserialize<'de> for Key {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Key, D::Error> {
        TaggedKey::deserialize(deserializer)
    }
}

/// Reads a text and makes a name of it.
struct Text<T>(fn(&str) -> Result<T, NameError>);

impl<T> Visitor<'_> for Text<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a name")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<T, E> {
        (self.0)(text).map_err(|reason| E::custom(format_args!("\"{text}\" {reason}")))
    }
}

/// Names as they are displayed.
macro_rules! as_text {
    ($($name:ident: $make:expr;)*) => {$(
        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<$name, D::Error> {
                deserializer.deserialize_str(Text($make))
            }
        }
    )*};
}

/// The two parts of a full name. One without a slash has an empty namespace, which none can be called.
fn parts(text: &str) -> (&str, &str) {
    text.split_once('/').unwrap_or(("", text))
}

as_text! {
    NodeName: NodeName::new;
    NamespaceName: NamespaceName::new;
    PodName: |text| { let (namespace, name) = parts(text); PodName::parse(namespace, name) };
    ServiceName: |text| { let (namespace, name) = parts(text); ServiceName::parse(namespace, name) };
    EndpointSliceName: |text| { let (namespace, name) = parts(text); EndpointSliceName::parse(namespace, name) };
    NetworkPolicyName: |text| { let (namespace, name) = parts(text); NetworkPolicyName::parse(namespace, name) };
}
