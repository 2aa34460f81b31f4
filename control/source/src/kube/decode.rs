//! A page of a list, or a line of a watch, to objects. Bytes in, values out.

use std::borrow::Cow;
use std::fmt;
use std::time::Duration;

use serde::Deserialize;
use serde_json::value::RawValue;
use sluice_model::raw::Raw;
use sluice_model::{FieldPath, Kind, Object, Subject};

use crate::event::{Fault, Origin, Problem};
use crate::kube::resource::resource;
use crate::kube::version::Version;
use crate::manifest::track_path;

/// Letters of a foreign text that are told.
const TOLD: usize = 200;

/// An object as the server tells it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Item {
    /// Which object.
    pub(crate) subject: Subject,
    /// Its resource version.
    pub(crate) version: Version,
    /// Its checked form, or all that is wrong with it.
    pub(crate) form: Result<Object, Vec<Fault>>,
}

/// A page of a list.
#[derive(Debug, PartialEq)]
pub(crate) struct Page {
    pub(crate) items: Vec<Item>,
    /// Where a watch goes on after the list.
    pub(crate) resource_version: String,
    /// What to ask the next page with; `None` after the last one.
    pub(crate) next: Option<String>,
}

/// A line of a watch.
#[derive(Debug, PartialEq)]
pub(crate) enum Line {
    /// The object is there, new or changed.
    There(Item, String),
    /// The object is gone.
    Gone(Item, String),
    /// Nothing more happened up to this resource version.
    Bookmark {
        /// Where the watch has got to.
        resource_version: String,
        /// Whether a streaming list is complete with it.
        complete: bool,
    },
    /// The watch cannot go on.
    Error(Status),
}

/// What the server says when it does not do what it is asked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Status {
    /// The HTTP status; 0 when it says none.
    pub(crate) code: u16,
    /// For people.
    pub(crate) message: String,
    /// How long to leave it alone.
    pub(crate) retry_after: Option<Duration>,
}

/// Why bytes are no page, or no line: for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Nonsense(pub(crate) String);

#[derive(Deserialize)]
struct RawList<'a> {
    #[serde(borrow, default)]
    kind: Option<Cow<'a, str>>,
    #[serde(default)]
    metadata: Option<RawMetadata>,
    #[serde(borrow, default)]
    items: Option<Vec<&'a RawValue>>,
}

#[derive(Deserialize)]
struct RawLine<'a> {
    #[serde(borrow, rename = "type")]
    kind: Cow<'a, str>,
    #[serde(borrow)]
    object: &'a RawValue,
}

/// What every object and bookmark has. What is of the wrong type counts as missing: here it only names the object.
#[derive(Default, Deserialize)]
struct RawHead<'a> {
    #[serde(default)]
    kind: Option<serde_json::Value>,
    #[serde(borrow, default)]
    metadata: Option<&'a RawValue>,
}

/// The head of an object, read.
struct Head {
    kind: Option<String>,
    metadata: RawMetadata,
}

