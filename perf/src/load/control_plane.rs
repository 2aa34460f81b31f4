//! `sluice-perf control-plane`: a node's daemon fed with a large cluster by a real API server.

mod echo;

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use serde::Serialize;
use serde_json::{Value, json};
use sluice_e2e::{ApiServerOptions, Cluster, ClusterOptions};
use sluice_host::Netns;
use sluice_lab::Stop;

use super::ChurnPlan;
use super::churn::{self, Churned};
use super::daemon::{Delay, Histogram, own_memory_mib, seconds_between};
use super::requests::Requests;
use super::size::Size;
use crate::args::ControlPlaneArgs;
use crate::machine::Machine;
use crate::{metrics, report};
use echo::{Echo, RoundTrips};

/// The node whose daemon is measured.
const NODE: &str = "node-a";
/// The daemon's histogram from an event's arrival until it is in force.
const PUBLICATION: &str = "sluice_publication_seconds";
/// What its log says at the two ends of a cold start.
const KNOWN: &str = "the objects are all known";
const IN_FORCE: &str = "the objects are in force";
/// How long it may take until the daemon knows all objects.
const BOUND: Duration = Duration::from_secs(300);
const LOOK_AGAIN: Duration = Duration::from_millis(100);
/// Single changes in a second, slow enough to be told one by one.
const SINGLE_RATE: u32 = 20;
/// Time for what went before to be over.
const SETTLE: Duration = Duration::from_secs(5);

/// For how long the daemon tells of a longest pause.
const PAUSE_WINDOW: Duration = Duration::from_secs(20);

/// What the rows do not say.
const EXPLANATION: &str = "\
cold start: from the daemon's last complete list to its first generation in force; it lists from the API server before that
changes: by the daemon's histogram, from an event's arrival; each figure is the upper bound of a bucket (50, 100, 250, 500 us, ...)
memory: resident, less packet memory and connection table, which are shared memory
pauses: how long a worker that is awake did not look at its ports, whatever took its core away
round trips: datagrams between two pods of the node through its switch, one after the other, every millisecond
API server, etcd, load generator, both pods' ends and the daemon share the cores named above, so round trips and rates are theirs too";

/// Results of a run.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Results {
    machine: Machine,
    size: Size,
    creation_seconds: f64,
    cold_start_millis: Option<f64>,
    start_to_ready_seconds: f64,
    memory_mib: f64,
    single: Changed,
    churn: Changed,
    memory_before_churn_mib: f64,
    memory_after_churn_mib: f64,
    quiet: RoundTrips,
    under_churn: RoundTrips,
}

/// What became of changes.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Changed {
    churned: Churned,
    delay: Delay,
    /// Microseconds; none for a phase that is too short for it.
    longest_pause_micros: Option<u64>,
}

/// Brings all up, measures, takes all down.
pub(crate) fn run(args: &ControlPlaneArgs, stop: &Stop) -> Result<()> {
    let machine = Machine::look(None, None)?;
    machine.describe();
    let size = args.size.size();
    let options = ClusterOptions {
        name: args.name.clone(),
        settings: Vec::new(),
        cores: vec![machine.switch_core],
        // Nobody but this program asks it, so nobody has to be kept from asking too much.
        api: ApiServerOptions { flags: vec!["--enable-priority-and-fairness=false".to_owned()], ..Default::default() },
        stop: stop.clone(),
    };
    eprintln!("bringing up etcd, the API server and one node");
    let cluster = Cluster::up(options, &few_objects())?;
    let bench = Bench { cluster, stop: stop.clone(), parallel: args.parallel.into() };
    let results = bench.measure(machine, size, args)?;
    print(&results);
    report::write_json(&results, args.json.as_deref())
}

struct Bench {
    cluster: Cluster,
    stop: Stop,
    parallel: usize,
}

