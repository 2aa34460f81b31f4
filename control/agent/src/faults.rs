//! What is wrong with the objects and with where they come from, for the status, the log and the API.

use std::collections::{BTreeMap, HashSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use sluice_model::Fault as ModelFault;
use sluice_source::kube::ObjectFault;
use sluice_source::{Fault as SourceFault, Origin};

/// The faults in force. Those of the source come and go one by one; those of the objects are replaced whole whenever the objects
/// change.
#[derive(Debug, Default)]
pub(crate) struct Faults {
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    of_source: BTreeMap<Origin, Vec<SourceFault>>,
    of_objects: Vec<ModelFault>,
    /// All of them, as they were told last.
    told: Vec<String>,
    /// Counts what the source found and found no more.
    changes: u64,
}

impl Faults {
    /// The source has found one.
    pub(crate) fn add(&self, fault: SourceFault) {
        let mut inner = self.inner();
        inner.changes += 1;
        inner.of_source.entry(fault.origin.clone()).or_default().push(fault);
    }

    /// All that the source has found there are void.
    pub(crate) fn clear(&self, origin: &Origin) {
        let mut inner = self.inner();
        inner.changes += 1;
        inner.of_source.remove(origin);
    }

    /// Another number: the source has found something, or found it gone.
    pub(crate) fn changes(&self) -> u64 {
        self.inner().changes
    }

    /// What is wrong between the objects, and with their use on this node. Returns what has not been told before, of these and of
    /// the source's.
    pub(crate) fn replace(&self, of_objects: Vec<ModelFault>) -> Vec<String> {
        let mut inner = self.inner();
        inner.of_objects = of_objects;
        let of_source = inner.of_source.values().flatten().map(ToString::to_string);
        let told: Vec<String> = of_source.chain(inner.of_objects.iter().map(ToString::to_string)).collect();
        let before: HashSet<&String> = inner.told.iter().collect();
        let new = told.iter().filter(|fault| !before.contains(fault)).cloned().collect();
        inner.told = told;
        new
    }

    /// The faults in force.
    pub(crate) fn list(&self) -> Vec<String> {
        self.inner().told.clone()
    }

    /// Those of them that are an object's, for it to be told of.
    pub(crate) fn of_objects(&self) -> Vec<ObjectFault> {
        let inner = self.inner();
        let of_source = inner.of_source.values().flatten().filter_map(|fault| {
            // Who wrote a file reads no API.
            let Origin::Object(subject) = &fault.origin else { return None };
            let note = format!("{} {}", fault.field, fault.problem).trim().to_owned();
            Some(ObjectFault { subject: subject.clone(), reason: "Invalid", note })
        });
        of_source.chain(inner.of_objects.iter().map(ObjectFault::from)).collect()
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use sluice_model::{FieldPath, Kind, Problem, Subject};
    use sluice_source::Problem as SourceProblem;

    use super::*;

    fn subject(name: &str) -> Subject {
        Subject { kind: Kind::Node, namespace: None, name: Some(name.into()) }
    }

    fn fault(name: &str) -> ModelFault {
        ModelFault { subject: subject(name), field: FieldPath::of(&["spec"]), problem: Problem::NoPodNetwork }
    }

    fn of_source(origin: Origin) -> SourceFault {
        SourceFault { origin, line: None, subject: None, field: FieldPath::root(), problem: SourceProblem::NotUtf8 }
    }

    #[test]
    fn only_new_faults_are_told() {
        let faults = Faults::default();
        let file = Origin::File("/m/a.yaml".into());
        faults.add(of_source(file.clone()));
        assert_eq!(faults.replace(vec![fault("a")]).len(), 2);
        assert_eq!(faults.replace(vec![fault("a"), fault("b")]), [fault("b").to_string()]);
        faults.clear(&file);
        assert_eq!(faults.replace(vec![fault("b")]), [] as [String; 0]);
        assert_eq!(faults.list(), [fault("b").to_string()]);
    }

    #[test]
    fn objects_are_told_of_their_own_faults_and_of_no_file() {
        let faults = Faults::default();
        faults.add(of_source(Origin::File("/m/a.yaml".into())));
        faults.add(of_source(Origin::Watch(Kind::Pod)));
        faults.add(of_source(Origin::Object(subject("c"))));
        faults.replace(vec![fault("a")]);
        let told = faults.of_objects();
        assert_eq!(told.iter().map(|fault| &fault.subject).collect::<Vec<_>>(), [&subject("c"), &subject("a")]);
        assert!(told[1].note.starts_with("spec is empty"), "{}", told[1].note);
    }
}
