//! What is wrong with the objects, for the status and the log.

use std::sync::{Mutex, PoisonError};

/// The faults in force, as text. They are replaced whole whenever the objects change.
#[derive(Debug, Default)]
pub(crate) struct Faults {
    in_force: Mutex<Vec<String>>,
}

impl Faults {
    /// Puts `faults` in force and returns those that were not before.
    pub(crate) fn replace(&self, faults: Vec<String>) -> Vec<String> {
        let mut in_force = self.in_force.lock().unwrap_or_else(PoisonError::into_inner);
        let new = faults.iter().filter(|fault| !in_force.contains(fault)).cloned().collect();
        *in_force = faults;
        new
    }

    /// The faults in force.
    pub(crate) fn list(&self) -> Vec<String> {
        self.in_force.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_new_faults_are_reported() {
        let faults = Faults::default();
        assert_eq!(faults.replace(vec!["a".into(), "b".into()]), ["a", "b"]);
        assert_eq!(faults.replace(vec!["b".into(), "c".into()]), ["c"]);
        assert_eq!(faults.list(), ["b", "c"]);
    }
}
