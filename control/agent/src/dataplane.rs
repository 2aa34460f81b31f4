//! The switch as the control side handles it: packet memory, XDP program, workers, tables.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use sluice_ebpf::{Attachment, EbpfError, Program};
use sluice_host::LinkIndex;
use sluice_path::PathConfig;
use sluice_tables::{PortId, Publisher, Tables, TablesError, WorkerId};
use sluice_worker::{IdlePolicy, PortSnapshot, Switch, SwitchConfig, SwitchError, WorkerSnapshot};
use sluice_xsk::features::Allowed;
use sluice_xsk::umem::Census;
use sluice_xsk::{BindConfig, BindError, CopyMode, Features, HugePages, Port, Umem, UmemConfig, UmemError};

use crate::config::{Config, Idle, Need, Switchable, XdpMode};
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
    /// A socket without a descriptor.
    #[error("{0} has no socket to register with the XDP program")]
    NoSocket(PortId),
}

/// The running switch. Every method may block, some of them for seconds: not for a thread that serves others.
pub(crate) struct Dataplane {
    switch: Switch,
    umem: Arc<Umem>,
    program: Program,
    publisher: Publisher,
    /// The program's attachments of the ports that the switch has. Held for lookups only.
    attachments: Mutex<HashMap<PortId, Attachment>>,
    bind: BindSettings,
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
    pub(crate) fn start(config: &Config) -> Result<Self, DataplaneError> {
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
        let switch_config = SwitchConfig { cores: config.cores.clone(), idle, path: PathConfig::default() };
        let switch = Switch::start(switch_config, Arc::clone(&umem), &publisher)?;
        Ok(Self {
            switch,
            umem,
            program,
            publisher,
            attachments: Mutex::new(HashMap::new()),
            bind: BindSettings::of(config),
        })
    }

    /// Binds a socket to the switch's end of a veth and has a worker poll it. The first port must be one that outlives
    /// all others: the packet memory is registered with its socket.
    pub(crate) fn add_port(&self, id: PortId, link: LinkIndex) -> Result<(), DataplaneError> {
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
        if let Err(error) = self.switch.add_port(id, port) {
            self.program.detach(attachment);
            return Err(error.into());
        }
        self.attachments().insert(id, attachment);
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

    /// The worker that polls a port, or will.
    pub(crate) fn worker_for(&self, id: PortId) -> WorkerId {
        self.switch.worker_for(id)
    }

    /// Makes `tables` the current generation.
    pub(crate) fn publish(&self, tables: Tables) {
        self.publisher.publish(tables);
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
            Switchable::Auto => sluice_xsk::Switch::Auto,
            Switchable::Off => sluice_xsk::Switch::Off,
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
