//! From a checked configuration to an agent whose switch runs and whose host port is there.

use std::time::Instant;

use anyhow::{Context, ensure};
use sluice_cni_protocol::Journal;
use sluice_host::{Netlink, Netns};
use sluice_model::HostPort as ModelHostPort;
use sluice_xsk::{CHUNK_SIZE, HEADROOM};
use tracing::warn;

use crate::agent::Agent;
use crate::config::{Config, SuperFrames, Switchable, XdpMode};
use crate::dataplane::Dataplane;
use crate::faults::Faults;
use crate::generations::Generations;
use crate::host_port::HostPort;
use crate::idle_cores::Awake;
use crate::ledger::{HOST_PORT, Ledger};
use crate::lock::{DirectoryLock, PATIENCE};
use crate::readiness::Readiness;
use crate::recover::load_state;
use crate::serial::Serial;
use crate::shape::Shape;
use crate::state::StateFile;
use crate::{cores, descriptors, inventory};

/// Path MTU of pods without an uplink, bytes: Ethernet's.
const DEFAULT_POD_MTU: u16 = 1500;

/// Bytes of an Ethernet header.
const ETHERNET: usize = 14;

/// The directories of this agent, for as long as it runs.
pub(crate) struct Directories {
    _run: DirectoryLock,
    _state: Option<DirectoryLock>,
}

/// Takes the run and the state directory, which may be one.
pub(crate) fn take_directories(config: &Config) -> anyhow::Result<Directories> {
    let run = DirectoryLock::take(&config.run_dir, PATIENCE)?;
    let same = config.run_dir.canonicalize().ok() == config.state_dir.canonicalize().ok();
    let state = if same { None } else { Some(DirectoryLock::take(&config.state_dir, PATIENCE)?) };
    Ok(Directories { _run: run, _state: state })
}

/// Starts the switch with the host port. After an error nothing of it is left.
pub(crate) fn start(config: Config, available_cores: &[usize]) -> anyhow::Result<Agent> {
    if let Err(error) = descriptors::raise_limit() {
        warn!(%error, "the limit of open files stays; it may be too low for many pods");
    }
    let state_file = StateFile::open(&config.state_dir)?;
    let state = load_state(&state_file)?;
    let ledger = Ledger::restore(state_file, state)?;
    let own_netns = Netns::current()?.id()?;
    let awake = Awake::request(config.idle_cores)?;
    let dataplane = Dataplane::start(&config)?;
    // From here on threads inherit this one's mask, and the workers have theirs.
    if let Err(error) = cores::leave_to_workers(available_cores, &config.cores) {
        warn!(%error, "the control side shares the workers' cores");
    }
    let mut netlink = Netlink::open()?;
    let host_port = HostPort::create(&mut netlink, wanted_shape(&config), &config.run_dir)?;
    let (host_port, shape) = match join(&config, &dataplane, &mut netlink, host_port) {
        Ok(joined) => joined,
        Err((host_port, error)) => {
            let _ = host_port.remove(&mut netlink);
            return Err(error);
        }
    };
    let host = ModelHostPort {
        port: HOST_PORT,
        worker: dataplane.worker_for(HOST_PORT),
        mac: host_port.mac,
        path_mtu: shape.path_mtu,
        max_l3_len: shape.link_mtu(),
    };
    inventory::log(&config, &dataplane, shape);
    Ok(Agent {
        journal: Journal::in_state_dir(&config.state_dir),
        readiness: Readiness::starting(config.node_name.as_str()),
        generations: Generations::new(config.node_name.clone(), host, shape),
        dataplane,
        host_port,
        ledger,
        serial: Serial::default(),
        faults: Faults::default(),
        own_netns,
        shape,
        started: Instant::now(),
        _awake: awake,
        config,
    })
}

/// In native mode a veth peer loses its segmentation offload, so there are no super-frames to make room for.
fn wanted_shape(config: &Config) -> Shape {
    let path_mtu = config.pod_mtu.unwrap_or(DEFAULT_POD_MTU);
    let super_frames = config.super_frames == SuperFrames::Auto
        && config.features.multi_buffer == Switchable::Auto
        && config.xdp_mode != XdpMode::Native;
    Shape { path_mtu, super_frames }
}

/// Binds the switch to the host port, first of all ports: then it is known what the kernel can do.
fn join(
    config: &Config,
    dataplane: &Dataplane,
    netlink: &mut Netlink,
    mut host_port: HostPort,
) -> Result<(HostPort, Shape), (HostPort, anyhow::Error)> {
    let joined = (|| {
        dataplane.add_port(HOST_PORT, host_port.switch_end).context("host port")?;
        let features = dataplane.features();
        if !features.multi_buffer {
            let room = CHUNK_SIZE - HEADROOM - ETHERNET;
            ensure!(
                usize::from(host_port.shape.path_mtu) <= room,
                "podMtu {} needs packets of several frames, which are off or missing in this kernel; lower it to {room}",
                host_port.shape.path_mtu
            );
            host_port.shrink(netlink).context("host port")?;
        }
        anyhow::Ok(host_port.shape)
    })();
    match joined {
        Ok(shape) => Ok((host_port, shape)),
        Err(error) => Err((host_port, error)),
    }
}