impl Head {
    fn of(text: &str) -> Head {
        let raw: RawHead<'_> = serde_json::from_str(text).unwrap_or_default();
        let metadata = raw.metadata.and_then(|metadata| serde_json::from_str(metadata.get()).ok());
        let kind = raw.kind.map(|kind| kind.as_str().map_or_else(|| kind.to_string(), str::to_owned));
        Head { kind, metadata: metadata.unwrap_or_default() }
    }
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct RawMetadata {
    name: Option<String>,
    namespace: Option<String>,
    resource_version: Option<String>,
    #[serde(rename = "continue")]
    next: Option<String>,
    annotations: Option<RawAnnotations>,
}

/// Of all annotations the one of the bookmark after which a streaming list is complete
/// (<https://kubernetes.io/docs/reference/using-api/api-concepts/#streaming-lists>).
#[derive(Default, Deserialize)]
#[serde(default)]
struct RawAnnotations {
    #[serde(rename = "k8s.io/initial-events-end")]
    initial_events_end: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct RawStatus {
    kind: Option<String>,
    code: Option<i64>,
    message: Option<String>,
    details: Option<RawStatusDetails>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct RawStatusDetails {
    retry_after_seconds: Option<i64>,
}

/// Reads a page of a list.
pub(crate) fn page(kind: Kind, bytes: &[u8]) -> Result<Page, Nonsense> {
    let list: RawList<'_> = serde_json::from_slice(bytes).map_err(|error| nonsense(bytes, &error))?;
    let expected = resource(kind).list_kind;
    if list.kind.as_deref() != Some(expected) {
        let found = list.kind.as_deref().unwrap_or("nothing");
        return Err(Nonsense(format!("its kind is {} where {expected} is due", told(found))));
    }
    let metadata = list.metadata.unwrap_or_default();
    let items = list.items.unwrap_or_default().into_iter().map(|item| self::item(kind, item.get()).0).collect();
    let next = metadata.next.filter(|next| !next.is_empty());
    let resource_version = metadata.resource_version.unwrap_or_default();
    if resource_version.is_empty() && next.is_none() {
        return Err(Nonsense(format!("{expected} has no metadata.resourceVersion")));
    }
    Ok(Page { items, resource_version, next })
}

/// Reads a line of a watch.
pub(crate) fn line(kind: Kind, bytes: &[u8]) -> Result<Line, Nonsense> {
    let raw: RawLine<'_> = serde_json::from_slice(bytes).map_err(|error| nonsense(bytes, &error))?;
    if raw.kind == "ERROR" {
        return Ok(Line::Error(status(0, raw.object.get().as_bytes())));
    }
    let (item, head) = item(kind, raw.object.get());
    let expected = resource(kind).kind;
    if head.kind.as_deref() != Some(expected) {
        let found = head.kind.as_deref().unwrap_or("nothing");
        return Err(Nonsense(format!("the kind in its watch is {} where {expected} is due", told(found))));
    }
    let metadata = head.metadata;
    let resource_version = metadata.resource_version.unwrap_or_default();
    match raw.kind.as_ref() {
        "ADDED" | "MODIFIED" => Ok(Line::There(item, resource_version)),
        "DELETED" => Ok(Line::Gone(item, resource_version)),
        "BOOKMARK" if resource_version.is_empty() => Err(Nonsense("a bookmark has no resourceVersion".to_owned())),
        "BOOKMARK" => {
            let annotations = metadata.annotations.unwrap_or_default();
            let complete = annotations.initial_events_end.as_deref() == Some("true");
            Ok(Line::Bookmark { resource_version, complete })
        }
        other => Err(Nonsense(format!("an event of its watch is of type {}", told(other)))),
    }
}

/// Reads the body of an answer whose HTTP status is `code`: a `Status` of the API, or any text.
pub(crate) fn status(code: u16, bytes: &[u8]) -> Status {
    match serde_json::from_slice::<RawStatus>(bytes) {
        Ok(raw) if raw.kind.as_deref() == Some("Status") => {
            let own = raw.code.and_then(|own| u16::try_from(own).ok()).unwrap_or_default();
            let seconds = raw.details.unwrap_or_default().retry_after_seconds;
            let seconds = seconds.and_then(|seconds| u64::try_from(seconds).ok()).filter(|seconds| *seconds > 0);
            Status {
                code: if code == 0 { own } else { code },
                message: told(raw.message.as_deref().unwrap_or_default()),
                retry_after: seconds.map(Duration::from_secs),
            }
        }
        _ => Status { code, message: told(&String::from_utf8_lossy(bytes)), retry_after: None },
    }
}

/// Reads an object. The first look names it, even when the second one cannot make anything of it.
fn item(kind: Kind, text: &str) -> (Item, Head) {
    let head = Head::of(text);
    let RawMetadata { name, namespace, resource_version, .. } = &head.metadata;
    let namespace = || namespace.clone().unwrap_or_else(|| "default".to_owned());
    let subject = Subject { kind, namespace: kind.is_namespaced().then(namespace), name: name.clone() };
    let version = resource_version.as_deref().unwrap_or_default();
    let version = Version::new(version);
    let form = form(kind, text, &subject);
    (Item { subject, version, form }, head)
}

fn form(kind: Kind, text: &str, subject: &Subject) -> Result<Object, Vec<Fault>> {
    let fault = |field, problem| {
        let subject = subject.clone();
        Fault { origin: Origin::Object(subject.clone()), line: None, subject: Some(subject), field, problem }
    };
    match Raw::deserialize(kind, &mut serde_json::Deserializer::from_str(text)) {
        Ok(raw) => raw.check().map_err(|faults| {
            faults.into_iter().map(|told| fault(told.field, Problem::Object(told.problem))).collect()
        }),
        Err(error) => {
            let field = wrong_field(kind, text);
            Err(vec![fault(field, Problem::WrongType { reason: told(&error.to_string()) })])
        }
    }
}

/// The field that has the wrong type: read once more, at the price of keeping the way to each field.
fn wrong_field(kind: Kind, text: &str) -> FieldPath {
    let mut track = serde_path_to_error::Track::new();
    let mut json = serde_json::Deserializer::from_str(text);
    match Raw::deserialize(kind, serde_path_to_error::Deserializer::new(&mut json, &mut track)) {
        Ok(_) => FieldPath::root(),
        Err(_) => track_path(FieldPath::root(), &track.path()),
    }
}

fn nonsense(bytes: &[u8], error: &serde_json::Error) -> Nonsense {
    let start = String::from_utf8_lossy(&bytes[..bytes.len().min(TOLD)]);
    Nonsense(format!("it is not what the API writes ({error}) and begins with {:?}", told(&start)))
}

/// A foreign text, cut to what a log can bear.
pub(crate) fn told(text: &str) -> String {
    let text = text.trim();
    match text.char_indices().nth(TOLD) {
        Some((end, _)) => format!("{}...", &text[..end]),
        None => text.to_owned(),
    }
}

impl fmt::Display for Nonsense {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests;
