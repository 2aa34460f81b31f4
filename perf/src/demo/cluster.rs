//! The second act: two nodes on one wire, with the outside behind it. What only several nodes can show, with the counts.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use serde::Serialize;
use serde_json::Value;
use sluice_host::Netns;
use sluice_lab::{Layout, PodRecord, Record, Stop};

use super::manifests::{self, CLIENT, DB, DB_PORT, GUEST, NODE_PORT, NODES, WEB, WEB_PORT};
use super::{PINGS, interleaved};
use crate::args::{DemoArgs, PathKind};
use crate::generators::calls::Calls;
use crate::generators::ping::Pinged;
use crate::machine::Machine;
use crate::measure::Bench;
use crate::peers::{Cores, Family, Path, sluice};
use crate::report;
use crate::series::{Series, interleave};
use crate::session::Session;
use crate::worker::Worker;

/// Rounds of TCP over both paths, and milliseconds of each.
const TCP_ROUNDS: u32 = 3;
const TCP_MILLIS: u64 = 1500;

/// Connections of one row that is answered, and of one that is not.
const CALLS: u32 = 200;
const CALLS_IN_VAIN: u32 = 10;

/// Milliseconds after which a connection counts as silent: of a row that is to be, and of one that is to hear something.
const SILENCE: u64 = 250;
const PATIENCE: u64 = 5000;

/// How long objects may take to be in force.
const IN_FORCE: Duration = Duration::from_secs(60);

/// A worker tells what it has counted a moment after a packet: for so long nothing may have changed.
const SETTLED: Duration = Duration::from_millis(100);
/// How often that is looked at, at most.
const LOOKS: u32 = 50;

/// What the second act gave.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Cluster {
    ping: Vec<(String, Pinged)>,
    tcp_gbits: Vec<TcpSeries>,
    calls: Vec<Row>,
    agents: BTreeMap<String, Value>,
}

/// Rounds of TCP over one path.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct TcpSeries {
    path: PathKind,
    cores: Cores,
    family: Family,
    rounds: Vec<f64>,
}

/// Connections of one client to one address, and what the switches dropped of them.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Row {
    what: &'static str,
    from: String,
    to: SocketAddr,
    calls: Calls,
    /// By node and reason: verdicts of Services and policies only.
    dropped: BTreeMap<String, u64>,
}

/// The lab, and how to measure in it.
struct Stage<'s> {
    session: &'s Session,
    lab: Record,
    bench: &'s Bench,
}

/// Runs the second act; its lab is down when it returns.
pub(super) fn run(args: &DemoArgs, machine: &Machine, stop: &Stop) -> Result<Cluster> {
    println!("\nTwo nodes on a wire of MTU 1500, with a switch each: the two share core {}", machine.switch_core);
    let session = Session::open(&args.name)?;
    let directory = Layout::of(&args.name).root().join("manifests");
    manifests::write(&directory)?;
    let lab = session.raise_cluster(&directory, &manifests::SERVICE_RANGES, &args.lab, machine, stop)?;
    let bench = Bench { core: machine.load_core, stop: stop.clone() };
    let stage = Stage { session: &session, lab, bench: &bench };

    let cores = Cores::of(PathKind::Sluice, machine.load_core, machine.switch_core);
    let ours = sluice::between(stage.pod(CLIENT)?, stage.pod(WEB[1])?, cores)?;
    bench.await_path(&ours)?;
    let kernels = session.paths(&[PathKind::Vxlan], None, machine, &bench)?;
    let ping = pings(&bench, &ours, &kernels)?;
    let tcp_gbits = tcp(&bench, &ours, &kernels)?;
    let calls = stage.calls()?;
    let agents = stage.agents()?;
    Ok(Cluster { ping, tcp_gbits, calls, agents })
}

fn pings(bench: &Bench, ours: &Path, kernels: &[Path]) -> Result<Vec<(String, Pinged)>> {
    let mut results = Vec::new();
    for path in kernels.iter().chain([ours]) {
        for to in [path.server_v4, path.server_v6] {
            let what = format!("{}, pod to pod {to}", path.kind.name());
            results.push((what, bench.ping(&path.client, path.interface, to, PINGS)?));
        }
    }
    report::pings("Ping between nodes, 64 bytes, round trip", &results);
    Ok(results)
}

