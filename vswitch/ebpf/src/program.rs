//! The program of every port of the switch but the uplink: a device's packets all go to its socket.
use std::os::fd::{AsRawFd, BorrowedFd};
use std::sync::{Mutex, PoisonError};

use aya::Ebpf;
use aya::maps::{HashMap, MapData, XskMap};
use aya::programs::xdp::XdpLinkId;

use crate::attach::{attach, detach, load_program};
use crate::error::load_error;
use crate::{EbpfError, MAX_PORTS, XdpMode};

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

impl Program {
    /// Loads the program into the kernel.
    pub fn load() -> Result<Program, EbpfError> {
        static OBJECT: &[u8] = aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/port.bpf.o"));
        let mut ebpf = Ebpf::load(OBJECT).map_err(load_error)?;
        let missing = || EbpfError::Load("the object lacks a map or the program".into());
        let slots = HashMap::try_from(ebpf.take_map("slots").ok_or_else(missing)?).map_err(load_error)?;
        let sockets = XskMap::try_from(ebpf.take_map("sockets").ok_or_else(missing)?).map_err(load_error)?;
        load_program(&mut ebpf, "port")?;
        let free = (0..MAX_PORTS).rev().collect();
        Ok(Program { inner: Mutex::new(Inner { ebpf, slots, sockets, free }) })
    }

    /// Attaches the program to a device of the calling thread's network namespace. It passes everything to the kernel until
    /// [`Program::register`].
    pub fn attach(&self, ifindex: u32, mode: XdpMode) -> Result<Attachment, EbpfError> {
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        let (mode, link) = attach(&mut inner.ebpf, "port", ifindex, mode)?;
        Ok(Attachment { ifindex, mode, link, slot: None })
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
        detach(&mut inner.ebpf, "port", link);
    }
}
