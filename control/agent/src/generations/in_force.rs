//! Which objects are in force: those last known to be good, until all that there are now have come; and those of before, while the
//! Node of this node is gone.

use std::collections::BTreeMap;
use std::time::SystemTime;

use sluice_model::{Applied, Index, Key, Kind, NodeName, Object};

/// The objects that came, and those that are in force.
#[derive(Debug)]
pub(super) struct InForce {
    /// This node.
    own: NodeName,
    /// What the source has told.
    incoming: Index,
    /// Whether that is all there is.
    synced: bool,
    /// What serves before: the objects of an earlier time, and when they were written down.
    last_good: Option<(Index, SystemTime)>,
    /// What is not taken over, as the own Node is gone.
    withheld: Option<Withheld>,
    /// Counts what changed in what is incoming.
    changes: u64,
}

/// What the source has told since the own Node went.
#[derive(Debug)]
struct Withheld {
    /// When it went.
    since: SystemTime,
    /// The newest of each object; `None`: it is gone.
    changes: BTreeMap<Key, Option<Object>>,
}

/// Where the objects in force come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Standing {
    /// None are: nothing has been told yet, and nothing is known of an earlier time.
    Unknown,
    /// Those of an earlier time are, as nothing newer is known whole.
    LastGood(SystemTime),
    /// All that the source told before the Node of this node went are, and nothing that it has told since.
    Withheld(SystemTime),
    /// All that the source tells are.
    Current,
}

impl InForce {
    /// Nothing is known yet on the node of this name.
    pub(super) fn on(own: NodeName) -> Self {
        Self { own, incoming: Index::new(), synced: false, last_good: None, withheld: None, changes: 0 }
    }

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
        let is_own = matches!(&object, Object::Node(node) if node.name == self.own);
        if !is_own && let Some(withheld) = &mut self.withheld {
            withheld.changes.insert(object.key(), Some(object));
            return false;
        }
        let released = self.release();
        if self.incoming.apply(object) == Applied::Unchanged && !released {
            return false;
        }
        self.changes += 1;
        self.take_over();
        self.are_current()
    }

    /// Forgets an object, as was told at `now`. Returns whether what is in force is another than before.
    ///
    /// With the own Node nothing goes, and nothing comes, until it is there again: a source that has lost it may have lost all
    /// else. The rule is that of a start ([`InForce::set_synced`]), so that a daemon that is started again serves the same.
    pub(super) fn delete(&mut self, key: &Key, now: SystemTime) -> bool {
        let is_own = matches!(key, Key::Node(node) if *node == self.own);
        if is_own && self.withheld.is_none() && self.are_current() && self.incoming.node(&self.own).is_some() {
            self.withheld = Some(Withheld { since: now, changes: BTreeMap::new() });
        }
        if let Some(withheld) = &mut self.withheld {
            withheld.changes.insert(key.clone(), None);
            return false;
        }
        let there = self.incoming.delete(key).is_some();
        self.changes += u64::from(there);
        there && self.are_current()
    }

    /// What was withheld is taken over. Returns whether anything was.
    fn release(&mut self) -> bool {
        let Some(Withheld { changes, .. }) = self.withheld.take() else { return false };
        for (key, newest) in changes {
            match newest {
                Some(object) => drop(self.incoming.apply(object)),
                None => drop(self.incoming.delete(&key)),
            }
        }
        true
    }

    /// All objects there are have been applied once. From now on they are in force; but if there are none at all, what serves
    /// from an earlier time goes on until the first one comes: no cluster is without objects, but a directory may be mounted
    /// late. And an API server that has lost its store makes some by itself at once, so what serves goes on until the Node of
    /// this node is among them, if it was before.
    pub(super) fn set_synced(&mut self) {
        self.synced = true;
        self.changes += 1;
        self.take_over();
    }

    /// What came takes the place of the objects of an earlier time, if it can.
    fn take_over(&mut self) {
        let Some((before, _)) = &self.last_good else { return };
        let own = before.node(&self.own).is_none() || self.incoming.node(&self.own).is_some();
        if self.synced && own && !is_empty(&self.incoming) {
            self.last_good = None;
        }
    }

    /// Whether what came is in force.
    fn are_current(&self) -> bool {
        self.synced && self.last_good.is_none()
    }

    /// How often what came has changed: another number, other objects.
    pub(super) fn changes(&self) -> u64 {
        self.changes
    }

    /// The objects in force; `None` as long as nothing is known of them.
    pub(super) fn index(&self) -> Option<&Index> {
        match &self.last_good {
            Some((index, _)) => Some(index),
            None => self.synced.then_some(&self.incoming),
        }
    }

    /// The same, to be compiled.
    pub(super) fn index_mut(&mut self) -> Option<&mut Index> {
        match &mut self.last_good {
            Some((index, _)) => Some(index),
            None => self.synced.then_some(&mut self.incoming),
        }
    }

    /// Where they come from.
    pub(super) fn standing(&self) -> Standing {
        match (&self.last_good, &self.withheld) {
            (Some((_, written)), _) => Standing::LastGood(*written),
            (None, Some(withheld)) => Standing::Withheld(withheld.since),
            (None, None) if self.synced => Standing::Current,
            (None, None) => Standing::Unknown,
        }
    }
}

fn is_empty(index: &Index) -> bool {
    let kinds = [Kind::Node, Kind::Pod, Kind::Namespace, Kind::Service, Kind::EndpointSlice, Kind::NetworkPolicy];
    kinds.into_iter().all(|kind| index.count(kind) == 0)
}

