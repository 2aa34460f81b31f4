//! What the source tells: objects come and go; files, objects and watches have faults.

use std::fmt::{self, Write};
use std::io;
use std::path::PathBuf;

use sluice_model::{FieldPath, Key, Kind, Object, Subject};

use crate::failure::Failure;

/// One thing that happened, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// The object is in force, new or in place of the one of its key.
    Apply(Object),
    /// The object is no longer in force.
    Delete(Key),
    /// All that was there at the start has been told. Comes once, and not before the directory, or every kind of the API,
    /// could be listed.
    Synced,
    /// An origin has a fault, beside those told since its last [`Event::FaultCleared`].
    Fault(Fault),
    /// All faults told of this origin are void; those that remain follow.
    FaultCleared {
        /// Where they came from.
        origin: Origin,
    },
}

/// Where a fault comes from. Faults are told and cleared by origin.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Origin {
    /// A file, or the directory of manifests itself.
    File(PathBuf),
    /// An object of the API.
    Object(Subject),
    /// The list and the watch of a kind of the API.
    Watch(Kind),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Origin::File(file) => write!(f, "{}", file.display()),
            Origin::Object(subject) => write!(f, "{subject}"),
            Origin::Watch(kind) => write!(f, "watch of {kind}"),
        }
    }
}

/// What is wrong, as precisely as it is known. Displayed on one line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Where it comes from.
    pub origin: Origin,
    /// The line, from 1, where it is in a file and known.
    pub line: Option<u64>,
    /// The object, where it is known.
    pub subject: Option<Subject>,
    /// The field in its document; the root where no field is concerned.
    pub field: FieldPath,
    /// What is wrong.
    pub problem: Problem,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let f = &mut OneLine(f);
        write!(f, "{}", self.origin)?;
        if let Some(line) = self.line {
            write!(f, ":{line}")?;
        }
        f.write_str(":")?;
        // An object of the API is its own origin.
        if let Some(subject) = &self.subject
            && !matches!(&self.origin, Origin::Object(origin) if origin == subject)
        {
            write!(f, " {subject}:")?;
        }
        if !self.field.segments().is_empty() {
            write!(f, " {}", self.field)?;
        }
        write!(f, " {}", self.problem)
    }
}

/// Writes control characters and line ends of names and values as escapes: a manifest must not forge lines of a log.
struct OneLine<'a, 'b>(&'a mut fmt::Formatter<'b>);

impl fmt::Write for OneLine<'_, '_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for letter in text.chars() {
            if letter.is_control() || matches!(letter, '\u{2028}' | '\u{2029}') {
                write!(self.0, "{}", letter.escape_default())?;
            } else {
                self.0.write_char(letter)?;
            }
        }
        Ok(())
    }
}

/// What is wrong. Reads after the origin's name, or after the field's.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// It cannot be read.
    #[error("cannot be read ({0}); what was read from it before stays in force")]
    Unreadable(io::ErrorKind),
    /// It is a directory, a pipe or the like.
    #[error("is no regular file; move it elsewhere")]
    NotAFile,
    /// It is larger than any manifest should be.
    #[error("is larger than {limit} bytes; split it")]
    TooLarge {
        /// Bytes it may have.
        limit: u64,
    },
    /// It is not text.
    #[error("is not UTF-8 text")]
    NotUtf8,
    /// Its text is not YAML.
    #[error("is not YAML: {reason}")]
    NotYaml {
        /// What the parser says.
        reason: String,
    },
    /// A document is not a mapping.
    #[error("is not an object; a manifest has apiVersion, kind and metadata")]
    NotAnObject,
    /// A field without which nothing can be read.
    #[error("is missing or no text; every manifest needs it")]
    NoKind,
    /// A field has the wrong type.
    #[error("has the wrong type: {reason}")]
    WrongType {
        /// What is there and what should be.
        reason: String,
    },
    /// The object breaks a rule of its kind.
    #[error(transparent)]
    Object(sluice_model::Problem),
    /// The object is elsewhere too.
    #[error("is in {}:{line} too, which is in force; remove one of the two", file.display())]
    Duplicate {
        /// The file that is in force.
        file: PathBuf,
        /// The object's line there.
        line: u64,
    },
    /// The API server gives no list or watch of the kind.
    #[error(transparent)]
    Failure(Failure),
}
