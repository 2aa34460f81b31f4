//! The Node of this node: the sign that a server's store is still the one that was followed.

use std::sync::atomic::{AtomicBool, Ordering};

use sluice_model::{Key, Kind, NodeName, Object};

use crate::event::Event;
use crate::failure::Failure;
use crate::kube::connection::{Connection, METADATA};
use crate::kube::resource::resource;
use crate::kube::setback::Setback;

/// The own Node, as all kinds' tasks know it.
#[derive(Debug)]
pub(crate) struct OwnNode {
    /// `None`: nobody said which it is, and all lists are believed.
    name: Option<NodeName>,
    /// Whether it was told ever since the start. A flag alone, which orders nothing.
    told: AtomicBool,
}

impl OwnNode {
    pub(crate) fn new(name: Option<NodeName>) -> OwnNode {
        OwnNode { name, told: AtomicBool::new(false) }
    }

    /// Its key, once it was told: from then on a server without it is not believed.
    pub(crate) fn expected(&self) -> Option<Key> {
        self.name.clone().filter(|_| self.told.load(Ordering::Relaxed)).map(Key::Node)
    }

    /// Takes note of it among what is told.
    pub(crate) fn note(&self, event: &Event) {
        if let (Event::Apply(Object::Node(node)), Some(own)) = (event, &self.name)
            && node.name == *own
        {
            self.told.store(true, Ordering::Relaxed);
        }
    }

    /// Why the server is not to be believed.
    pub(crate) fn gone(&self) -> Failure {
        Failure::NodeGone { node: self.name.as_ref().map(ToString::to_string).unwrap_or_default() }
    }

    /// Asks the server whether it has the Node, if it had it before. Without the right to ask it is believed.
    pub(crate) async fn check(&self, connection: &Connection) -> Result<(), Setback> {
        let (Some(Key::Node(name)), nodes) = (self.expected(), resource(Kind::Node)) else { return Ok(()) };
        match connection.read(&nodes.path_of(None, name.as_str()), METADATA).await {
            Ok(_) | Err(Setback { failure: Failure::Forbidden { .. }, .. }) => Ok(()),
            Err(Setback { failure: Failure::Refused { status: 404, .. }, .. }) => Err(self.gone().into()),
            Err(setback) => Err(setback.while_asking("get", nodes.name, "")),
        }
    }
}
