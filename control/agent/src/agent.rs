//! The agent's parts, and what several of them do together.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Instant;

use ipnet::IpNet;
use serde_json::Value;
use sluice_cni_protocol::{
    AddResult, AddSettings, CniError, CniRequest, GcRequest, Journal, NetworkConfig, RuntimeConfig,
};
use sluice_host::NetnsId;
use sluice_model::Node;
use tokio::sync::Notify;
use tracing::{error, info};

use crate::api::Api;
use crate::cni_server::Calls;
use crate::config::Config;
use crate::dataplane::Dataplane;
use crate::detour::Detour;
use crate::faults::Faults;
use crate::generations::{GenerationError, Generations};
use crate::host_port::HostPort;
use crate::idle_cores::Awake;
use crate::last_good::LastGood;
use crate::ledger::Ledger;
use crate::pace::Pace;
use crate::readiness::Readiness;
use crate::serial::Serial;
use crate::shape::Shape;
use crate::uplink::Uplink;

/// Everything that calls, events and reports work on. Shared by all of the agent's threads but the workers.
pub(crate) struct Agent {
    /// What the agent was told.
    pub(crate) config: Config,
    /// The switch.
    pub(crate) dataplane: Dataplane,
    /// The node's own port.
    pub(crate) host_port: HostPort,
    /// The device towards other nodes, where there is one.
    pub(crate) uplink: Option<Uplink>,
    /// What leads the node's own packets into the host port.
    pub(crate) detour: Detour,
    /// What is attached.
    pub(crate) ledger: Ledger,
    /// Where tables come from.
    pub(crate) generations: Generations,
    /// When the next ones may be made.
    pub(crate) pace: Mutex<Pace>,
    /// Rung when there is something new to make tables of, besides objects.
    pub(crate) wake: Notify,
    /// The objects on the disk.
    pub(crate) last_good: LastGood,
    /// The Kubernetes API, where the objects come from there; set before anything is served.
    pub(crate) api: OnceLock<Api>,
    /// Whether it was told that the objects are in force. A flag alone, which orders nothing.
    pub(crate) in_force: AtomicBool,
    /// What was set on the host port last; `None` when that is not sure.
    pub(crate) host_port_has: Mutex<Option<Around>>,
    /// For which state of what lies beyond the workers the uplink's claims were set last; `None` when that is not sure.
    pub(crate) claimed: Mutex<Option<u64>>,
    /// DELs of a time without an agent.
    pub(crate) journal: Journal,
    /// One call at a time for an attachment.
    pub(crate) serial: Serial,
    /// What is still waited for.
    pub(crate) readiness: Readiness,
    /// What is wrong with the objects.
    pub(crate) faults: Faults,
    /// The namespace that the agent works in.
    pub(crate) own_netns: NetnsId,
    /// Sizes of pods' devices.
    pub(crate) shape: Shape,
    /// When the agent started.
    pub(crate) started: Instant,
    /// Keeps idle cores from halting, where that was asked for.
    pub(crate) _awake: Option<Awake>,
}

/// What the host port is set up for.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Around {
    /// The state of what lies beyond the workers, by its number.
    pub(crate) beyond: u64,
    /// The node, with the addresses of its pods.
    pub(crate) node: Node,
    /// Networks that the node reaches by the host port.
    pub(crate) networks: Vec<IpNet>,
}

impl Agent {
    /// Publishes tables of what is attached now.
    pub(crate) fn publish(&self) -> Result<(), GenerationError> {
        let began = Instant::now();
        let made = self.generations.next(
            || self.ledger.live(),
            |port| self.dataplane.worker_for(port),
            |tables| self.dataplane.publish(tables),
        );
        // Only now: what is taken can be handled. Nobody who asks for the objects waits for it.
        let made = made.map(|beyond| self.follow_beyond(beyond));
        self.pace().made(began, Instant::now());
        if made.is_ok() && !self.in_force.load(Ordering::Relaxed) && self.generations.is_whole() {
            self.in_force.store(true, Ordering::Relaxed);
            info!("the objects are in force");
        }
        made
    }

    /// Has the programs around the workers follow the tables published last. Who comes first with a later generation has done
    /// it for the one before too.
    fn follow_beyond(&self, beyond: u64) {
        let mut claimed = self.claimed.lock().unwrap_or_else(PoisonError::into_inner);
        let tables = self.dataplane.tables();
        if let Some(uplink) = &self.uplink
            && *claimed != Some(beyond)
        {
            *claimed = uplink.claim(&tables.claims()).then_some(beyond);
        }
        self.detour.follow(&tables);
    }

    /// Publishes tables if anything changed since the last, and has the host port follow those published last, whoever did that.
    pub(crate) fn republish(&self) {
        if self.generations.is_stale()
            && let Err(error) = self.publish()
        {
            error!(%error, "tables cannot be made; those before stay in force");
        }
        self.follow_host_port();
    }

    /// When the next generation may be made.
    pub(crate) fn pace(&self) -> MutexGuard<'_, Pace> {
        self.pace.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What was set on the host port last.
    pub(crate) fn host_port_has(&self) -> MutexGuard<'_, Option<Around>> {
        self.host_port_has.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Calls for Agent {
    fn add(&self, request: &CniRequest, config: &NetworkConfig, settings: &AddSettings) -> Result<AddResult, CniError> {
        self.serial.run(&request.attachment, || {
            self.replay(&request.attachment);
            Ok(self.attach(request, config.name.clone(), settings)?)
        })
    }

    fn del(&self, request: &CniRequest) -> Result<(), CniError> {
        self.serial.run(&request.attachment, || Ok(self.detach(&request.attachment)?))
    }

    fn check(
        &self,
        request: &CniRequest,
        config: &NetworkConfig,
        told: &AddResult,
        asked: &RuntimeConfig,
    ) -> Result<(), CniError> {
        self.serial.run(&request.attachment, || Ok(self.check_pod(request, &config.name, told, asked)?))
    }

    fn collect_garbage(&self, request: &GcRequest) -> Result<(), CniError> {
        Ok(self.remove_all_but(request)?)
    }

    fn availability(&self) -> Result<(), CniError> {
        Ok(self.can_attach()?)
    }

    fn status(&self) -> Value {
        crate::status::document(self)
    }
}