#[cfg(test)]
mod tests {
    use sluice_model::Node;

    use super::*;

    const NOW: SystemTime = SystemTime::UNIX_EPOCH;

    fn fresh() -> InForce {
        InForce::on(NodeName::new("own").unwrap())
    }

    fn node(name: &str) -> (NodeName, Object) {
        let name = NodeName::new(name).unwrap();
        (name.clone(), Object::Node(Node::named(name)))
    }

    #[test]
    fn objects_of_an_earlier_time_serve_until_all_of_now_have_come() {
        let mut objects = fresh();
        assert_eq!((objects.index(), objects.standing()), (None, Standing::Unknown));
        let ((old, old_object), (new, new_object)) = (node("old"), node("new"));
        objects.serve_last_good([old_object], SystemTime::UNIX_EPOCH);
        assert_eq!(objects.standing(), Standing::LastGood(SystemTime::UNIX_EPOCH));
        assert!(!objects.apply(new_object), "what is in force does not change yet");
        assert!(objects.index().unwrap().node(&old).is_some() && objects.index().unwrap().node(&new).is_none());
        objects.set_synced();
        assert_eq!(objects.standing(), Standing::Current);
        assert!(objects.index().unwrap().node(&old).is_none() && objects.index().unwrap().node(&new).is_some());
        assert!(objects.delete(&Key::Node(new), NOW), "from now on what comes and goes is in force at once");
    }

    #[test]
    fn a_source_without_any_object_takes_nothing_away() {
        let mut objects = fresh();
        let ((old, old_object), (new, new_object)) = (node("old"), node("new"));
        objects.serve_last_good([old_object], SystemTime::UNIX_EPOCH);
        objects.set_synced();
        assert_eq!(objects.standing(), Standing::LastGood(SystemTime::UNIX_EPOCH));
        assert!(objects.index().unwrap().node(&old).is_some());
        assert!(objects.apply(new_object), "with the first one it is all there is");
        assert_eq!(objects.standing(), Standing::Current);
        assert!(objects.index().unwrap().node(&old).is_none() && objects.index().unwrap().node(&new).is_some());
        assert!(objects.delete(&Key::Node(new), NOW), "what is taken away later is gone");
        assert_eq!(objects.standing(), Standing::Current);
    }

    #[test]
    fn a_source_that_has_lost_the_nodes_own_object_takes_nothing_away() {
        let mut objects = fresh();
        let ((own, own_object), (other, other_object)) = (node("own"), node("other"));
        objects.serve_last_good([own_object.clone(), node("old").1], SystemTime::UNIX_EPOCH);
        objects.apply(other_object);
        objects.set_synced();
        assert_eq!(objects.standing(), Standing::LastGood(SystemTime::UNIX_EPOCH), "a list that is whole and not ours");
        assert!(!objects.apply(node("another").1), "nor is it with more");
        assert!(!objects.delete(&Key::Node(other), NOW));
        assert!(objects.index().unwrap().node(&own).is_some());
        assert!(objects.apply(own_object), "with the Node it is the cluster's");
        assert_eq!((objects.standing(), objects.index().unwrap().nodes().count()), (Standing::Current, 2));
        assert!(objects.delete(&Key::Node(node("another").0), NOW), "from now on what is taken away is gone");
        assert_eq!(objects.standing(), Standing::Current);
    }

    #[test]
    fn while_the_own_node_is_gone_nothing_goes_or_comes_and_with_it_all_is_as_told() {
        let mut objects = fresh();
        let (own, own_object) = node("own");
        for object in [own_object.clone(), node("stays").1, node("goes").1, node("comes-again").1] {
            objects.apply(object);
        }
        objects.set_synced();
        let before = (objects.changes(), objects.index().unwrap().clone());
        let gone = NOW + std::time::Duration::from_secs(7);
        assert!(!objects.delete(&Key::Node(own.clone()), gone));
        assert!(!objects.delete(&Key::Node(node("goes").0), NOW) && !objects.delete(&Key::Node(own), NOW));
        assert!(!objects.delete(&Key::Node(node("comes-again").0), NOW) && !objects.apply(node("comes-again").1));
        assert!(!objects.apply(node("new").1) && !objects.apply(node("short").1));
        assert!(!objects.delete(&Key::Node(node("short").0), NOW));
        assert_eq!((objects.changes(), objects.index().unwrap()), (before.0, &before.1), "nor is it written down");
        assert_eq!(objects.standing(), Standing::Withheld(gone));
        assert!(objects.apply(own_object));
        let names: Vec<&str> = objects.index().unwrap().nodes().map(|node| node.name.as_str()).collect();
        assert_eq!(names, ["comes-again", "new", "own", "stays"]);
        assert!(objects.changes() > before.0);
        assert_eq!(objects.standing(), Standing::Current);
    }

    #[test]
    fn a_node_that_was_never_there_keeps_nothing_from_going() {
        let mut objects = fresh();
        let (other, other_object) = node("other");
        objects.apply(other_object);
        objects.set_synced();
        assert!(!objects.delete(&Key::Node(node("own").0), NOW));
        assert!(objects.delete(&Key::Node(other), NOW));
        assert_eq!(objects.standing(), Standing::Current);
    }

    #[test]
    fn objects_of_an_earlier_time_never_take_the_place_of_those_of_now() {
        let mut objects = fresh();
        objects.set_synced();
        objects.serve_last_good([node("old").1], SystemTime::UNIX_EPOCH);
        assert_eq!(objects.standing(), Standing::Current);
        assert_eq!(objects.index().unwrap().nodes().count(), 0);
    }
}