fn tcp(bench: &Bench, ours: &Path, kernels: &[Path]) -> Result<Vec<TcpSeries>> {
    let mut series = Series::over_each(kernels.iter().chain([ours]), &[Family::V4, Family::V6]);
    interleave(&mut series, TCP_ROUNDS, |path, family| Ok(bench.tcp(path, family, TCP_MILLIS)?.gbits()))?;
    report::tcp(&interleaved("TCP between nodes, one flow", TCP_ROUNDS, TCP_MILLIS), &series);
    let owned =
        |one: Series<'_, f64>| TcpSeries { path: one.path, cores: one.cores, family: one.family, rounds: one.rounds };
    Ok(series.into_iter().map(owned).collect())
}

impl Stage<'_> {
    fn pod(&self, name: &str) -> Result<&PodRecord> {
        self.lab.pods.values().find(|pod| pod.name == name).with_context(|| format!("the lab has no pod {name}"))
    }

    fn netns(&self, pod: &str) -> Result<Netns> {
        Ok(Netns::open_named(&self.pod(pod)?.netns)?)
    }

    /// A server in a pod, on both of its addresses.
    fn serve(&self, pod: &str, port: u16) -> Result<Worker> {
        let record = self.pod(pod)?;
        self.bench.answer(&Netns::open_named(&record.netns)?, pod, &sluice::attachment(record)?.addresses, port)
    }

    /// Connections to a Service, a node port, the outside and a guarded pod.
    fn calls(&self) -> Result<Vec<Row>> {
        let underlay = self.lab.underlay.as_ref().context("the lab has no wire")?;
        let outside = Netns::open_named(&underlay.outside)?;
        let beyond: Vec<IpAddr> = underlay.beyond().collect();
        let mut servers = vec![self.serve(DB, DB_PORT)?, self.bench.answer(&outside, "outside", &beyond, WEB_PORT)?];
        for web in WEB {
            servers.push(self.serve(web, WEB_PORT)?);
        }
        let (client, guest) = (self.netns(CLIENT)?, self.netns(GUEST)?);
        let node = self.lab.nodes.get(NODES[0]).with_context(|| format!("the lab has no {}", NODES[0]))?;
        let db = &sluice::attachment(self.pod(DB)?)?.addresses;
        let at = |addresses: &[IpAddr], port| addresses.iter().map(|to| SocketAddr::new(*to, port)).collect::<Vec<_>>();
        let frontends = manifests::frontends();

        let mut rows = Vec::new();
        for (what, from, name, targets, (count, patience)) in [
            ("ClusterIP", &client, CLIENT, frontends.to_vec(), (CALLS, PATIENCE)),
            ("ClusterIP, port undefined", &client, CLIENT, frontends.map(beside).to_vec(), (CALLS_IN_VAIN, PATIENCE)),
            ("NodePort", &outside, "outside", at(&node.addresses, NODE_PORT), (CALLS, PATIENCE)),
            ("masquerade", &client, CLIENT, at(&beyond, WEB_PORT), (CALLS, PATIENCE)),
            ("policy lets in", &client, CLIENT, at(db, DB_PORT), (CALLS, PATIENCE)),
            ("policy shuts out", &guest, GUEST, at(db, DB_PORT), (CALLS_IN_VAIN, SILENCE)),
        ] {
            for to in targets {
                // Pods were attached a moment ago, and each agent hears of the others' on its own.
                if count == CALLS {
                    self.await_answer(from, to)?;
                }
                rows.push(self.row(what, from, name, to, (count, patience))?);
            }
        }
        print_calls(&rows);
        Ok(rows)
    }

    fn await_answer(&self, from: &Netns, to: SocketAddr) -> Result<()> {
        let start = Instant::now();
        while self.bench.call(from, to, 1, SILENCE)?.answered.is_empty() {
            if start.elapsed() > IN_FORCE {
                bail!("{to} does not answer within {IN_FORCE:?}; dropped so far: {:?}", self.drops()?);
            }
        }
        Ok(())
    }

    /// So many calls, each with that patience in milliseconds.
    fn row(
        &self,
        what: &'static str,
        from: &Netns,
        name: &str,
        to: SocketAddr,
        (count, patience): (u32, u64),
    ) -> Result<Row> {
        let before = self.settled_drops()?;
        let calls = self.bench.call(from, to, count, patience)?;
        let mut dropped = self.settled_drops()?;
        for (reason, count) in &mut dropped {
            *count -= before.get(reason).copied().unwrap_or(0);
        }
        dropped.retain(|_, count| *count > 0);
        Ok(Row { what, from: name.to_owned(), to, calls, dropped })
    }

    /// What was dropped so far, once all of it has been told.
    fn settled_drops(&self) -> Result<BTreeMap<String, u64>> {
        let mut last = self.drops()?;
        for _ in 0..LOOKS {
            std::thread::sleep(SETTLED);
            let now = self.drops()?;
            if now == last {
                break;
            }
            last = now;
        }
        Ok(last)
    }

    /// What the verdicts of Services and policies have dropped so far, by `node reason`.
    fn drops(&self) -> Result<BTreeMap<String, u64>> {
        let mut drops = BTreeMap::new();
        for node in NODES {
            let status = self.session.agent_status(node)?;
            for (reason, count) in status["drops"].as_object().into_iter().flatten() {
                if reason.starts_with("policy_") || reason.starts_with("service_") {
                    drops.insert(format!("{node} {reason}"), count.as_u64().unwrap_or(0));
                }
            }
        }
        Ok(drops)
    }

    /// What each agent counted over the whole act.
    fn agents(&self) -> Result<BTreeMap<String, Value>> {
        let mut agents = BTreeMap::new();
        for node in NODES {
            agents.insert(node.to_owned(), self.session.agent_status(node)?);
        }
        let columns = [
            "NODE",
            "RECEIVED",
            "FORWARDED",
            "INTO TUNNEL",
            "OUT OF TUNNEL",
            "TRANSLATED",
            "SUPER-FRAMES CUT",
            "JOINED",
        ];
        let rows = agents.iter().map(|(node, status)| {
            let path = |counter: &str| status["path"][counter].to_string();
            let looped = |counter: &str| {
                let workers = status["workers"].as_array().into_iter().flatten();
                workers.filter_map(|worker| worker["loop"][counter].as_u64()).sum::<u64>().to_string()
            };
            let [received, forwarded, into, out, translated] =
                ["received", "forwarded", "encapsulated", "decapsulated", "translated"].map(path);
            let [cut, joined] = ["super_frames_cut", "super_frames_joined"].map(looped);
            [node.clone(), received, forwarded, into, out, translated, cut, joined]
        });
        report::table("Packets, as the agents counted them over this act", columns, rows);
        for (node, status) in &agents {
            println!("{node} drops: {}", report::dropped(&status["drops"]));
        }
        Ok(agents)
    }
}

