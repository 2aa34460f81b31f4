//! Which objects are in force, from which file; and what a new listing changes about that.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io;
use std::path::{Path, PathBuf};

use sluice_model::{FieldPath, Key, Object};

use crate::event::{Event, Fault, Origin, Problem};
use crate::listing::Listing;
use crate::manifest::{self, Defect};

/// All that is known of the directory.
#[derive(Debug, Default)]
pub(crate) struct Book {
    files: BTreeMap<PathBuf, Record>,
    /// What has been told to be in force, and the file it came from.
    in_force: BTreeMap<Key, (Object, PathBuf)>,
    /// Faults that have been told and not cleared; no list is empty.
    told: BTreeMap<PathBuf, Vec<Fault>>,
    synced: bool,
}

/// What a file says, or last said well.
#[derive(Debug, Default)]
struct Record {
    /// Hash of the text that was read last, to parse only what changed.
    hash: Option<u64>,
    objects: BTreeMap<Key, (Object, u64)>,
    defects: Vec<Defect>,
}

impl Book {
    /// Takes a listing, or why there is none, and tells what that changes: faults, then objects that come, then
    /// objects that go, and at the first listing that all has been told.
    pub(crate) fn update(&mut self, directory: &Path, listing: io::Result<Listing>) -> Vec<Event> {
        let mut faults: BTreeMap<PathBuf, Vec<Fault>> = BTreeMap::new();
        let listed = listing.is_ok();
        match listing {
            Ok(listing) => self.read(listing),
            Err(error) => {
                let defect = Defect::of_file(Problem::Unreadable(error.kind()));
                faults.insert(directory.to_owned(), vec![defect.in_file(directory)]);
            }
        }
        let wanted = self.settle(&mut faults);
        let mut events = self.tell_faults(faults);
        self.tell_objects(wanted, &mut events);
        if listed && !self.synced {
            self.synced = true;
            events.push(Event::Synced);
        }
        events
    }

    /// Brings the records up to the listing. A file with a fault loses no object; a file that is gone loses all.
    fn read(&mut self, listing: Listing) {
        self.files.retain(|path, _| listing.contains_key(path));
        for (path, text) in listing {
            let record = self.files.entry(path.clone()).or_default();
            match text {
                Err(problem) => {
                    record.hash = None;
                    record.defects = vec![Defect::of_file(problem)];
                }
                Ok(text) => {
                    let hash = hash(&text);
                    if record.hash != Some(hash) {
                        record.hash = Some(hash);
                        record.read(&path, &text);
                    }
                }
            }
        }
    }

    /// Chooses a file for every object that some file has, and notes the others as faults of theirs.
    fn settle(&self, faults: &mut BTreeMap<PathBuf, Vec<Fault>>) -> BTreeMap<Key, (Object, PathBuf)> {
        let mut holders: BTreeMap<&Key, Vec<(&PathBuf, &Object, u64)>> = BTreeMap::new();
        for (path, record) in &self.files {
            for defect in &record.defects {
                faults.entry(path.clone()).or_default().push(defect.clone().in_file(path));
            }
            for (key, (object, line)) in &record.objects {
                holders.entry(key).or_default().push((path, object, *line));
            }
        }
        let mut wanted = BTreeMap::new();
        for (key, holders) in holders {
            let before = self.in_force.get(key).map(|(_, path)| path);
            let stays = holders.iter().find(|(path, ..)| Some(*path) == before);
            // Files come in the order of their names, so without one before, the first name has it.
            let Some(&(owner, object, line)) = stays.or(holders.first()) else { continue };
            for (path, _, own_line) in holders.iter().filter(|(path, ..)| *path != owner) {
                let defect = duplicate(key, *own_line, owner, line);
                faults.entry((*path).clone()).or_default().push(defect.in_file(path));
            }
            wanted.insert(key.clone(), (object.clone(), owner.clone()));
        }
        wanted
    }

    fn tell_faults(&mut self, faults: BTreeMap<PathBuf, Vec<Fault>>) -> Vec<Event> {
        let mut events = Vec::new();
        for (file, old) in &self.told {
            if faults.get(file) != Some(old) {
                events.push(Event::FaultCleared { origin: Origin::File(file.clone()) });
            }
        }
        for (file, new) in &faults {
            if self.told.get(file) != Some(new) {
                events.extend(new.iter().cloned().map(Event::Fault));
            }
        }
        self.told = faults;
        events
    }

    fn tell_objects(&mut self, wanted: BTreeMap<Key, (Object, PathBuf)>, events: &mut Vec<Event>) {
        for (key, (object, _)) in &wanted {
            if self.in_force.get(key).map(|(object, _)| object) != Some(object) {
                events.push(Event::Apply(object.clone()));
            }
        }
        let gone = self.in_force.keys().filter(|key| !wanted.contains_key(*key));
        events.extend(gone.cloned().map(Event::Delete));
        self.in_force = wanted;
    }
}

impl Record {
    fn read(&mut self, path: &Path, text: &str) {
        let manifest = manifest::parse(text);
        for (kind, line) in &manifest.ignored {
            tracing::info!(file = %path.display(), line, kind, "this kind is not read");
        }
        self.defects = manifest.defects;
        let mut objects: BTreeMap<Key, (Object, u64)> = BTreeMap::new();
        for (object, line) in manifest.objects {
            let key = object.key();
            match objects.get(&key) {
                Some((_, first)) => self.defects.push(duplicate(&key, line, path, *first)),
                None => {
                    objects.insert(key, (object, line));
                }
            }
        }
        if !self.defects.is_empty() {
            for (key, old) in std::mem::take(&mut self.objects) {
                objects.entry(key).or_insert(old);
            }
        }
        self.objects = objects;
    }
}

fn duplicate(key: &Key, line: u64, file: &Path, other_line: u64) -> Defect {
    Defect {
        line: Some(line),
        subject: Some(key.subject()),
        field: FieldPath::of(&["metadata", "name"]),
        problem: Problem::Duplicate { file: file.to_owned(), line: other_line },
    }
}

/// Fixed keys: the same text has the same hash for as long as the process lives.
fn hash(text: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    text.hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests;
