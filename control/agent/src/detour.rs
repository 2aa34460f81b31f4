//! The programs by which the node's own packets to its own NodePorts, and the answers of its own endpoints, come into the host
//! port.

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};

use sluice_ebpf::EbpfError;
use sluice_host::reserved_ports;
use sluice_tables::Detours;
use tracing::{error, warn};

/// The programs, where the kernel takes them.
#[derive(Debug)]
pub(crate) struct Detour {
    programs: Option<sluice_ebpf::Detour>,
    /// What they lead; `None` when they did not take all of it.
    present: Mutex<Option<Detours>>,
    /// Ports of Services that the node's own connections are kept from, and stay so until it is started anew.
    reserved: Mutex<BTreeSet<u16>>,
}

impl Detour {
    /// Attaches the programs, to `uplink` too if there is one. Without them, as on older kernels, all else works.
    pub(crate) fn attach(host_port: (&str, u32), uplink: Option<&str>) -> Self {
        let programs = sluice_ebpf::Detour::attach(host_port, uplink);
        let programs = programs.inspect_err(|error| warn!(%error, "the node itself does not reach its own NodePorts, and clients of its own endpoints are hidden")).ok();
        Self { programs, present: Mutex::new(Some(Detours::default())), reserved: Mutex::default() }
    }

    /// Whether answers of the node's own endpoints come back to the switch.
    pub(crate) fn is_there(&self) -> bool {
        self.programs.is_some()
    }

    /// Leads what `detours` say from now on: those of the generation published last.
    pub(crate) fn follow(&self, detours: &Detours) {
        let Some(programs) = &self.programs else { return };
        let mut present = self.present.lock().unwrap_or_else(PoisonError::into_inner);
        // Most generations change something else.
        if present.as_ref() == Some(detours) {
            return;
        }
        self.reserve(detours);
        match programs.follow(detours) {
            Ok(()) => *present = Some(detours.clone()),
            Err(error) => {
                *present = None;
                error!(%error, "what the node's own packets meet is not as the tables say");
            }
        }
    }

    /// Leaves every packet to the stack again.
    pub(crate) fn let_go(&self) {
        let emptied: Result<(), EbpfError> =
            self.programs.as_ref().map_or(Ok(()), |programs| programs.follow(&Detours::default()));
        if let Err(error) = emptied {
            warn!(%error, "some packets of the node itself may be lost until the process has ended");
        }
    }

    /// Keeps the node's own connections from such ports: answers to them would be led away.
    fn reserve(&self, detours: &Detours) {
        let mut reserved = self.reserved.lock().unwrap_or_else(PoisonError::into_inner);
        for (_, claimed) in &detours.node_ports {
            if reserved.insert(claimed.port)
                && let Err(error) = reserved_ports::reserve(claimed.port, claimed.port)
            {
                warn!(%error, port = claimed.port, "a connection of the node itself may get this port, which is a Service's");
            }
        }
    }
}
