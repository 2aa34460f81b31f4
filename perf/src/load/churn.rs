//! Endpoints that change at a steady rate.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use super::ChurnPlan;
use super::daemon::now;
use super::objects;
use super::requests::Requests;
use super::size::Size;

/// Between two looks at how many requests are due.
const TICK: Duration = Duration::from_millis(5);

/// What was done.
#[derive(Debug, Clone, Copy, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Churned {
    /// Endpoints that were to change in a second.
    pub(crate) asked_rate: u32,
    /// Endpoints of one slice that changed with one request.
    pub(crate) together: u32,
    /// Endpoints that changed.
    pub(crate) changed: u64,
    /// Requests that the server answered.
    pub(crate) requests: u64,
    /// How long it took.
    pub(crate) seconds: f64,
}

impl Churned {
    /// Endpoints that changed in a second.
    pub(crate) fn rate(&self) -> f64 {
        self.changed as f64 / self.seconds.max(0.001)
    }
}

impl fmt::Display for Churned {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { asked_rate, changed, requests, seconds, .. } = self;
        let rate = self.rate();
        write!(
            f,
            "{changed} endpoints changed by {requests} requests in {seconds:.1} s: {rate:.0} a second of {asked_rate} asked for"
        )
    }
}

/// Changes endpoints, slice after slice: not ready in one round, ready in the next.
pub(crate) async fn run(requests: &Requests, size: Size, plan: &ChurnPlan) -> Result<Churned> {
    let together = plan.together.clamp(1, size.endpoints_of(0).max(1));
    let per_second = f64::from(plan.rate) / f64::from(together);
    let bar = ProgressBar::new(plan.length.as_secs()).with_message("changing endpoints");
    bar.set_style(ProgressStyle::with_template("{msg:16} {bar:30} {elapsed} of {len} s, {eta} left")?);
    let (done, free) = (Arc::new(AtomicU64::new(0)), Arc::new(Semaphore::new(requests.parallel())));
    let mut tasks = JoinSet::new();
    let start = Instant::now();
    let mut sent: u64 = 0;
    while start.elapsed() < plan.length {
        requests.stop().check()?;
        bar.set_position(start.elapsed().as_secs());
        // What the server does not manage in time is not made up for by more at once than that.
        while (sent as f64) < start.elapsed().as_secs_f64() * per_second && start.elapsed() < plan.length {
            let permit = Arc::clone(&free).acquire_owned().await.context("the requests have ended")?;
            let service = u32::try_from(sent % u64::from(size.services.max(1))).unwrap_or(0);
            let ready = (sent / u64::from(size.services.max(1))) % 2 == 1;
            let step = objects::change(size, service, together, ready, &now());
            let (requests, done) = (requests.clone(), Arc::clone(&done));
            tasks.spawn(async move {
                let outcome = requests.take(&step).await;
                done.fetch_add(1, Ordering::Relaxed);
                drop(permit);
                outcome
            });
            sent += 1;
            while let Some(ended) = tasks.try_join_next() {
                ended.context("a task of requests ended")??;
            }
        }
        tokio::time::sleep(TICK).await;
    }
    while let Some(ended) = tasks.join_next().await {
        ended.context("a task of requests ended")??;
    }
    bar.finish_and_clear();
    let requests = done.load(Ordering::Relaxed);
    let seconds = start.elapsed().as_secs_f64();
    Ok(Churned { asked_rate: plan.rate, together, changed: requests * u64::from(together), requests, seconds })
}
