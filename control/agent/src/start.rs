//! From a checked configuration to an agent whose switch runs and whose host port is there.

use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Instant;

use anyhow::{Context, ensure};
use sluice_cni_protocol::Journal;
use sluice_host::{Link, Netlink, Netns};
use sluice_model::HostPort as ModelHostPort;
use sluice_tables::MIN_PATH_MTU;
use sluice_worker::Limits;
use sluice_xsk::{CHUNK_SIZE, HEADROOM};
use tokio::sync::Notify;
use tracing::warn;

use crate::agent::Agent;
use crate::config::{Config, SuperFrames, Switchable, XdpMode};
use crate::dataplane::Dataplane;
use crate::detour::Detour;
use crate::faults::Faults;
use crate::generations::Generations;
use crate::host_port::{HostPort, STACK_END};
use crate::idle_cores::Awake;
use crate::last_good::LastGood;
use crate::ledger::{HOST_PORT, Ledger};
use crate::lock::{DirectoryLock, PATIENCE};
use crate::readiness::Readiness;
use crate::recover::load_state;
use crate::serial::Serial;
use crate::shape::Shape;
use crate::state::StateFile;
use crate::uplink::{self, Uplink};
use crate::{connections, cores, descriptors, inventory};

/// Path MTU of pods without an uplink, bytes: Ethernet's.
const DEFAULT_POD_MTU: u16 = 1500;

/// The largest that podMtu may be.
const LARGEST_POD_MTU: u16 = 9000;

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
    let shared = connections::open(&config.network, &config.run_dir);
    let dataplane = Dataplane::start(&config, Arc::clone(&shared))?;
    // From here on threads inherit this one's mask, and the workers have theirs.
    if let Err(error) = cores::leave_to_workers(available_cores, &config.cores) {
        warn!(%error, "the control side shares the workers' cores");
    }
    let mut netlink = Netlink::open()?;
    let uplink_link = config.network.uplink.as_deref().map(|name| uplink::find(&mut netlink, name)).transpose()?;
    let path_mtu = pod_mtu(&config, &mut netlink, uplink_link.as_ref())?;
    let wanted = wanted_shape(&config, path_mtu, uplink_link.as_ref());
    let host_port = HostPort::create(&mut netlink, wanted, &config.run_dir)?;
    let (host_port, shape) = match join(&dataplane, &mut netlink, host_port) {
        Ok(joined) => joined,
        Err((host_port, error)) => {
            let _ = host_port.remove(&mut netlink);
            return Err(error);
        }
    };
    let uplink = uplink_link.map(|link| Uplink::open(&link, &config.network, &dataplane)).transpose();
    let uplink = match uplink {
        Ok(uplink) => uplink,
        Err(error) => {
            let _ = host_port.remove(&mut netlink);
            return Err(error);
        }
    };
    if let Some(uplink) = &uplink {
        uplink::log(uplink, &config.network, shape.path_mtu);
    }
    let uplink_name = uplink.as_ref().map(|uplink| uplink.name.as_str());
    let detour = Detour::attach((STACK_END, host_port.stack_end.0), uplink_name, shared);
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
        generations: Generations::new(config.node_name.clone(), host, shape, config.network.clone()),
        pace: Mutex::default(),
        wake: Notify::new(),
        last_good: LastGood::of(&config),
        api: OnceLock::new(),
        in_force: AtomicBool::new(false),
        host_port_has: Mutex::default(),
        claimed: Mutex::default(),
        dataplane,
        host_port,
        uplink,
        detour,
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
fn wanted_shape(config: &Config, path_mtu: u16, uplink: Option<&Link>) -> Shape {
    let super_frames = config.super_frames == SuperFrames::Auto
        && config.features.multi_buffer == Switchable::Auto
        && config.xdp_mode != XdpMode::Native;
    let wire_mtu = uplink.map_or(0, |link| u16::try_from(link.mtu).unwrap_or(u16::MAX));
    Shape { path_mtu, super_frames, wire_mtu }
}

/// The path MTU of pods: what is asked for, if the uplink takes it, else what the uplink and the tunnel leave.
fn pod_mtu(config: &Config, netlink: &mut Netlink, uplink: Option<&Link>) -> anyhow::Result<u16> {
    let Some(link) = uplink else { return Ok(config.pod_mtu.unwrap_or(DEFAULT_POD_MTU)) };
    let v4 = netlink.addresses_of(link.index)?.iter().any(|address| address.net.addr().is_ipv4());
    let most = config.network.pod_mtu(link.mtu, v4);
    let path_mtu = config.pod_mtu.unwrap_or(most.min(LARGEST_POD_MTU));
    ensure!(
        path_mtu <= most,
        "podMtu {path_mtu} is more than {most}, which the MTU {} of {} and the tunnel's headers leave; lower it",
        link.mtu,
        link.name
    );
    ensure!(
        path_mtu >= MIN_PATH_MTU,
        "the MTU {} of {} leaves pods {path_mtu} bytes behind the tunnel's headers, and IPv6 needs {MIN_PATH_MTU}; raise it",
        link.mtu,
        link.name
    );
    Ok(path_mtu)
}

/// Binds the switch to the host port, first of all ports: then it is known what the kernel can do.
fn join(
    dataplane: &Dataplane,
    netlink: &mut Netlink,
    mut host_port: HostPort,
) -> Result<(HostPort, Shape), (HostPort, anyhow::Error)> {
    let joined = (|| {
        dataplane.add_port(HOST_PORT, host_port.switch_end, Limits::default()).context("host port")?;
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
