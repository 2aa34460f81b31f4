//! The XDP program and its loader.
//!
//! One program (`port.bpf.c`) is loaded once and attached to every port's device. It hands all packets of a device to the
//! AF_XDP socket registered for it, and passes everything to the kernel where there is none.
//!
//! Attachments are BPF links: the kernel detaches the program when the process ends, however it ends.
#![forbid(unsafe_code)]

use std::os::fd::{AsRawFd, BorrowedFd};
use std::sync::{Mutex, PoisonError};

use aya::Ebpf;
use aya::maps::{HashMap, MapData, XskMap};
use aya::programs::xdp::XdpLinkId;
use aya::programs::{ProgramError, Xdp, XdpMode as AyaMode};
use thiserror::Error;

/// Devices that can be registered at once. Keep in step with `MAX_PORTS` in `port.bpf.c`.
pub const MAX_PORTS: u32 = 4096;

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
    #[error("loading the XDP program: {0}; needs CAP_BPF and CAP_NET_ADMIN, and a kernel with CONFIG_XDP_SOCKETS")]
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
        source: Box<aya::maps::MapError>,
    },
    /// [`MAX_PORTS`] devices are registered.
    #[error("device {0} cannot be registered: all {MAX_PORTS} places are taken")]
    Full(u32),
}

/// The loaded program with its maps.
pub struct Program {
    inner: Mutex<Inner>,
}

struct Inner {
    ebpf: Ebpf,
    slots: HashMap<MapData, u32, u32>,
    sockets: XskMap<MapData>,
    free: Vec<u32>,
}

/// The program on one device; taken off by [`Program::detach`] or when the process ends.
#[derive(Debug)]
#[must_use = "keep it to detach the program"]
pub struct Attachment {
    ifindex: u32,
    mode: XdpMode,
    link: XdpLinkId,
    slot: Option<u32>,
}

impl Attachment {
    /// The mode in use, never [`XdpMode::Auto`].
    pub fn mode(&self) -> XdpMode {
        self.mode
    }

    /// The device.
    pub fn ifindex(&self) -> u32 {
        self.ifindex
    }
}

impl std::fmt::Debug for Program {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Program").finish_non_exhaustive()
    }
}

fn load_error(error: impl std::fmt::Display) -> EbpfError {
    EbpfError::Load(error.to_string())
}

impl Program {
    /// Loads the program into the kernel.
    pub fn load() -> Result<Program, EbpfError> {
        static OBJECT: &[u8] = aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/port.bpf.o"));
        let mut ebpf = Ebpf::load(OBJECT).map_err(load_error)?;
        let missing = || EbpfError::Load("the object lacks a map or the program".into());
        let slots = HashMap::try_from(ebpf.take_map("slots").ok_or_else(missing)?).map_err(load_error)?;
        let sockets = XskMap::try_from(ebpf.take_map("sockets").ok_or_else(missing)?).map_err(load_error)?;
        let program: &mut Xdp = ebpf.program_mut("port").ok_or_else(missing)?.try_into().map_err(load_error)?;
        program.load().map_err(load_error)?;
        let free = (0..MAX_PORTS).rev().collect();
        Ok(Program { inner: Mutex::new(Inner { ebpf, slots, sockets, free }) })
    }

    /// Attaches the program to a device of the calling thread's network namespace. It passes everything to the kernel until
    /// [`Program::register`].
    pub fn attach(&self, ifindex: u32, mode: XdpMode) -> Result<Attachment, EbpfError> {
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        let modes: &[XdpMode] = match mode {
            XdpMode::Auto => &[XdpMode::Native, XdpMode::Generic],
            XdpMode::Native => &[XdpMode::Native],
            XdpMode::Generic => &[XdpMode::Generic],
        };
        let mut refused = None;
        for &mode in modes {
            match inner.attach(ifindex, mode) {
                Ok(link) => return Ok(Attachment { ifindex, mode, link, slot: None }),
                Err(source) => refused = Some((mode, source)),
            }
        }
        let (mode, source) = refused.unwrap_or((mode, ProgramError::NotLoaded));
        let remedy = match mode {
            XdpMode::Native => "its driver may have no native XDP: use xdpMode auto or generic",
            _ => "check that it exists in this network namespace and carries no other XDP program",
        };
        Err(EbpfError::Attach { ifindex, mode, source: Box::new(source), remedy })
    }

    /// Hands the device's packets to `socket` from now on.
    pub fn register(&self, attachment: &mut Attachment, socket: BorrowedFd<'_>) -> Result<(), EbpfError> {
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        let ifindex = attachment.ifindex;
        let failed = |source| EbpfError::Register { ifindex, source: Box::new(source) };
        let slot = match attachment.slot {
            Some(slot) => slot,
            None => inner.free.pop().ok_or(EbpfError::Full(ifindex))?,
        };
        attachment.slot = Some(slot);
        inner.sockets.set(slot, socket.as_raw_fd(), 0).map_err(failed)?;
        inner.slots.insert(ifindex, slot, 0).map_err(failed)
    }

    /// Takes the program off the device. A device that is already gone is no error.
    pub fn detach(&self, attachment: Attachment) {
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        let Attachment { ifindex, link, slot, .. } = attachment;
        let _ = inner.slots.remove(&ifindex);
        if let Some(slot) = slot {
            let _ = inner.sockets.unset(slot);
            inner.free.push(slot);
        }
        if let Some(program) = inner.ebpf.program_mut("port")
            && let Ok(program) = <&mut Xdp>::try_from(program)
        {
            let _ = program.detach(link);
        }
    }
}

impl Inner {
    fn attach(&mut self, ifindex: u32, mode: XdpMode) -> Result<XdpLinkId, ProgramError> {
        let mode = if mode == XdpMode::Native { AyaMode::Driver } else { AyaMode::Skb };
        let program = self.ebpf.program_mut("port").ok_or(ProgramError::NotLoaded)?;
        <&mut Xdp>::try_from(program)?.attach_to_if_index(ifindex, mode)
    }
}
