//! Datagrams between two pods of the node, one after the other, whose longest round trip bounds the longest pause of the
//! workers between them.

use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow};
use hdrhistogram::Histogram;
use serde::Serialize;
use sluice_e2e::Cluster;
use sluice_host::Netns;

pub(super) const NAMESPACE: &str = "load";
pub(super) const PODS: [&str; 2] = ["asking", "answering"];
const PORT: u16 = 7;
/// Between two datagrams.
const PAUSE: Duration = Duration::from_millis(1);
/// What is not answered within this is lost.
const PATIENCE: Duration = Duration::from_secs(1);

/// What became of the datagrams. Microseconds.
#[derive(Debug, Clone, Copy, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct RoundTrips {
    sent: u64,
    lost: u64,
    p50_micros: u64,
    p99_micros: u64,
    max_micros: u64,
}

impl RoundTrips {
    /// For a table.
    pub(super) fn cell(&self) -> String {
        let Self { sent, lost, p50_micros, p99_micros, max_micros } = self;
        format!("{p50_micros} / {p99_micros} / {max_micros} us ({sent} sent, {lost} lost)")
    }
}

/// Two pods that talk until they are asked how it went.
#[derive(Debug)]
pub(super) struct Echo {
    end: Arc<AtomicBool>,
    asking: JoinHandle<RoundTrips>,
    answering: JoinHandle<()>,
}

impl Echo {
    pub(super) fn start(cluster: &Cluster) -> Result<Self> {
        let record = cluster.record()?;
        let socket = |name: &str, port: u16| -> Result<UdpSocket> {
            let pod = record.pod(Some(NAMESPACE), name)?;
            let attached = pod.attached.as_ref().with_context(|| format!("pod {name} is not attached"))?;
            let address = attached.addresses.iter().copied().find(IpAddr::is_ipv4).context("a pod without IPv4")?;
            let socket = Netns::open_named(&pod.netns)?.run(|| UdpSocket::bind(SocketAddr::new(address, port)))??;
            socket.set_read_timeout(Some(PATIENCE))?;
            Ok(socket)
        };
        let (asks, answers) = (socket(PODS[0], 0)?, socket(PODS[1], PORT)?);
        asks.connect(answers.local_addr()?)?;
        let end = Arc::new(AtomicBool::new(false));
        let (ask_until, answer_until) = (Arc::clone(&end), Arc::clone(&end));
        let asking = std::thread::spawn(move || ask(&asks, &ask_until));
        Ok(Self { end, asking, answering: std::thread::spawn(move || answer(&answers, &answer_until)) })
    }

    pub(super) fn end(self) -> Result<RoundTrips> {
        self.end.store(true, Ordering::Release);
        let trips = self.asking.join().map_err(|_| anyhow!("the asking pod's thread panicked"))?;
        self.answering.join().map_err(|_| anyhow!("the answering pod's thread panicked"))?;
        Ok(trips)
    }
}

fn ask(socket: &UdpSocket, end: &AtomicBool) -> RoundTrips {
    // Up to a minute with three digits; no other bounds than these fail.
    let mut trips: Histogram<u64> = Histogram::new_with_bounds(1, 60_000_000, 3).unwrap_or_else(|_| unreachable!());
    let (mut sent, mut lost): (u64, u64) = (0, 0);
    while !end.load(Ordering::Acquire) {
        sent += 1;
        let start = Instant::now();
        if answered(socket, sent) {
            trips.saturating_record(u64::try_from(start.elapsed().as_micros()).unwrap_or(u64::MAX).max(1));
        } else {
            lost += 1;
        }
        std::thread::sleep(PAUSE);
    }
    let at = |quantile| trips.value_at_quantile(quantile);
    RoundTrips { sent, lost, p50_micros: at(0.5), p99_micros: at(0.99), max_micros: trips.max() }
}

/// Sends a number and waits for it; an answer to an earlier one is passed over.
fn answered(socket: &UdpSocket, number: u64) -> bool {
    if socket.send(&number.to_be_bytes()).is_err() {
        return false;
    }
    let mut back = [0; 8];
    while let Ok(length) = socket.recv(&mut back) {
        if length == back.len() && u64::from_be_bytes(back) == number {
            return true;
        }
    }
    false
}

fn answer(socket: &UdpSocket, end: &AtomicBool) {
    let mut message = [0; 64];
    while !end.load(Ordering::Acquire) {
        if let Ok((length, peer)) = socket.recv_from(&mut message) {
            // What cannot be sent is lost, and counted as that by who asks.
            let _ = socket.send_to(&message[..length], peer);
        }
    }
}
