//! The programs by which the node's own packets to its own NodePorts, and the answers of its own endpoints, come into the host
//! port.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use ipnet::IpNet;
use sluice_connections::Connection;
use sluice_ebpf::EbpfError;
use sluice_host::reserved_ports;
use sluice_path::Shared;
use sluice_tables::{ClaimedPort, Detours, Tables};
use tracing::{error, info, warn};

use crate::agent::Agent;

/// The programs, where the kernel takes them.
#[derive(Debug)]
pub(crate) struct Detour {
    programs: Option<sluice_ebpf::Detour>,
    led: Mutex<Led>,
    /// The connections that an earlier process left, until the endpoints are known whose clients the programs have to know.
    adopted: Mutex<Option<Arc<Shared>>>,
    /// Ports of Services that the node's own connections are kept from, and stay so until it is started anew.
    reserved: Mutex<BTreeSet<u16>>,
}

/// How far the programs follow the tables.
#[derive(Debug, Default)]
struct Led {
    /// What they lead, and the node's podCIDRs; `None` when they did not take all of it.
    present: Option<(Detours, Vec<IpNet>)>,
    /// Why they did not.
    failure: Option<String>,
    /// Answers of some endpoint leave past the switch.
    misses_answers: bool,
}

impl Detour {
    /// Attaches the programs, to `uplink` too if there is one. Without them, as on older kernels, all else works.
    /// The clients among `adopted` connections are noted as soon as it is known which they are: their servers may speak first.
    pub(crate) fn attach(host_port: (&str, u32), uplink: Option<&str>, adopted: Arc<Shared>) -> Self {
        let programs = sluice_ebpf::Detour::attach(host_port, uplink);
        let programs = programs.inspect_err(|error| warn!(%error, "the node itself does not reach its own NodePorts, and clients of its own endpoints are hidden")).ok();
        Self { programs, led: Mutex::default(), adopted: Mutex::new(Some(adopted)), reserved: Mutex::default() }
    }

    /// Whether answers of all of the node's own endpoints come back to the switch.
    pub(crate) fn answers_return(&self) -> bool {
        self.programs.is_some() && !self.led().misses_answers
    }

    /// Why the programs do not lead all that the tables say, if so.
    pub(crate) fn failure(&self) -> Option<String> {
        self.led().failure.clone()
    }

    /// What became of the clients' flows, by name; nothing without the programs.
    pub(crate) fn flows(&self) -> Vec<(&'static str, u64)> {
        let counters = self.programs.as_ref().and_then(|programs| programs.flow_counters().ok());
        counters.map(|counters| counters.list().to_vec()).unwrap_or_default()
    }

    fn led(&self) -> MutexGuard<'_, Led> {
        self.led.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Leads what `tables` say from now on: the generation published last.
    pub(crate) fn follow(&self, tables: &Tables) {
        let Some(programs) = &self.programs else { return };
        let (detours, pod_cidrs) = (&tables.detours(), tables.pod_cidrs());
        let mut led = self.led();
        // Most generations change something else.
        if led.present.as_ref().is_some_and(|(led, inside)| led == detours && inside == pod_cidrs) {
            return;
        }
        self.reserve(detours);
        if !detours.endpoints.is_empty() {
            self.note_adopted(programs, detours, tables);
        }
        match programs.follow(detours, pod_cidrs) {
            Ok(()) => {
                if led.failure.is_some() {
                    info!("what the node's own packets meet is as the tables say again");
                }
                *led = Led { present: Some((detours.clone(), pod_cidrs.to_vec())), ..Led::default() };
            }
            Err(error) => {
                let failure = Some(error.to_string());
                if led.failure != failure {
                    error!(%error, "what the node's own packets meet is not as the tables say");
                }
                *led = Led { present: None, failure, misses_answers: !programs.leads_answers(detours) };
            }
        }
    }

    /// Leaves every packet to the stack again.
    pub(crate) fn let_go(&self) {
        let emptied: Result<(), EbpfError> =
            self.programs.as_ref().map_or(Ok(()), |programs| programs.follow(&Detours::default(), &[]));
        if let Err(error) = emptied {
            warn!(%error, "some packets of the node itself may be lost until the process has ended");
        }
    }

    /// Notes the clients whose connections were there before this process, before the programs look for any.
    fn note_adopted(&self, programs: &sluice_ebpf::Detour, detours: &Detours, tables: &Tables) {
        let adopted = self.adopted.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(shared) = adopted else { return };
        for listed in shared.connections.list() {
            let Some((client, node)) = flow_of(&listed.connection, detours, tables) else { continue };
            if let Err(error) = programs.note(client, node, listed.connection.original.protocol) {
                warn!(%error, "earlier connections to endpoints that are this node break unless their clients speak first");
                return;
            }
        }
    }

    /// Keeps the node's own connections from such ports: answers to them would be led away.
    fn reserve(&self, detours: &Detours) {
        let mut reserved = self.reserved.lock().unwrap_or_else(PoisonError::into_inner);
        let node_ports = detours.node_ports.iter().map(|(_, claimed)| claimed);
        for claimed in node_ports.chain(detours.frontends.iter().map(|(_, claimed)| claimed)) {
            if reserved.insert(claimed.port)
                && let Err(error) = reserved_ports::reserve(claimed.port, claimed.port)
            {
                warn!(%error, port = claimed.port, "a connection of the node itself may get this port, which is a Service's");
            }
        }
    }
}

impl Agent {
    /// Tries again what the kernel did not take of the tables published last. Publications do so too, but may be long in coming.
    pub(crate) fn follow_again(&self) {
        let uplink = self.uplink.as_ref().filter(|uplink| uplink.is_behind());
        if uplink.is_none() && self.detour.failure().is_none() {
            return;
        }
        // As publications hold it: what is followed last are the last tables.
        let _claimed = self.claimed.lock().unwrap_or_else(PoisonError::into_inner);
        let tables = self.dataplane.tables();
        if let Some(uplink) = uplink {
            uplink.claim(&tables.claims());
        }
        self.detour.follow(&tables);
    }
}

/// Client and endpoint of a connection whose answers the programs have to lead into the host port.
fn flow_of(connection: &Connection, detours: &Detours, tables: &Tables) -> Option<(SocketAddr, SocketAddr)> {
    let reply = &connection.reply;
    let endpoint = (reply.source, ClaimedPort { protocol: reply.protocol, port: reply.source_port });
    // Answers to who is hidden, or a pod of the node, come by its routes.
    let by_route = reply.destination != connection.original.source || tables.in_pod_cidr(reply.destination);
    (!by_route && detours.endpoints.binary_search(&endpoint).is_ok()).then(|| {
        let client = SocketAddr::new(reply.destination, reply.destination_port);
        (client, SocketAddr::new(reply.source, reply.source_port))
    })
}
