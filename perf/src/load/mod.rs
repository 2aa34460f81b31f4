//! `sluice-perf load`: a large cluster's objects in a real API server, changed at a steady rate, and taken away again.
//!
//! ```text
//! size -> objects (what is made) -> requests (many at once, bar with the time left) -> API server
//!                                   churn (endpoints at a rate)
//!                                   removal (by label, everything that bears it)
//! control_plane: an API server and a node of a lab of its own, loaded like that and measured
//! ```

mod churn;
pub(crate) mod control_plane;
mod daemon;
mod objects;
mod removal;
mod requests;
mod size;

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use kube::config::{KubeConfigOptions, Kubeconfig};
use serde::Serialize;
use sluice_lab::Stop;
use tokio::runtime::Runtime;

use crate::args::LoadArgs;
use crate::report;
use churn::Churned;
pub(crate) use daemon::now;
use requests::Requests;
pub(crate) use size::Size;

/// Results of a run.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Results {
    size: Size,
    created: u64,
    creation_seconds: f64,
    churn: Option<Churned>,
    kept: bool,
}

/// Loads the API server that a kubeconfig names. What was made is removed also when it is interrupted or fails.
pub(crate) fn run(args: &LoadArgs, stop: &Stop) -> Result<()> {
    let runtime = runtime()?;
    let client = runtime.block_on(connect(&args.kubeconfig))?;
    let requests = Requests::new(client, args.parallel.into(), stop.clone());
    let size = args.size.size();
    let loaded = load(&runtime, &requests, size, args);
    if args.keep {
        println!(
            "objects are kept; `sluice-perf load --remove-only` removes them: all with the label {}",
            objects::LABEL
        );
    } else {
        // A second Ctrl-C ends this too.
        let removed = runtime.block_on(removal::remove_all(&requests.without_stop()))?;
        println!("{removed} objects removed");
    }
    let results = loaded?;
    print(&results);
    report::write_json(&results, args.json.as_deref())
}

fn load(runtime: &Runtime, requests: &Requests, size: Size, args: &LoadArgs) -> Result<Results> {
    if args.remove_only {
        return Ok(Results { size: Size::default(), created: 0, creation_seconds: 0.0, churn: None, kept: false });
    }
    let start = Instant::now();
    let created = runtime.block_on(create(requests, size))?;
    let creation_seconds = start.elapsed().as_secs_f64();
    let churn = match args.churn.rate {
        0 => None,
        rate => Some(runtime.block_on(churn::run(requests, size, &args.churn.plan(rate)))?),
    };
    Ok(Results { size, created, creation_seconds, churn, kept: args.keep })
}

/// Makes the objects, kind after kind; a kind that needs another comes after it.
async fn create(requests: &Requests, size: Size) -> Result<u64> {
    let mut created = 0;
    for (what, steps) in objects::all(size) {
        let count = steps.len() as u64;
        requests.run(what, count, steps).await.with_context(|| format!("making {what}"))?;
        created += count;
    }
    Ok(created)
}

fn runtime() -> Result<Runtime> {
    Ok(tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?)
}

async fn connect(kubeconfig: &Path) -> Result<kube::Client> {
    let named = || format!("cannot use {}", kubeconfig.display());
    let config = Kubeconfig::read_from(kubeconfig).with_context(named)?;
    let config = kube::Config::from_custom_kubeconfig(config, &KubeConfigOptions::default()).await;
    kube::Client::try_from(config.with_context(named)?).with_context(named)
}

fn print(results: &Results) {
    let Size { nodes, services, endpoints, pods, policies } = results.size;
    println!(
        "{nodes} Nodes, {services} Services, {endpoints} endpoints, {pods} Pods, {policies} NetworkPolicies: {} objects in {:.1} s, \
         {:.0} a second",
        results.created,
        results.creation_seconds,
        results.created as f64 / results.creation_seconds.max(0.001),
    );
    if let Some(churn) = &results.churn {
        println!("{churn}");
    }
}

/// How endpoints are to change.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ChurnPlan {
    /// Endpoints that change in a second, over all.
    pub(crate) rate: u32,
    /// Endpoints of a slice that change with one request.
    pub(crate) together: u32,
    /// How long.
    pub(crate) length: Duration,
}
