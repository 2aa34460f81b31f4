//! What a watch tells, as text that tests can name.

use std::path::{Path, PathBuf};
use std::time::Duration;

use sluice_source::Event;
use sluice_source::kube::{Access, KindStatus, Status, Timing, Watch, watch};
use tempfile::TempDir;

use crate::server::Server;

/// How long anything may take on a machine that has other things to do.
pub(crate) const BOUND: Duration = Duration::from_secs(30);

/// Short, but only where a test is about waiting shorter than a busy machine may need for an answer.
pub(crate) fn timing() -> Timing {
    Timing {
        connect: Duration::from_secs(10),
        answer: Duration::from_secs(10),
        quiet: Duration::from_secs(10),
        watch: Duration::from_secs(60),
        backoff: Duration::from_millis(10),
        backoff_limit: Duration::from_millis(50),
    }
}

/// A watch of a server, and the kubeconfig that leads there.
pub(crate) struct Told {
    pub(crate) watch: Watch,
    pub(crate) directory: TempDir,
    synced: bool,
}

impl Told {
    pub(crate) fn of(server: &Server) -> Told {
        Told::with(server, timing())
    }

    pub(crate) fn with(server: &Server, timing: Timing) -> Told {
        let directory = tempfile::tempdir().expect("a directory");
        let path = kubeconfig(directory.path(), &format!("http://{}", server.address), "");
        Told::from(directory, Access::kubeconfig(&path, None), timing)
    }

    pub(crate) fn from(directory: TempDir, access: Access, timing: Timing) -> Told {
        Told::over(directory, watch(access, timing))
    }

    pub(crate) fn over(directory: TempDir, watch: Watch) -> Told {
        Told { watch, directory, synced: false }
    }

    /// The next thing that is told, but for `synced`, which is remembered: it may come between any two others.
    pub(crate) async fn next(&mut self) -> String {
        loop {
            let event = tokio::time::timeout(BOUND, self.watch.recv()).await.expect("an event in time");
            match event.expect("the watch goes on") {
                Event::Apply(object) => return format!("apply {}", object.key()),
                Event::Delete(key) => return format!("delete {key}"),
                Event::Fault(fault) => return format!("fault {fault}"),
                Event::FaultCleared { origin } => return format!("cleared {origin}"),
                Event::Synced => {
                    assert!(!self.synced, "it is told once");
                    self.synced = true;
                }
            }
        }
    }

    /// These are told next, in this order.
    pub(crate) async fn expect(&mut self, expected: &[&str]) {
        for expected in expected {
            assert_eq!(&self.next().await, expected);
        }
    }

    /// A fault of the Pods' watch that has this text; other kinds may have faults of their own meanwhile.
    pub(crate) async fn fault_with(&mut self, text: &str) -> String {
        loop {
            let told = self.next().await;
            if told.starts_with("fault watch of Pod:") && told.contains(text) {
                return told;
            }
            assert!(told.contains("watch of "), "{told} where a fault with {text} is due");
        }
    }

    /// Passes over what watches tell of themselves, until this comes.
    pub(crate) async fn until(&mut self, expected: &str) {
        loop {
            let told = self.next().await;
            if told == expected {
                return;
            }
            assert!(told.contains("watch of "), "{told} where {expected} is due");
        }
    }

    pub(crate) async fn until_synced(&mut self) {
        while !self.synced {
            let event = tokio::time::timeout(BOUND, self.watch.recv()).await.expect("an event in time");
            match event.expect("the watch goes on") {
                Event::Synced => self.synced = true,
                Event::Fault(_) | Event::FaultCleared { .. } => {}
                other => panic!("{other:?} where the sync is due"),
            }
        }
    }

    pub(crate) fn is_synced(&self) -> bool {
        self.synced || self.watch.status().is_synced()
    }
}

/// Looks again and again until there is something, and returns that; in vain for no longer than [`BOUND`].
pub(crate) async fn eventually<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let waited = async {
        loop {
            if let Some(found) = look() {
                return found;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(BOUND, waited).await.unwrap_or_else(|_| panic!("waited in vain for {what}"))
}

/// The status of Pods, once it is as wanted.
pub(crate) async fn pods(status: &Status, wanted: impl Fn(&KindStatus) -> bool) -> KindStatus {
    let pods = || status.kinds().into_iter().find(|kind| kind.kind == sluice_model::Kind::Pod).expect("Pods");
    eventually("a status as wanted", || Some(pods()).filter(&wanted)).await
}

/// Waits until all kinds but one are synced.
pub(crate) async fn all_but_one_synced(status: &Status) {
    let synced = || status.kinds().iter().filter(|kind| kind.synced).count();
    eventually("all kinds but one to be synced", || (synced() >= 5).then_some(())).await;
}

/// Writes a kubeconfig. `authority` is a line of its cluster, or nothing.
pub(crate) fn kubeconfig(directory: &Path, server: &str, authority: &str) -> PathBuf {
    let path = directory.join("kubeconfig");
    let text = format!(
        "apiVersion: v1
kind: Config
current-context: here
contexts:
- name: here
  context: {{cluster: here, user: me}}
- name: elsewhere
  context: {{cluster: elsewhere, user: me}}
clusters:
- name: here
  cluster:
    server: {server}
{authority}
- name: elsewhere
  cluster: {{server: http://127.0.0.1:1}}
users:
- name: me
  user: {{token: secret}}
"
    );
    let new = directory.join("kubeconfig.new");
    std::fs::write(&new, text).expect("a kubeconfig");
    std::fs::rename(&new, &path).expect("the kubeconfig in its place");
    path
}
