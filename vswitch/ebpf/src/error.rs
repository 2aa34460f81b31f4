//! Where the programs run, and why one is not where it should be.
use aya::maps::MapError;
use aya::programs::ProgramError;
use thiserror::Error;

use crate::{MAX_PORTS, MAX_QUEUES, MAX_UPLINKS};

/// Where on a device's receive path the program runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum XdpMode {
    /// Native where the driver can, else generic.
    #[default]
    Auto,
    /// In the driver, before there is an skb. On veth this turns the peer's segmentation offload off.
    Native,
    /// On the skb (also called SKB mode): keeps a veth peer's segmentation offload, so super-frames.
    Generic,
}

/// Why the program is not where it should be.
#[derive(Debug, Error)]
pub enum EbpfError {
    /// The kernel did not take the program.
    #[error(
        "loading the BPF program: {0}; needs CAP_NET_ADMIN with CAP_BPF and CAP_PERFMON, or with CAP_SYS_ADMIN, and a kernel from 5.18 on with CONFIG_XDP_SOCKETS"
    )]
    Load(String),
    /// The device did not take the program.
    #[error("attaching the XDP program to device {ifindex} in {mode:?} mode: {source}; {remedy}")]
    Attach {
        /// The device.
        ifindex: u32,
        /// The mode asked for.
        mode: XdpMode,
        /// What the kernel said.
        source: Box<ProgramError>,
        /// What to do.
        remedy: &'static str,
    },
    /// The socket was not taken into the map.
    #[error("registering the socket of device {ifindex}: {source}")]
    Register {
        /// The device.
        ifindex: u32,
        /// What the kernel said.
        source: Box<MapError>,
    },
    /// [`MAX_PORTS`] devices are registered.
    #[error("device {0} cannot be registered: all {MAX_PORTS} places are taken")]
    Full(u32),
    /// [`MAX_UPLINKS`] uplinks are attached.
    #[error("device {0} cannot be an uplink: all {MAX_UPLINKS} places are taken")]
    Uplinks(u32),
    /// A queue beyond [`MAX_QUEUES`].
    #[error(
        "queue {queue} of device {ifindex}: at most {MAX_QUEUES} queues are served; set the device to fewer with `ethtool -L`"
    )]
    Queue {
        /// The device.
        ifindex: u32,
        /// The queue.
        queue: u32,
    },
    /// A claim was not taken into its map, or not out of it. Those before it are in force; the next [`crate::Uplink::claim`]
    /// tries again.
    #[error("claiming {what}: {source}; too many Services or node addresses for the program")]
    Claim {
        /// What was claimed, or no longer is.
        what: String,
        /// What the kernel said.
        source: Box<MapError>,
    },
    /// The kernel did not take a detour's program on a device.
    #[error(
        "attaching the program {program} to device {device}: {source}; needs a kernel from 6.6 on with CONFIG_NET_XGRESS"
    )]
    Detour {
        /// The program.
        program: &'static str,
        /// The device.
        device: String,
        /// What the kernel said.
        source: Box<ProgramError>,
    },
    /// What is to be injected cannot be.
    #[error("packets cannot be injected like this: {0}")]
    Injection(String),
    /// The kernel did not run the program that injects packets.
    #[error(
        "injecting packets into device {device}: {source}; needs CAP_BPF and CAP_NET_ADMIN, and a kernel from 5.18 on"
    )]
    Inject {
        /// The device.
        device: u32,
        /// What the kernel said.
        source: Box<ProgramError>,
    },
    /// A map of the program could not be read or written.
    #[error("the map {map}: {source}; needs CAP_BPF")]
    Map {
        /// The map.
        map: &'static str,
        /// What the kernel said.
        source: Box<MapError>,
    },
}

/// With every cause: the outermost message alone does not say what is wrong.
pub(crate) fn load_error(error: impl std::error::Error) -> EbpfError {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(deeper) = cause {
        text.push_str(&format!(": {deeper}"));
        cause = deeper.source();
    }
    EbpfError::Load(text)
}
