//! Which objects are in force: those last known to be good, until all that there are now have come.

use std::time::SystemTime;

use sluice_model::{Applied, Index, Key, Object};

/// The objects that came, and those that are in force.
#[derive(Debug, Default)]
pub(super) struct InForce {
    /// What the source has told.
    incoming: Index,
    /// Whether that is all there is.
    synced: bool,
    /// What serves before: the objects of an earlier time, and when they were written down.
    last_good: Option<(Index, SystemTime)>,
}

/// Where the objects in force come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Standing {
    /// None are: nothing has been told yet, and nothing is known of an earlier time.
    Unknown,
    /// Those of an earlier time are, as nothing newer is known whole.
    LastGood(SystemTime),
    /// All that the source tells are.
    Current,
}

impl InForce {
    /// These serve until all that there are now have come.
    pub(super) fn serve_last_good(&mut self, objects: impl IntoIterator<Item = Object>, written: SystemTime) {
        let mut index = Index::new();
        for object in objects {
            index.apply(object);
        }
        self.last_good = (!self.synced).then_some((index, written));
    }

    /// Takes an object. Returns whether what is in force is another than before.
    pub(super) fn apply(&mut self, object: Object) -> bool {
        self.incoming.apply(object) != Applied::Unchanged && self.synced
    }

    /// Forgets an object. Returns whether what is in force is another than before.
    pub(super) fn delete(&mut self, key: &Key) -> bool {
        self.incoming.delete(key).is_some() && self.synced
    }

    /// All objects there are have been applied once. From now on they are in force.
    pub(super) fn set_synced(&mut self) {
        self.synced = true;
        self.last_good = None;
    }

    /// The objects in force; `None` as long as nothing is known of them.
    pub(super) fn index(&self) -> Option<&Index> {
        match &self.last_good {
            _ if self.synced => Some(&self.incoming),
            Some((index, _)) => Some(index),
            None => None,
        }
    }

    /// Where they come from.
    pub(super) fn standing(&self) -> Standing {
        match &self.last_good {
            _ if self.synced => Standing::Current,
            Some((_, written)) => Standing::LastGood(*written),
            None => Standing::Unknown,
        }
    }
}

#[cfg(test)]
mod tests {
    use sluice_model::{Node, NodeName};

    use super::*;

    fn node(name: &str) -> (NodeName, Object) {
        let name = NodeName::new(name).unwrap();
        (name.clone(), Object::Node(Node::named(name)))
    }

    #[test]
    fn objects_of_an_earlier_time_serve_until_all_of_now_have_come() {
        let mut objects = InForce::default();
        assert_eq!((objects.index(), objects.standing()), (None, Standing::Unknown));
        let ((old, old_object), (new, new_object)) = (node("old"), node("new"));
        objects.serve_last_good([old_object], SystemTime::UNIX_EPOCH);
        assert_eq!(objects.standing(), Standing::LastGood(SystemTime::UNIX_EPOCH));
        assert!(!objects.apply(new_object), "what is in force does not change yet");
        assert!(objects.index().unwrap().node(&old).is_some() && objects.index().unwrap().node(&new).is_none());
        objects.set_synced();
        assert_eq!(objects.standing(), Standing::Current);
        assert!(objects.index().unwrap().node(&old).is_none() && objects.index().unwrap().node(&new).is_some());
        assert!(objects.delete(&Key::Node(new)), "from now on what comes and goes is in force at once");
    }

    #[test]
    fn objects_of_an_earlier_time_never_take_the_place_of_those_of_now() {
        let mut objects = InForce::default();
        objects.set_synced();
        objects.serve_last_good([node("old").1], SystemTime::UNIX_EPOCH);
        assert_eq!(objects.standing(), Standing::Current);
        assert_eq!(objects.index().unwrap().nodes().count(), 0);
    }
}
