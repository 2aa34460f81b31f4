//! The switch as the control side handles it: packet memory, XDP program, workers, tables.

use std::collections::HashMap;
use std::net::IpAddr;
use std::os::fd::BorrowedFd;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use sluice_connections::Owner;
use sluice_ebpf::{Attachment, EbpfError, Program};
use sluice_host::LinkIndex;
use sluice_path::{PathConfig, Shared};
use sluice_tables::{PortId, Publisher, Tables, TablesError, Underlay, WorkerId};
use sluice_worker::{IdlePolicy, Limits, PortSnapshot, Switch, SwitchConfig, SwitchError, Wanted, WorkerSnapshot};
use sluice_xsk::features::Allowed;
use sluice_xsk::umem::Census;
use sluice_xsk::{BindConfig, BindError, CopyMode, Features, FillShare, HugePages, Port, Umem, UmemConfig, UmemError};

use crate::config::{Config, Idle, Need, RemovedEndpoints, Switchable, XdpMode};
use crate::generations;

/// Why the switch, or a port of it, does not work.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DataplaneError {
    /// No packet memory.
    #[error(transparent)]
    Umem(#[from] UmemError),
    /// The XDP program.
    #[error(transparent)]
    Program(#[from] EbpfError),
    /// The socket.
    #[error(transparent)]
    Bind(#[from] BindError),
    /// The workers.
    #[error(transparent)]
    Switch(#[from] SwitchError),
    /// The first tables.
    #[error(transparent)]
    Tables(#[from] TablesError),
    /// Too few free frames for another port.
    #[error(
        "packet memory has no room for another pod: {in_use} of {total} frames (umemFrames) are in use and {PORT_FRAMES} \
         must be free; raise umemFrames and restart sluiced, or delete pods"
    )]
    NoFrames {
        /// Frames that are not free, or are spoken for by pods that are being attached.
        in_use: usize,
        /// All frames.
        total: usize,
    },
    /// A socket without a descriptor.
    #[error("{0} has no socket to register with the XDP program")]
    NoSocket(PortId),
}

/// Free frames without which no further pod is attached: those that a port takes when memory is short (20), and twice as
/// many for the packets that it then sends and receives.
pub(crate) const PORT_FRAMES: usize = 60;

/// How full the packet memory is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Occupancy {
    /// Frames that a new port may take.
    pub(crate) free: usize,
    /// All frames.
    pub(crate) total: usize,
}

/// Frames for one port that is about to be added, spoken for until this value goes.
#[derive(Debug)]
pub(crate) struct Admission<'a> {
    admitted: &'a AtomicUsize,
}

/// Admits one more port, or says how many frames are missing. Those of the ports admitted before are counted as taken:
/// they take them when they are added.
fn admit(admitted: &AtomicUsize, occupancy: Occupancy) -> Result<Admission<'_>, DataplaneError> {
    let Occupancy { free, total } = occupancy;
    // Gives its place back on a refusal too.
    let admission = Admission { admitted };
    let before = admitted.fetch_add(1, Ordering::Relaxed);
    let left = free.saturating_sub(before.saturating_mul(PORT_FRAMES));
    if left < PORT_FRAMES {
        return Err(DataplaneError::NoFrames { in_use: total - left.min(total), total });
    }
    Ok(admission)
}