/// The port after a defined one, which no Service here has.
fn beside(frontend: SocketAddr) -> SocketAddr {
    SocketAddr::new(frontend.ip(), frontend.port() + 1)
}

fn print_calls(rows: &[Row]) {
    let counts = |counts: &mut dyn Iterator<Item = (String, u64)>| {
        let text = counts.map(|(name, count)| format!("{name} {count}")).collect::<Vec<_>>().join(", ");
        if text.is_empty() { "-".to_owned() } else { text }
    };
    let rows = rows.iter().map(|Row { what, from, to, calls, dropped }| {
        let answered = counts(&mut calls.answered.iter().map(|(name, count)| (name.clone(), u64::from(*count))));
        let seen = calls.seen.keys().map(ToString::to_string).collect::<Vec<_>>().join(", ");
        let seen = calls.ports.map_or("-".to_owned(), |(low, high)| format!("{seen} ports {low}-{high}"));
        let dropped = counts(&mut dropped.iter().map(|(reason, count)| (reason.clone(), *count)));
        let (asked, refused, silent) = (calls.asked.to_string(), calls.refused.to_string(), calls.silent.to_string());
        [(*what).to_owned(), format!("{from} to {to}"), asked, answered, refused, silent, seen, dropped]
    });
    let columns = ["WHAT", "FROM AND TO", "ASKED", "ANSWERED BY", "REFUSED", "SILENT", "SEEN AS", "DROPPED BY"];
    report::table("TCP connections, and as whom the servers saw their clients", columns, rows);
}
