//! The images that the nodes have, as archives that `make test-cluster` builds.

use std::path::PathBuf;

use crate::error::ClusterError;

/// The directory of the archives, below cargo's target directory.
const DIRECTORY: &str = "cluster";

/// An image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Image {
    /// What pods call it.
    pub name: &'static str,
    /// Its archive.
    pub archive: &'static str,
}

/// What is under test.
pub const SLUICE: Image = Image { name: "sluice.io/sluice:0.1.0", archive: "sluice.tar" };
/// Busybox, and the probe that the pods of the tests run.
pub const TOOLS: Image = Image { name: "sluice.test/tools:1", archive: "tools.tar" };

impl Image {
    /// Where its archive is: `target/debug/deps/suite-1` has `target/cluster` beside an ancestor.
    ///
    /// # Errors
    /// [`ClusterError::NoImage`] when it has not been built.
    pub fn find(&self) -> Result<PathBuf, ClusterError> {
        let running = std::env::current_exe().unwrap_or_default();
        let mut looked = running.ancestors().skip(2).take(2).map(|above| above.join(DIRECTORY).join(self.archive));
        let path = looked.clone().find(|path| path.is_file());
        path.ok_or_else(|| ClusterError::NoImage { path: looked.next().unwrap_or_default() })
    }
}