impl Drop for Admission<'_> {
    fn drop(&mut self) {
        self.admitted.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The running switch. Every method may block, some of them for seconds: not for a thread that serves others.
pub(crate) struct Dataplane {
    switch: Switch,
    umem: Arc<Umem>,
    program: Program,
    publisher: Publisher,
    shared: Arc<Shared>,
    /// The program's attachments of the ports that the switch has. Held for lookups only.
    attachments: Mutex<HashMap<PortId, Attachment>>,
    /// Ports that are being added: each holds an [`Admission`]. A count alone, which orders nothing.
    admitted: AtomicUsize,
    bind: BindSettings,
}

/// A queue of the uplink that is to be bound.
#[derive(Debug, Clone, Copy)]
pub(crate) struct UplinkBinding {
    /// Its port.
    pub(crate) id: PortId,
    /// The device.
    pub(crate) link: LinkIndex,
    /// The queue, from 0.
    pub(crate) queue: u32,
}

/// What every port is bound with.
#[derive(Debug, Clone, Copy)]
struct BindSettings {
    allowed: Allowed,
    copy_mode: CopyMode,
    mode: sluice_ebpf::XdpMode,
}

impl Dataplane {
    /// Starts the workers, without a port and with empty tables. To be called before the process's own threads are
    /// pinned anywhere.
    pub(crate) fn start(config: &Config, shared: Arc<Shared>) -> Result<Self, DataplaneError> {
        let huge_pages = match config.huge_pages {
            Need::Off => HugePages::Off,
            Need::Auto => HugePages::Auto,
            Need::Require => HugePages::Require,
        };
        let umem = Umem::new(UmemConfig { frames: config.umem_frames, huge_pages })?;
        let program = Program::load()?;
        let publisher = Publisher::new(generations::empty()?);
        let idle = match config.idle {
            Idle::Poll => IdlePolicy::Poll,
            Idle::Adaptive => IdlePolicy::default(),
        };
        let switch_config = SwitchConfig {
            cores: config.cores.clone(),
            idle,
            path: PathConfig {
                seed: generations::random_seed(),
                reset_removed: config.network.removed_endpoints == RemovedEndpoints::Reset,
                ..PathConfig::default()
            },
            shared: Arc::clone(&shared),
            join: true,
        };
        let switch = Switch::start(switch_config, Arc::clone(&umem), &publisher)?;
        Ok(Self {
            switch,
            umem,
            program,
            publisher,
            shared,
            attachments: Mutex::new(HashMap::new()),
            admitted: AtomicUsize::new(0),
            bind: BindSettings::of(config),
        })
    }

    /// Speaks for the frames of one more pod. Ports of pods that were attached before are added without: they get what
    /// others give way to.
    ///
    /// # Errors
    /// [`DataplaneError::NoFrames`].
    pub(crate) fn admit(&self) -> Result<Admission<'_>, DataplaneError> {
        admit(&self.admitted, self.occupancy())
    }

    /// How full the packet memory is. Cheap.
    pub(crate) fn occupancy(&self) -> Occupancy {
        Occupancy { free: self.umem.in_depot(), total: self.umem.frames() as usize }
    }

    /// Binds a socket to the switch's end of a veth and has a worker poll it, which holds its pod to `limits`. The first port must be one that outlives
    /// all others: the packet memory is registered with its socket.
    pub(crate) fn add_port(&self, id: PortId, link: LinkIndex, limits: Limits) -> Result<(), DataplaneError> {
        let BindSettings { allowed, copy_mode, mode } = self.bind;
        let generic = mode == sluice_ebpf::XdpMode::Generic;
        let port = Port::bind(&self.umem, BindConfig { allowed, copy_mode, generic, ..BindConfig::new(link.0, 0) })?;
        let mut attachment = match self.program.attach(link.0, mode) {
            Ok(attachment) => attachment,
            Err(error) => {
                port.close();
                return Err(error.into());
            }
        };
        let registered = match port.socket() {
            Some(socket) => self.program.register(&mut attachment, socket).map_err(DataplaneError::from),
            None => Err(DataplaneError::NoSocket(id)),
        };
        if let Err(error) = registered {
            self.program.detach(attachment);
            port.close();
            return Err(error);
        }
        // On a refusal the switch closes the port itself.
        if let Err(error) = self.switch.add_limited_port(id, port, limits) {
            self.program.detach(attachment);
            return Err(error.into());
        }
        self.attachments().insert(id, attachment);
        Ok(())
    }

    /// Binds a socket to a queue of the uplink, hands it to `register`, and has a worker poll it.
    pub(crate) fn add_uplink_port(
        &self,
        binding: UplinkBinding,
        register: impl FnOnce(BorrowedFd<'_>) -> Result<(), EbpfError>,
    ) -> Result<(), DataplaneError> {
        let UplinkBinding { id, link, queue } = binding;
        let BindSettings { allowed, copy_mode, mode: _ } = self.bind;
        let fill_share = FillShare::Half;
        let config = BindConfig { allowed, copy_mode, generic: true, fill_share, ..BindConfig::new(link.0, queue) };
        let port = Port::bind(&self.umem, config)?;
        let registered = match port.socket() {
            Some(socket) => register(socket).map_err(DataplaneError::from),
            None => Err(DataplaneError::NoSocket(id)),
        };
        if let Err(error) = registered {
            port.close();
            return Err(error);
        }
        self.switch.add_port(id, port)?;
        Ok(())
    }

    /// Takes a port away; all its frames come back. A port that the switch does not have is a success.
    pub(crate) fn remove_port(&self, id: PortId) -> Result<(), DataplaneError> {
        match self.switch.remove_port(id) {
            Ok(_) | Err(SwitchError::NotAttached(_)) => {}
            Err(error) => return Err(error.into()),
        }
        let attachment = self.attachments().remove(&id);
        attachment.into_iter().for_each(|attachment| self.program.detach(attachment));
        Ok(())
    }

    /// Whether the switch has the port, with the XDP program on its device.
    pub(crate) fn has_port(&self, id: PortId) -> bool {
        self.attachments().contains_key(&id)
    }

    /// What the switch holds a port's pod to; nothing where it does not have the port.
    pub(crate) fn port_limits(&self, id: PortId) -> Limits {
        self.switch.port_limits(id).unwrap_or_default()
    }

    /// The worker that polls a port, or will.
    pub(crate) fn worker_for(&self, id: PortId) -> WorkerId {
        self.switch.worker_for(id)
    }

    /// Makes `tables` the current generation.
    pub(crate) fn publish(&self, tables: Tables) {
        self.publisher.publish(tables);
    }

    /// The current generation. It lives as long as what is returned, so that is not to be kept.
    pub(crate) fn tables(&self) -> Arc<Tables> {
        self.publisher.current()
    }

    /// Routes and neighbours of the uplink, as the current generation has them.
    pub(crate) fn underlay(&self) -> Arc<Underlay> {
        Arc::clone(self.publisher.current().underlay())
    }

    /// Neighbours that packets are for and whose hardware address is not known.
    pub(crate) fn wanted(&self) -> &Wanted {
        self.switch.wanted()
    }

    /// Takes out the connections that a pod which is gone began, or that count against its port.
    pub(crate) fn forget_connections(&self, port: PortId, addresses: &[IpAddr]) {
        self.shared.connections.remove_owned(Owner(port.0), addresses);
    }

    /// Connections in the table, and how many there can be.
    pub(crate) fn connections(&self) -> (u32, u32) {
        (self.shared.connections.len(), self.shared.connections.capacity())
    }

    /// Frees replaced generations that no worker uses any more.
    pub(crate) fn collect(&self) {
        self.publisher.collect();
    }

    /// Number of the current generation.
    pub(crate) fn generation(&self) -> u64 {
        self.publisher.current().generation()
    }

    /// What of the kernel is in use; known once the first port is bound.
    pub(crate) fn features(&self) -> Features {
        self.umem.features()
    }

    /// Where the XDP program is attached, by name.
    pub(crate) fn mode(&self) -> &'static str {
        if self.bind.mode == sluice_ebpf::XdpMode::Native { "native" } else { "generic" }
    }

    /// Whether the packet memory is in huge pages.
    pub(crate) fn in_huge_pages(&self) -> bool {
        self.umem.in_huge_pages()
    }

    /// Where the frames are.
    pub(crate) fn frames(&self) -> Census {
        self.umem.census()
    }

    /// Workers that ended though nobody stopped them.
    pub(crate) fn dead_workers(&self) -> Vec<WorkerId> {
        self.switch.dead()
    }

    /// Counters of every worker, in order.
    pub(crate) fn workers(&self) -> Vec<WorkerSnapshot> {
        self.switch.counters()
    }

    /// Counters of every port, by id.
    pub(crate) fn ports(&self) -> Vec<(PortId, PortSnapshot)> {
        self.switch.ports_counters()
    }

    /// Stops the workers, closes all sockets and takes the program off all devices.
    pub(crate) fn stop(self) -> Result<(), DataplaneError> {
        Ok(self.switch.stop()?)
    }

    fn attachments(&self) -> MutexGuard<'_, HashMap<PortId, Attachment>> {
        self.attachments.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl BindSettings {
    fn of(config: &Config) -> Self {
        let switch = |wanted: Switchable| match wanted {
            Switchable::Auto => sluice_xsk::Toggle::Auto,
            Switchable::Off => sluice_xsk::Toggle::Off,
        };
        let copy_mode = match config.zero_copy {
            Need::Off => CopyMode::Copy,
            Need::Auto => CopyMode::Auto,
            Need::Require => CopyMode::ZeroCopy,
        };
        Self {
            allowed: Allowed {
                multi_buffer: switch(config.features.multi_buffer),
                tx_metadata: switch(config.features.tx_metadata),
                tx_budget: switch(config.features.tx_budget),
                need_wakeup: switch(config.features.need_wakeup),
            },
            copy_mode,
            mode: mode(config.xdp_mode),
        }
    }
}

/// On a veth generic mode is the better one: native mode switches off the segmentation offload of the pod.
fn mode(wanted: XdpMode) -> sluice_ebpf::XdpMode {
    match wanted {
        XdpMode::Auto | XdpMode::Generic => sluice_ebpf::XdpMode::Generic,
        XdpMode::Native => sluice_ebpf::XdpMode::Native,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pods_are_admitted_while_there_are_frames_for_all_that_are_on_their_way() {
        let admitted = AtomicUsize::new(0);
        let occupancy = Occupancy { free: 2 * PORT_FRAMES + 1, total: 1024 };
        let first = admit(&admitted, occupancy).unwrap();
        let _second = admit(&admitted, occupancy).unwrap();
        for _ in 0..2 {
            let refused = admit(&admitted, occupancy).unwrap_err().to_string();
            assert!(refused.contains("umemFrames") && refused.contains("1023 of 1024"), "{refused}");
        }
        drop(first);
        admit(&admitted, occupancy).unwrap();
        assert_eq!(admitted.load(Ordering::Relaxed), 1);
    }
}
