//! The last good objects on disk: with them a node that starts while the place that its objects come from is away forwards as
//! before.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use tokio::time::MissedTickBehavior;
use tracing::{debug, error, info, warn};

use crate::agent::Agent;
use crate::config::Config;
use crate::generations::Standing;

mod debounce;
mod file;

use self::debounce::Debounce;
pub(crate) use self::file::timestamp;
use self::file::{ObjectsFile, Stored};

/// Time between two looks whether to write.
const LOOK: Duration = Duration::from_secs(1);

/// The file, and what of the objects is in it.
#[derive(Debug)]
pub(crate) struct LastGood {
    file: ObjectsFile,
    /// Held while writing, so that one does it at a time.
    debounce: Mutex<Debounce>,
    /// Why the last writing failed, until one succeeds.
    failure: Mutex<Option<String>>,
}

impl LastGood {
    /// The file in the state directory of this configuration.
    pub(crate) fn of(config: &Config) -> Self {
        let file = ObjectsFile::new(&config.state_dir, config.node_name.clone());
        Self { file, debounce: Mutex::default(), failure: Mutex::default() }
    }

    /// What an earlier agent wrote. A file that cannot be used is told of, set aside, and done without.
    pub(crate) fn load(&self) -> Option<Stored> {
        match self.file.load() {
            Ok(stored) => stored,
            Err(refused) => {
                error!(%refused, "starting without the last good objects");
                if refused.is_refusal() {
                    match self.file.set_aside() {
                        Ok(aside) => {
                            warn!(aside = %aside.display(), "the file with the last good objects is set aside")
                        }
                        Err(error) => warn!(%error, "it cannot be set aside"),
                    }
                }
                None
            }
        }
    }

    /// Why the objects in force are not on the disk; `None` when they are, or will be soon.
    pub(crate) fn failure(&self) -> Option<String> {
        self.failure.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn debounce(&self) -> MutexGuard<'_, Debounce> {
        self.debounce.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Agent {
    /// Writes the objects in force down, unless they are; those of an earlier time are on the disk already. Blocks for as long as
    /// the disk takes.
    pub(crate) fn keep_objects(&self) {
        if let Some(changes) = self.unwritten(|debounce, changes| debounce.is_behind(changes)) {
            self.write_objects(changes);
        }
    }

    fn unwritten(&self, wanted: impl FnOnce(&mut Debounce, u64) -> bool) -> Option<u64> {
        let changes = self.generations.object_changes();
        let current = self.generations.standing() == Standing::Current;
        (current && wanted(&mut self.last_good.debounce(), changes)).then_some(changes)
    }

    fn write_objects(&self, changes: u64) {
        let mut debounce = self.last_good.debounce();
        let began = Instant::now();
        let saved = self.last_good.file.save(SystemTime::now(), |after, most| self.generations.page(after, most));
        let cost = began.elapsed();
        let failure = match saved {
            Ok(objects) => {
                debug!(objects, ?cost, "the objects in force are on the disk");
                None
            }
            Err(error) => {
                error!(%error, "a start without the source of the objects would find older ones, or none");
                Some(error.to_string())
            }
        };
        match failure {
            None => debounce.written(changes, cost),
            Some(_) => debounce.failed(Instant::now(), cost),
        }
        *self.last_good.failure.lock().unwrap_or_else(PoisonError::into_inner) = failure;
    }

    /// Serves the objects of an earlier time, where there are any, until those of now are known whole.
    pub(crate) fn serve_last_good(&self) {
        let Some(Stored { objects, written }) = self.last_good.load() else { return };
        info!(
            objects = objects.len(),
            written = %timestamp(written),
            "serving the last good objects until those of now are known"
        );
        self.generations.serve_last_good(objects, written);
    }
}

/// Writes the objects down as they change, until the task is dropped.
pub(crate) async fn keep(agent: Arc<Agent>) {
    let mut looks = tokio::time::interval(LOOK);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        looks.tick().await;
        let writing = Arc::clone(&agent);
        // A panic has been logged.
        let _ = tokio::task::spawn_blocking(move || {
            if let Some(changes) = writing.unwritten(|debounce, changes| debounce.is_due(Instant::now(), changes)) {
                writing.write_objects(changes);
            }
        })
        .await;
    }
}
