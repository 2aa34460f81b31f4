//! Why there is no API server, or why it refused.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

/// What went wrong, with what, and what to do about it.
#[derive(Debug, thiserror::Error)]
pub enum E2eError {
    /// A program is missing.
    #[error("{program} is not there (looked for {looked}); run setup/e2e, or set {variable}")]
    NoProgram {
        /// The program's name.
        program: &'static str,
        /// The environment variable that names it.
        variable: &'static str,
        /// Where it was looked for.
        looked: String,
    },
    /// A file of the API server.
    #[error("cannot write {path}: {source}")]
    File {
        /// The file.
        path: PathBuf,
        /// The kernel's reason.
        source: io::Error,
    },
    /// A certificate could not be made.
    #[error("cannot make a certificate: {0}")]
    Certificate(#[from] rcgen::Error),
    /// A program ended, or did not get ready.
    #[error("{program} is not ready after {waited:?}: {last}\n{tail}")]
    NotReady {
        /// The program.
        program: &'static str,
        /// How long was waited.
        waited: Duration,
        /// Its last answer.
        last: String,
        /// The end of what it printed.
        tail: String,
    },
    /// The API server refused a request.
    #[error("{request}: {code} {reason}: {message}")]
    Refused {
        /// What was asked.
        request: String,
        /// The HTTP status.
        code: u16,
        /// The reason in one word, such as `NotFound`.
        reason: String,
        /// The server's words.
        message: String,
    },
    /// The API server could not be asked.
    #[error("{request}: {reason}")]
    Unreachable {
        /// What was asked.
        request: String,
        /// Why not.
        reason: String,
    },
    /// An object that is none.
    #[error("{0}")]
    Object(String),
    /// The lab.
    #[error(transparent)]
    Lab(#[from] sluice_lab::LabError),
    /// A namespace.
    #[error(transparent)]
    Host(#[from] sluice_host::Error),
}

impl E2eError {
    /// The HTTP status with which the API server refused.
    pub fn code(&self) -> Option<u16> {
        match self {
            Self::Refused { code, .. } => Some(*code),
            _ => None,
        }
    }

    pub(crate) fn file(path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::File { path, source }
    }
}
