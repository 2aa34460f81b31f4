//! What has been told of a kind: by name and version alone, as the objects themselves are kept by whoever was told.

use std::collections::BTreeMap;

use sluice_model::{
    EndpointSliceName, Key, Kind, NamespaceName, NetworkPolicyName, NodeName, Object, PodName, ServiceName, Subject,
};

use crate::event::{Event, Fault, Origin};
use crate::kube::decode::Item;
use crate::kube::version::Version;

/// The objects of a kind that were told, and those whose newest form makes no sense.
#[derive(Debug)]
pub(crate) struct Known {
    objects: BTreeMap<Key, Mark>,
    faulty: BTreeMap<Subject, Mark>,
    /// The list that is being read, or was read last.
    list: u64,
    /// How far the watch has got since; nothing older is news.
    reached: Version,
}

/// What is kept of an object.
#[derive(Clone, Copy, Debug)]
struct Mark {
    version: Version,
    /// The list that last had it, or in whose time it was told.
    list: u64,
}

impl Known {
    pub(crate) fn new() -> Known {
        Known { objects: BTreeMap::new(), faulty: BTreeMap::new(), list: 0, reached: Version::new("") }
    }

    /// Objects with a form that was told.
    pub(crate) fn objects(&self) -> usize {
        self.objects.len()
    }

    /// Objects whose newest form makes no sense.
    pub(crate) fn faulty(&self) -> usize {
        self.faulty.len()
    }

    /// A list begins. One that was not completed before is forgotten.
    pub(crate) fn begin_list(&mut self) {
        self.list += 1;
        self.reached = Version::new("");
    }

    /// Takes an object of a list that has begun. What is newer is told at once; a version that was told before is not. The
    /// list is right even where its versions are smaller: the server's store may have been put back to an earlier time.
    pub(crate) fn listed(&mut self, item: Item) -> Vec<Event> {
        self.put(item)
    }

    /// The list is complete: what it did not have is gone.
    pub(crate) fn end_list(&mut self, version: &str) -> Vec<Event> {
        let list = self.list;
        let mut events = Vec::new();
        self.objects.retain(|key, mark| {
            let there = mark.list == list;
            if !there {
                events.push(Event::Delete(key.clone()));
            }
            there
        });
        self.faulty.retain(|subject, mark| {
            let there = mark.list == list;
            if !there {
                events.push(cleared(subject));
            }
            there
        });
        self.reached = Version::new(version);
        events
    }

    /// Whether a list that has been read to its end does not have an object that was told.
    pub(crate) fn lacks(&self, key: &Key) -> bool {
        self.objects.get(key).is_some_and(|mark| mark.list != self.list)
    }

    /// Forgets an object that the server does not have, before any list says so: when it is back it is told again.
    pub(crate) fn forget(&mut self, key: &Key) -> Vec<Event> {
        let mut events = Vec::new();
        if self.faulty.remove(&key.subject()).is_some() {
            events.push(cleared(&key.subject()));
        }
        if self.objects.remove(key).is_some() {
            events.push(Event::Delete(key.clone()));
        }
        events
    }

    /// Takes an object that a watch tells is there. An event that comes twice, or late, changes nothing.
    pub(crate) fn there(&mut self, item: Item) -> Vec<Event> {
        if self.is_late(&item) {
            return Vec::new();
        }
        self.advance(item.version);
        self.put(item)
    }

    /// Takes an object that a watch tells is gone.
    pub(crate) fn gone(&mut self, item: &Item) -> Vec<Event> {
        if self.is_late(item) {
            return Vec::new();
        }
        self.advance(item.version);
        let mut events = Vec::new();
        if self.faulty.remove(&item.subject).is_some() {
            events.push(cleared(&item.subject));
        }
        if let Some(key) = key_of(&item.subject)
            && self.objects.remove(&key).is_some()
        {
            events.push(Event::Delete(key));
        }
        events
    }

    /// Takes a bookmark.
    pub(crate) fn bookmark(&mut self, version: &str) {
        self.advance(Version::new(version));
    }

    fn advance(&mut self, version: Version) {
        if !version.is_before(self.reached) {
            self.reached = version;
        }
    }

    /// Whether something newer of the object has been told already: by its own version where it is known, else by that of the
    /// watch, as it may have been deleted meanwhile.
    fn is_late(&self, item: &Item) -> bool {
        let objects = key_of(&item.subject).and_then(|key| self.objects.get(&key));
        let known = [objects, self.faulty.get(&item.subject)].into_iter().flatten();
        let mut known = known.map(|mark| mark.version).peekable();
        match known.peek() {
            Some(_) => known.any(|version| item.version.is_before(version)),
            None => item.version.is_before(self.reached) || item.version == self.reached,
        }
    }

    fn put(&mut self, item: Item) -> Vec<Event> {
        let mark = Mark { version: item.version, list: self.list };
        match item.form {
            Ok(object) => self.put_good(object, &item.subject, mark),
            Err(faults) => self.put_faulty(item.subject, faults, mark),
        }
    }

    fn put_good(&mut self, object: Object, subject: &Subject, mark: Mark) -> Vec<Event> {
        let mut events = Vec::new();
        let was_faulty = self.faulty.remove(subject).is_some();
        if was_faulty {
            events.push(cleared(subject));
        }
        let before = self.objects.insert(object.key(), mark);
        // A form that was told before the faulty one may be back, under a version of its own.
        if was_faulty || before.is_none_or(|before| before.version != mark.version) {
            events.push(Event::Apply(object));
        }
        events
    }

    /// The last good form stays in force, also when a list tells that its newest makes no sense.
    fn put_faulty(&mut self, subject: Subject, faults: Vec<Fault>, mark: Mark) -> Vec<Event> {
        if let Some(last_good) = key_of(&subject).and_then(|key| self.objects.get_mut(&key)) {
            last_good.list = mark.list;
        }
        let mut events = Vec::new();
        match self.faulty.insert(subject.clone(), mark) {
            Some(before) if before.version == mark.version => return events,
            Some(_) => events.push(cleared(&subject)),
            None => {}
        }
        events.extend(faults.into_iter().map(Event::Fault));
        events
    }
}

fn cleared(subject: &Subject) -> Event {
    Event::FaultCleared { origin: Origin::Object(subject.clone()) }
}

/// The key of an object that has a good name.
fn key_of(subject: &Subject) -> Option<Key> {
    let name = subject.name.as_deref()?;
    let namespace = subject.namespace.as_deref().unwrap_or_default();
    match subject.kind {
        Kind::Node => NodeName::new(name).ok().map(Key::Node),
        Kind::Namespace => NamespaceName::new(name).ok().map(Key::Namespace),
        Kind::Pod => PodName::parse(namespace, name).ok().map(Key::Pod),
        Kind::Service => ServiceName::parse(namespace, name).ok().map(Key::Service),
        Kind::EndpointSlice => EndpointSliceName::parse(namespace, name).ok().map(Key::EndpointSlice),
        Kind::NetworkPolicy => NetworkPolicyName::parse(namespace, name).ok().map(Key::NetworkPolicy),
    }
}

#[cfg(test)]
mod tests;
