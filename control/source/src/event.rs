//! What the source tells: objects come and go, files have faults.

use std::fmt::{self, Write};
use std::io;
use std::path::PathBuf;

use sluice_model::{FieldPath, Key, Object, Subject};

/// One thing that happened, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// The object is in force, new or in place of the one of its key.
    Apply(Object),
    /// The object is no longer in force.
    Delete(Key),
    /// All that was there at the start has been told. Comes once, and not before the directory could be listed.
    Synced,
    /// A file has a fault, beside those told since its last [`Event::FaultCleared`].
    Fault(Fault),
    /// All faults told of this file are void; those that remain follow.
    FaultCleared {
        /// The file, or the directory itself.
        file: PathBuf,
    },
}

/// What is wrong with a file, as precisely as it is known. Displayed on one line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The file, or the directory itself.
    pub file: PathBuf,
    /// The line, from 1, where it is known.
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
        write!(f, "{}", self.file.display())?;
        if let Some(line) = self.line {
            write!(f, ":{line}")?;
        }
        f.write_str(":")?;
        if let Some(subject) = &self.subject {
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

/// What is wrong with a file. Reads after its name, or after the field's.
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
}
