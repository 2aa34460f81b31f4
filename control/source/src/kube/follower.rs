//! One kind's list and watch.

use std::sync::Arc;
use std::sync::atomic::AtomicUsize;

use sluice_model::Kind;
use tokio::sync::mpsc;

use crate::event::Event;
use crate::kube::connection::Connection;
use crate::kube::status::Status;
use crate::kube::watch::Timing;

pub(crate) struct Follower {
    sender: mpsc::Sender<Event>,
}

impl Follower {
    pub(crate) fn new(
        _kind: Kind,
        _connection: Arc<Connection>,
        _timing: Timing,
        sender: mpsc::Sender<Event>,
        _status: Status,
        _unlisted: Arc<AtomicUsize>,
    ) -> Follower {
        Follower { sender }
    }

    pub(crate) async fn run(self) {
        self.sender.closed().await;
    }
}
