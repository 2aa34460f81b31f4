//! Where the programs under test are.

use std::path::{Path, PathBuf};

use crate::error::LabError;

/// The programs a lab runs.
#[derive(Debug, Clone)]
pub struct Binaries {
    /// The node's daemon.
    pub sluiced: PathBuf,
    /// The CNI plugin.
    pub sluice_cni: PathBuf,
}

impl Binaries {
    /// Finds the programs: by the variables SLUICED and SLUICE_CNI, else beside the running program (a test's program
    /// lies one directory below).
    ///
    /// # Errors
    /// [`LabError::NoBinary`] with the places looked at.
    pub fn find() -> Result<Self, LabError> {
        Ok(Self { sluiced: find("sluiced", "SLUICED")?, sluice_cni: find("sluice-cni", "SLUICE_CNI")? })
    }
}

fn find(program: &'static str, variable: &'static str) -> Result<PathBuf, LabError> {
    let looked = match std::env::var_os(variable) {
        Some(path) => vec![PathBuf::from(path)],
        None => beside(&std::env::current_exe().unwrap_or_default(), program),
    };
    let found = looked.iter().find(|path| path.is_file()).and_then(|path| path.canonicalize().ok());
    found.ok_or(LabError::NoBinary { program, variable, looked })
}

fn beside(running: &Path, program: &str) -> Vec<PathBuf> {
    running.ancestors().skip(1).take(2).map(|directory| directory.join(program)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn beside_the_program_and_above_a_test() {
        let looked = beside(Path::new("/t/debug/deps/lab-1"), "sluiced");
        assert_eq!(looked, [PathBuf::from("/t/debug/deps/sluiced"), PathBuf::from("/t/debug/sluiced")]);
    }
}
