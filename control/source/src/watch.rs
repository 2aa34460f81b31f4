//! The thread that watches the directory, and the stream of what it finds.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::mpsc as std_mpsc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use notify::{EventKind, RecommendedWatcher, RecursiveMode, Watcher, event::AccessKind, event::AccessMode};
use tokio::sync::mpsc;

use crate::book::Book;
use crate::event::Event;
use crate::listing;

/// Events that wait for their reader; the thread waits when there are more.
const BACKLOG: usize = 1024;

/// When the directory is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timing {
    /// It is read at least this often, for changes that the kernel does not tell: behind links, on network file
    /// systems, or in a directory that is not there yet. Default 10 s.
    pub rescan: Duration,
    /// After a change it is read once it has been quiet for so long. Default 50 ms.
    pub quiet: Duration,
    /// But no later than this after the first change. Default 1 s.
    pub latest: Duration,
}

impl Default for Timing {
    fn default() -> Timing {
        Timing { rescan: Duration::from_secs(10), quiet: Duration::from_millis(50), latest: Duration::from_secs(1) }
    }
}

/// A watched directory. Dropping it ends the watch and its thread.
#[derive(Debug)]
pub struct Watch {
    events: mpsc::Receiver<Event>,
    wake: std_mpsc::Sender<Wake>,
    thread: Option<JoinHandle<()>>,
}

impl Watch {
    /// The next event. `None` only when the thread has ended, which it does not by itself. Cancel safe.
    pub async fn recv(&mut self) -> Option<Event> {
        self.events.recv().await
    }

    /// The next event, for callers outside an async runtime.
    pub fn blocking_recv(&mut self) -> Option<Event> {
        self.events.blocking_recv()
    }

    /// The next event when there is one already.
    pub fn try_recv(&mut self) -> Option<Event> {
        self.events.try_recv().ok()
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        // In this order: a thread that waits to send is set free first, then one that waits for a change.
        self.events.close();
        let _ = self.wake.send(Wake::Stop);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Watches a directory of manifests. It need not exist yet: that is a fault until it does.
///
/// # Errors
/// Only when the system has no thread left.
pub fn watch(directory: &Path, timing: Timing) -> std::io::Result<Watch> {
    let (sender, events) = mpsc::channel(BACKLOG);
    let (wake, woken) = std_mpsc::channel();
    let scanner = Scanner {
        directory: directory.to_owned(),
        timing,
        events: sender,
        wake: wake.clone(),
        woken,
        watched: None,
        book: Book::default(),
    };
    let thread = std::thread::Builder::new().name("manifests".to_owned()).spawn(move || scanner.run())?;
    Ok(Watch { events, wake, thread: Some(thread) })
}

/// Why the thread wakes.
enum Wake {
    /// Something changed in the directory.
    Changed,
    /// The directory itself went away, and the kernel's watch with it.
    Lost,
    /// The watch has been dropped.
    Stop,
}

struct Scanner {
    directory: PathBuf,
    timing: Timing,
    events: mpsc::Sender<Event>,
    wake: std_mpsc::Sender<Wake>,
    woken: std_mpsc::Receiver<Wake>,
    /// The kernel's watch, and the device and inode it is on. Kept only to be dropped.
    watched: Option<((u64, u64), Option<RecommendedWatcher>)>,
    book: Book,
}

impl Scanner {
    fn run(mut self) {
        loop {
            // Before the listing, so that no change falls between the two.
            self.rewatch();
            let listing = listing::read(&self.directory);
            for event in self.book.update(&self.directory, listing) {
                if self.events.blocking_send(event).is_err() {
                    return;
                }
            }
            if !self.wait() {
                return;
            }
        }
    }

    /// Watches the directory that its name leads to now, when that is another than before.
    fn rewatch(&mut self) {
        let identity = std::fs::metadata(&self.directory).ok().map(|metadata| (metadata.dev(), metadata.ino()));
        let Some(identity) = identity else {
            self.watched = None;
            return;
        };
        if self.watched.as_ref().is_some_and(|(on, _)| *on == identity) {
            return;
        }
        let watcher = start_watcher(&self.directory, self.wake.clone());
        if let Err(error) = &watcher {
            let directory = self.directory.display();
            tracing::warn!(%directory, %error, "the kernel tells no changes here; they are seen at the next interval");
        }
        self.watched = Some((identity, watcher.ok()));
    }

    /// Until something changed and it has become quiet, or the interval is over. `false` when the watch ends.
    fn wait(&mut self) -> bool {
        match self.woken.recv_timeout(self.timing.rescan) {
            Err(std_mpsc::RecvTimeoutError::Timeout) => return true,
            Err(std_mpsc::RecvTimeoutError::Disconnected) | Ok(Wake::Stop) => return false,
            Ok(Wake::Lost) => self.watched = None,
            Ok(Wake::Changed) => {}
        }
        let latest = Instant::now() + self.timing.latest;
        loop {
            let left = latest.saturating_duration_since(Instant::now());
            match self.woken.recv_timeout(self.timing.quiet.min(left)) {
                Ok(Wake::Stop) | Err(std_mpsc::RecvTimeoutError::Disconnected) => return false,
                Err(std_mpsc::RecvTimeoutError::Timeout) => return true,
                Ok(Wake::Lost) => self.watched = None,
                Ok(Wake::Changed) if left.is_zero() => return true,
                Ok(Wake::Changed) => {}
            }
        }
    }
}

fn start_watcher(directory: &Path, wake: std_mpsc::Sender<Wake>) -> notify::Result<RecommendedWatcher> {
    let own = directory.to_owned();
    let mut watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
        let reason = match event {
            Ok(event) => match event.kind {
                EventKind::Remove(_) if event.paths.contains(&own) => Wake::Lost,
                // The listing's own reads are told too.
                EventKind::Access(kind) if kind != AccessKind::Close(AccessMode::Write) => return,
                _ => Wake::Changed,
            },
            // Told too much to keep up with, or the watch failed: either way a new listing says what is true.
            Err(_) => Wake::Changed,
        };
        // Fails only when the thread has ended.
        let _ = wake.send(reason);
    })?;
    watcher.watch(directory, RecursiveMode::NonRecursive)?;
    Ok(watcher)
}