impl Bench {
    fn measure(&self, machine: Machine, size: Size, args: &ControlPlaneArgs) -> Result<Results> {
        let start = Instant::now();
        self.ask(move |requests| async move { super::create(&requests, size).await })?;
        let creation_seconds = start.elapsed().as_secs_f64();
        self.await_known(size)?;
        let (cold_start_millis, start_to_ready_seconds) = self.start_cold(size)?;
        self.pause(SETTLE)?;
        let memory_mib = own_memory_mib(self.pid()?)?;
        let quiet = Echo::start(&self.cluster)?;
        let single = ChurnPlan { rate: SINGLE_RATE, together: 1, length: Duration::from_secs(args.single_seconds) };
        let single = self.churn(size, single)?;
        let quiet = quiet.end()?;
        let memory_before_churn_mib = own_memory_mib(self.pid()?)?;
        let under_churn = Echo::start(&self.cluster)?;
        let churn = self.churn(size, args.churn.plan(args.churn.rate.max(1)))?;
        let under_churn = under_churn.end()?;
        self.pause(SETTLE)?;
        Ok(Results {
            machine,
            size,
            creation_seconds,
            cold_start_millis,
            start_to_ready_seconds,
            memory_mib,
            single,
            churn,
            memory_before_churn_mib,
            memory_after_churn_mib: own_memory_mib(self.pid()?)?,
            quiet,
            under_churn,
        })
    }

    /// Sends requests from the API server's own namespace.
    fn ask<T, F>(&self, work: impl FnOnce(Requests) -> F) -> Result<T>
    where
        T: Send + 'static,
        F: Future<Output = Result<T>> + Send + 'static,
    {
        let (parallel, stop) = (self.parallel, self.stop.clone());
        self.cluster.api().admin().run(|client| work(Requests::new(client, parallel, stop)))?
    }

    /// Changes endpoints and tells how long the daemon took with them, and how long its workers paused.
    fn churn(&self, size: Size, plan: ChurnPlan) -> Result<Changed> {
        let before = self.publication()?;
        let over = AtomicBool::new(false);
        let (churned, longest_pause_micros) = std::thread::scope(|scope| {
            let pauses = scope.spawn(|| self.longest_pause(&over));
            let churned = self.ask(move |requests| async move { churn::run(&requests, size, &plan).await });
            over.store(true, Ordering::Release);
            (churned, pauses.join().ok().flatten())
        });
        self.pause(Duration::from_secs(1))?;
        Ok(Changed { churned: churned?, delay: Delay::of(&self.publication()?.since(&before)), longest_pause_micros })
    }

    /// The longest that a worker did not look at its ports, from one window of the daemon after the begin until it is over.
    fn longest_pause(&self, over: &AtomicBool) -> Option<u64> {
        let begin = Instant::now();
        let mut longest = None;
        while !over.load(Ordering::Acquire) {
            std::thread::sleep(LOOK_AGAIN * 10);
            // Before that, the daemon may tell of what was before the begin.
            if begin.elapsed() < PAUSE_WINDOW {
                continue;
            }
            let status = self.cluster.status(NODE).unwrap_or_default();
            let workers = status["workers"].as_array().cloned().unwrap_or_default();
            longest = workers.iter().filter_map(|one| one["loop"]["longest_pause_us"].as_u64()).chain(longest).max();
        }
        longest
    }

    /// Ends the daemon, takes its last good objects from it, and starts it.
    fn start_cold(&self, size: Size) -> Result<(Option<f64>, f64)> {
        eprintln!("starting the daemon without what it knew");
        let agent = self.cluster.record()?.nodes.get(NODE).and_then(|node| node.agent);
        let agent = agent.context("the node has no daemon")?;
        let pid = i32::try_from(agent.pid).ok().and_then(rustix::process::Pid::from_raw).context("no process id")?;
        rustix::process::kill_process(pid, rustix::process::Signal::KILL)?;
        while agent.is_running() {
            self.pause(LOOK_AGAIN)?;
        }
        let known = self.cluster.state_dir(NODE).join("objects");
        if let Err(error) = std::fs::remove_file(&known)
            && error.kind() != std::io::ErrorKind::NotFound
        {
            return Err(error).with_context(|| format!("cannot remove {}", known.display()));
        }
        let (logged, start) = (self.cluster.log(NODE).len(), Instant::now());
        // Objects of a large cluster may take longer to list than a lab waits.
        let raised = self.cluster.repair();
        self.await_known(size).with_context(|| format!("{:?}", raised.err()))?;
        let seconds = start.elapsed().as_secs_f64();
        let log = self.cluster.log(NODE);
        let log = log.get(logged..).unwrap_or_default();
        Ok((seconds_between(log, KNOWN, IN_FORCE).map(|seconds| seconds * 1000.0), seconds))
    }

