//! One file's text to objects and faults.

use std::path::Path;

use serde_path_to_error::Segment as Step;
use serde_saphyr::Spanned;
use sluice_model::raw::Raw;
use sluice_model::{FieldPath, Kind, Object, Segment, Subject};

use crate::event::{Fault, Origin, Problem};
use crate::tree::{Located, Tree, line_of};

/// What a file's text holds.
#[derive(Debug, Default)]
pub(crate) struct Manifest {
    /// Good objects and their lines, in the order written.
    pub(crate) objects: Vec<(Object, u64)>,
    /// What is wrong, in the order written.
    pub(crate) defects: Vec<Defect>,
    /// Kinds that Sluice does not read, and their lines.
    pub(crate) ignored: Vec<(String, u64)>,
}

/// A fault of a file that is not named yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Defect {
    pub(crate) line: Option<u64>,
    pub(crate) subject: Option<Subject>,
    pub(crate) field: FieldPath,
    pub(crate) problem: Problem,
}

impl Defect {
    /// A fault of the file as a whole.
    pub(crate) fn of_file(problem: Problem) -> Defect {
        Defect { line: None, subject: None, field: FieldPath::root(), problem }
    }

    /// The same with the file's name.
    pub(crate) fn in_file(self, file: &Path) -> Fault {
        let Defect { line, subject, field, problem } = self;
        Fault { origin: Origin::File(file.to_owned()), line, subject, field, problem }
    }
}

/// Reads all documents of a text. A document of the wrong shape leaves the others good; after one that is not YAML
/// nothing can be read.
pub(crate) fn parse(text: &str) -> Manifest {
    let mut manifest = Manifest::default();
    // Limits against hostile nesting and aliases stay as the library has them; those of plain size are lifted, because
    // the file's size is bounded already.
    let options = serde_saphyr::options! {
        with_snippet: false,
        strict_booleans: true,
        budget: serde_saphyr::budget! { max_events: 50_000_000, max_nodes: 20_000_000 },
    };
    let mut bytes = text.as_bytes();
    for document in serde_saphyr::read_with_options::<_, Spanned<Tree>>(&mut bytes, options) {
        match document {
            Ok(document) => manifest.document(&document),
            Err(error) => manifest.defects.push(Defect {
                line: error.location().map(|location| location.line()),
                subject: None,
                field: FieldPath::root(),
                problem: Problem::NotYaml { reason: reason(&error) },
            }),
        }
    }
    manifest
}

/// On one line, and without the library's advice to its own callers.
fn reason(error: &serde_saphyr::Error) -> String {
    match error.without_snippet() {
        serde_saphyr::Error::DuplicateMappingKey { key: Some(key), .. } => format!("the key {key} is there twice"),
        other => other.to_string().split_whitespace().collect::<Vec<_>>().join(" "),
    }
}

impl Manifest {
    fn document(&mut self, document: &Located) {
        let Tree::Map(_) = document.value else {
            return self.defect(document, None, FieldPath::root(), Problem::NotAnObject);
        };
        let (Some(api_version), Some(kind)) = (document.value.text("apiVersion"), document.value.text("kind")) else {
            let missing = if document.value.text("apiVersion").is_none() { "apiVersion" } else { "kind" };
            return self.defect(document, None, FieldPath::of(&[missing]), Problem::NoKind);
        };
        // A list from the API may be typed, and then its items leave out what its own kind says.
        match kind.strip_suffix("List") {
            Some(of) if api_version == "v1" || Kind::of(api_version, of).is_some() => {
                self.list(document, api_version, of);
            }
            _ => self.object(document, document, &FieldPath::root(), api_version, kind),
        }
    }

    fn list(&mut self, document: &Located, of_version: &str, of: &str) {
        let field = FieldPath::of(&["items"]);
        let items = match document.value.get("items") {
            Some(Spanned { value: Tree::List(items), .. }) => items,
            Some(other) if !other.value.is_null() => {
                let problem = Problem::WrongType { reason: "expected a list".to_owned() };
                return self.defect(document, None, field, problem);
            }
            _ => return,
        };
        for (index, item) in items.iter().enumerate() {
            let at = field.clone().index(index);
            let Tree::Map(_) = item.value else {
                self.defect(document, None, at, Problem::NotAnObject);
                continue;
            };
            let typed = Some(of).filter(|of| !of.is_empty());
            let api_version = item.value.text("apiVersion").or(typed.map(|_| of_version));
            match (api_version, item.value.text("kind").or(typed)) {
                (Some(api_version), Some(kind)) => self.object(document, item, &at, api_version, kind),
                (None, _) => self.defect(document, None, at.key("apiVersion"), Problem::NoKind),
                (_, None) => self.defect(document, None, at.key("kind"), Problem::NoKind),
            }
        }
    }

    /// One object at `at` in its document.
    fn object(&mut self, document: &Located, tree: &Located, at: &FieldPath, api_version: &str, kind: &str) {
        let line = line_of(tree, &FieldPath::root());
        let Some(kind) = Kind::of(api_version, kind) else {
            return self.ignored.push((format!("{api_version} {kind}"), line));
        };
        let mut track = serde_path_to_error::Track::new();
        let value = tree.value.to_value();
        let raw = Raw::deserialize(kind, serde_path_to_error::Deserializer::new(value, &mut track));
        match raw.map(|raw| raw.check()) {
            Ok(Ok(object)) => self.objects.push((object, line)),
            Ok(Err(faults)) => {
                for fault in faults {
                    let field = join(at, fault.field.segments());
                    self.defect(document, Some(fault.subject), field, Problem::Object(fault.problem));
                }
            }
            Err(error) => {
                let field = track_path(at.clone(), &track.path());
                let problem = Problem::WrongType { reason: error.to_string() };
                self.defect(document, Some(subject(kind, &tree.value)), field, problem);
            }
        }
    }

    fn defect(&mut self, document: &Located, subject: Option<Subject>, field: FieldPath, problem: Problem) {
        self.defects.push(Defect { line: Some(line_of(document, &field)), subject, field, problem });
    }
}

/// The way to a field that could not be read, as far as it is known.
pub(crate) fn track_path(at: FieldPath, path: &serde_path_to_error::Path) -> FieldPath {
    path.iter().fold(at, |path, step| match step {
        Step::Seq { index } => path.index(*index),
        Step::Map { key } => path.key(key),
        Step::Enum { variant } => path.key(variant),
        Step::Unknown => path,
    })
}

fn join(at: &FieldPath, segments: &[Segment]) -> FieldPath {
    segments.iter().fold(at.clone(), |path, segment| match segment {
        Segment::Key(key) => path.key(key),
        Segment::Index(index) => path.index(*index),
    })
}

/// As far as an object that could not be read can be named.
fn subject(kind: Kind, tree: &Tree) -> Subject {
    let metadata = tree.get("metadata").map(|metadata| &metadata.value);
    let text = |key| metadata.and_then(|metadata| metadata.text(key)).map(str::to_owned);
    let namespace = kind.is_namespaced().then(|| text("namespace").unwrap_or_else(|| "default".to_owned()));
    Subject { kind, namespace, name: text("name") }
}

#[cfg(test)]
mod tests;
