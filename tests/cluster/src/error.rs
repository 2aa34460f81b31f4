//! Why there is no cluster.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

/// What went wrong, with what, and what to do about it.
#[derive(Debug, thiserror::Error)]
pub enum ClusterError {
    /// A file or directory of the cluster.
    #[error("cannot {what} {path}: {source}")]
    File {
        /// What was to be done with it.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// The kernel's reason.
        source: io::Error,
    },
    /// An image's archive is missing.
    #[error("{path} is not there; `make test-cluster` builds it")]
    NoImage {
        /// The archive.
        path: PathBuf,
    },
    /// A program failed.
    #[error("{command} ended with {status}\n{output}")]
    Failed {
        /// What was run.
        command: String,
        /// How it ended.
        status: String,
        /// What it printed.
        output: String,
    },
    /// Something did not come about.
    #[error("waited {bound:?} in vain for: {what}; last seen: {last}")]
    InVain {
        /// What was waited for.
        what: String,
        /// How long.
        bound: Duration,
        /// What there was instead.
        last: String,
    },
    /// A manifest of deploy/ that is not as the tests know it.
    #[error("{path}: {problem}")]
    Manifest {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
    /// The API server.
    #[error(transparent)]
    Api(#[from] sluice_e2e::E2eError),
    /// The wire and the namespaces on it.
    #[error(transparent)]
    Lab(#[from] sluice_lab::LabError),
    /// A namespace.
    #[error(transparent)]
    Host(#[from] sluice_host::Error),
}

impl ClusterError {
    pub(crate) fn file(what: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::File { what, path, source }
    }
}