    /// Waits until the daemon serves all Services and policies.
    fn await_known(&self, size: Size) -> Result<()> {
        let start = Instant::now();
        let mut last = Value::Null;
        while start.elapsed() < BOUND {
            if let Ok(status) = self.cluster.status(NODE) {
                let count = |what: &str| status["objects"][what].as_u64().unwrap_or(0);
                let all = count("servicePorts") >= u64::from(size.services)
                    && count("networkPolicies") >= u64::from(size.policies)
                    && count("peers") >= u64::from(size.nodes);
                if all && status["ready"] == true {
                    return Ok(());
                }
                last =
                    json!({ "objects": status["objects"], "watches": status["watches"], "faults": status["faults"] });
            }
            self.pause(LOOK_AGAIN)?;
        }
        let faults: String = last.to_string().chars().take(2000).collect();
        bail!("the daemon does not know all objects after {BOUND:?}: {faults}")
    }

    fn publication(&self) -> Result<Histogram> {
        let record = self.cluster.record()?;
        let node = Netns::open_named(&record.node(self.cluster.name(), NODE)?.netns)?;
        Ok(Histogram::parse(&metrics::read(&node)?, PUBLICATION))
    }

    fn pid(&self) -> Result<u32> {
        let agent = self.cluster.record()?.nodes.get(NODE).and_then(|node| node.agent);
        Ok(agent.context("the node has no daemon")?.pid)
    }

    fn pause(&self, length: Duration) -> Result<()> {
        let end = Instant::now() + length;
        while Instant::now() < end {
            self.stop.check()?;
            std::thread::sleep(LOOK_AGAIN.min(end.saturating_duration_since(Instant::now())));
        }
        Ok(())
    }
}

/// The node and two pods of its own.
fn few_objects() -> Vec<Value> {
    let mut objects = vec![
        json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": echo::NAMESPACE } }),
        json!({
            "apiVersion": "v1", "kind": "Node", "metadata": { "name": NODE },
            "spec": { "podCIDR": "10.244.1.0/24", "podCIDRs": ["10.244.1.0/24"] },
            "status": { "addresses": [{ "type": "InternalIP", "address": "192.0.2.11" }] },
        }),
    ];
    objects.extend(echo::PODS.map(|name| {
        json!({
            "apiVersion": "v1", "kind": "Pod", "metadata": { "name": name, "namespace": echo::NAMESPACE },
            "spec": { "nodeName": NODE, "containers": [{ "name": "main", "image": "none" }] },
        })
    }));
    objects
}

fn print(results: &Results) {
    let Size { nodes, services, endpoints, pods, policies } = results.size;
    let mib = |mib: f64| format!("{mib:.1} MiB");
    let cold = results.cold_start_millis.map_or("not told".to_owned(), |millis| format!("{millis:.0} ms"));
    let (before, after) = (results.memory_before_churn_mib, results.memory_after_churn_mib);
    let churned = &results.churn.churned;
    let rate = format!("{:.0} a second, {} a request", churned.rate(), churned.together);
    let pause = |changed: &Changed| changed.longest_pause_micros.map_or("-".to_owned(), |pause| format!("{pause} us"));
    let pauses = format!("{} and {}", pause(&results.single), pause(&results.churn));
    let row =
        |what: &str, must: &str, aim: &str, measured: String| [what.to_owned(), must.into(), aim.into(), measured];
    let rows = [
        row("cold start: complete lists to tables", "2000 ms", "150 ms", cold),
        row("one endpoint change, p50 / p99 / max", "p99 50 ms", "1 ms", results.single.delay.cell()),
        row("resident memory", "300 MB", "80 MB", mib(results.memory_mib)),
        row("churn", "1000 a second", "", rate),
        row("the same under churn", "", "", results.churn.delay.cell()),
        row("memory before and after churn", "no growth", "", format!("{} and {}", mib(before), mib(after))),
        row("workers' longest pause, quiet and under churn", "no effect", "", pauses),
        row("pods' round trips, quiet", "", "", results.quiet.cell()),
        row("pods' round trips under churn", "no effect", "", results.under_churn.cell()),
    ];
    let heading = format!(
        "Fed by an API server: {services} Services, {endpoints} endpoints, {policies} policies, {nodes} nodes, {pods} pods"
    );
    report::table(&heading, ["MEASURE", "MUST", "AIM", "MEASURED"], rows);
    let Results { creation_seconds, start_to_ready_seconds, .. } = results;
    println!(
        "\nmade in {creation_seconds:.0} s; from the daemon's start until all was in force {start_to_ready_seconds:.1} s"
    );
    println!("{EXPLANATION}");
}
