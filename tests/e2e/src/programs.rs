//! Where `setup/e2e` puts its programs.

use std::path::{Path, PathBuf};

use crate::error::E2eError;

/// The directory below cargo's target directory.
const DIRECTORY: &str = "e2e";

/// Finds a program that `setup/e2e` builds: by its variable, else in the `e2e` directory above the running program.
///
/// # Errors
/// [`E2eError::NoProgram`] with the places looked at.
pub fn built(program: &'static str, variable: &'static str) -> Result<PathBuf, E2eError> {
    let looked = match std::env::var_os(variable) {
        Some(path) => vec![PathBuf::from(path)],
        None => above(&std::env::current_exe().unwrap_or_default(), program),
    };
    let missing = || E2eError::NoProgram {
        program,
        variable,
        looked: looked.iter().map(|path| path.display().to_string()).collect::<Vec<_>>().join(", "),
    };
    looked.iter().find(|path| path.is_file()).cloned().ok_or_else(missing)
}

/// Finds a program that a package installs.
pub(crate) fn installed(program: &'static str, variable: &'static str) -> Result<PathBuf, E2eError> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path).map(|directory| directory.join(program)).find(|path| path.is_file());
    found.ok_or_else(|| E2eError::NoProgram { program, variable, looked: "it on the path".to_owned() })
}

/// `target/debug/deps/test-1` and `target/release/sluice-perf` both have `target/e2e` beside an ancestor.
fn above(running: &Path, program: &str) -> Vec<PathBuf> {
    running.ancestors().skip(2).take(2).map(|directory| directory.join(DIRECTORY).join(program)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_test_and_a_program_find_the_same_place() {
        let wanted = PathBuf::from("/t/e2e/etcd");
        assert!(above(Path::new("/t/debug/deps/suite-1"), "etcd").contains(&wanted));
        assert!(above(Path::new("/t/release/sluice-perf"), "etcd").contains(&wanted));
    }
}
