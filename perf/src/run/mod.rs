//! `sluice-perf run`: scenarios, their peers in turn, measured, checked, told.
//!
//! ```text
//! scenario ── cases ── plans          a case is a topology, a plan a measure under a load
//!               │
//!               ├─ Peer::up(site, topology) ──> Standing     all peers of a case stand at once, in one session
//!               │
//!               └─ trial 0 (warm-up), 1, 2, ...: for each plan, for each peer in turn:
//!                      Standing::wake, Measure::measure(stage, load) -> Outcome, Standing::rest
//!                                                             │
//!                  validity (conservation, steal, what the generators say) ──> results ──> table, JSON, HTML
//! ```
//!
//! What takes part keeps to two contracts.
//!
//! A [`Peer`] makes what is between the two ends. Everything it makes bears the session's name (namespaces
//! `slu-NAME-peer.PEER.*`), so that the session's end, or the next run's begin, removes it whatever happened; what is no
//! namespace and lives in none ends with the [`Standing`]. It is registered by one line in [`peers`]. While other peers have
//! their turn it takes no processor: one that polls is stopped in [`Standing::rest`].
//!
//! A [`Measure`] runs generators on what stands and gives figures, with the packets it sent and received where it counts them:
//! what is missing must be among the drops that the standing peer and the measure name, else the trial is invalid. It tells
//! its figures beforehand, so that tables, plots and comparisons know unit and direction, and is registered in [`measures`].

mod command;
mod frames;
mod lock;
mod manifests;
mod measure;
mod measures;
mod output;
mod peer;
mod progress;
mod rivals;
mod rounds;
mod sluice;
mod table;
mod validity;

pub(crate) use command::{NothingValid, run};
pub(crate) use lock::DEFAULT_LOCK;
pub(crate) use measure::{Better, Figure, Load, Measure, Outcome, Packets, Stage, Takes};
pub(crate) use output::Output;
pub(crate) use peer::Peer;
pub(crate) use table::{print, reasons, short, targets};

/// Every peer there is, in the order of tables.
pub(crate) fn peers() -> &'static [&'static dyn Peer] {
    &[
        &peer::Direct,
        &peer::DirectTwoCores,
        &peer::Bridge,
        &peer::Vxlan,
        &rivals::Redirect,
        &rivals::Nftables,
        &rivals::OpenVSwitch,
        &sluice::Sluice,
    ]
}

/// The peer of a name.
pub(crate) fn peer(name: &str) -> Option<&'static dyn Peer> {
    peers().iter().find(|peer| peer.name() == name).copied()
}

/// Every measure there is.
pub(crate) fn measures() -> &'static [&'static dyn Measure] {
    &[
        &measures::Tcp,
        &measures::PingPong,
        &measures::Udp,
        &frames::Frames,
        &frames::FrameRate,
        &measures::Connect,
        &measures::Connections,
        &measures::Attach,
        &measures::Idle,
        &measures::Restart,
    ]
}

/// The measure of a name.
pub(crate) fn measure(name: &str) -> Option<&'static dyn Measure> {
    measures().iter().find(|measure| measure.name() == name).copied()
}
