//! The program of the node's uplink: what the tables claim goes to the switch, all else is the node's own.
use std::os::fd::{AsRawFd, BorrowedFd};
use std::sync::{Mutex, MutexGuard, PoisonError};

use aya::Ebpf;
use aya::maps::{HashMap, MapData, PerCpuArray, XskMap};
use aya::programs::xdp::XdpLinkId;
use sluice_tables::Claims;
use sluice_wire::MacAddr;

use crate::attach::{attach, detach, load_program};
use crate::claims::ClaimMaps;
use crate::error::load_error;
use crate::{EbpfError, MAX_QUEUES, MAX_UPLINKS, UplinkCounters, XdpMode};

/// The loaded program with its maps. Nothing is claimed, so everything passes, until [`Uplink::claim`].
///
/// In this order nothing is lost: bind the sockets and give them to workers, publish tables that know the uplink,
/// [`Uplink::attach`], [`Uplink::register`], and [`Uplink::claim`] after each publication.
///
/// A tag that the device took off the packet and keeps beside it (`rx-vlan-offload`, and `tx-vlan-offload` of a veth's peer) is
/// not visible to the program: switch the offload off on an uplink that carries tagged networks.
pub struct Uplink {
    inner: Mutex<Inner>,
}

struct Inner {
    ebpf: Ebpf,
    uplinks: HashMap<MapData, u32, [u8; 12]>,
    sockets: XskMap<MapData>,
    counters: PerCpuArray<MapData, u64>,
    claims: ClaimMaps,
    free: Vec<u32>,
}

/// The program on one uplink; taken off by [`Uplink::detach`] or when the process ends.
#[derive(Debug)]
#[must_use = "keep it to detach the program"]
pub struct UplinkAttachment {
    ifindex: u32,
    mode: XdpMode,
    link: XdpLinkId,
    slot: u32,
}

impl UplinkAttachment {
    /// The mode in use, never [`XdpMode::Auto`].
    pub fn mode(&self) -> XdpMode {
        self.mode
    }

    /// The device.
    pub fn ifindex(&self) -> u32 {
        self.ifindex
    }
}

impl std::fmt::Debug for Uplink {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Uplink").finish_non_exhaustive()
    }
}

impl Uplink {
    /// Loads the program into the kernel.
    ///
    /// # Errors
    /// [`EbpfError::Load`].
    pub fn load() -> Result<Uplink, EbpfError> {
        static OBJECT: &[u8] = aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/uplink.bpf.o"));
        let mut ebpf = Ebpf::load(OBJECT).map_err(load_error)?;
        let claims = ClaimMaps::take(&mut ebpf)?;
        let mut map =
            |name: &str| ebpf.take_map(name).ok_or_else(|| EbpfError::Load(format!("the object lacks the map {name}")));
        let uplinks = HashMap::try_from(map("uplinks")?).map_err(load_error)?;
        let sockets = XskMap::try_from(map("sockets")?).map_err(load_error)?;
        let counters = PerCpuArray::try_from(map("counters")?).map_err(load_error)?;
        load_program(&mut ebpf, "uplink")?;
        let free = (0..MAX_UPLINKS).rev().collect();
        Ok(Uplink { inner: Mutex::new(Inner { ebpf, uplinks, sockets, counters, claims, free }) })
    }

    /// Attaches the program to a device of the calling thread's network namespace, whose own address is `mac`: only packets
    /// sent to it are taken. It passes everything to the kernel until [`Uplink::register`].
    ///
    /// # Errors
    /// [`EbpfError::Attach`], [`EbpfError::Uplinks`], [`EbpfError::Map`].
    pub fn attach(&self, ifindex: u32, mac: MacAddr, mode: XdpMode) -> Result<UplinkAttachment, EbpfError> {
        let mut inner = self.inner();
        let slot = inner.free.last().copied().ok_or(EbpfError::Uplinks(ifindex))?;
        let (mode, link) = attach(&mut inner.ebpf, "uplink", ifindex, mode)?;
        inner.free.pop();
        let attachment = UplinkAttachment { ifindex, mode, link, slot };
        match inner.enter(&attachment, mac) {
            Ok(()) => Ok(attachment),
            Err(error) => {
                inner.leave(attachment);
                Err(error)
            }
        }
    }

    /// The device has another address from now on.
    ///
    /// # Errors
    /// [`EbpfError::Map`].
    pub fn set_mac(&self, attachment: &UplinkAttachment, mac: MacAddr) -> Result<(), EbpfError> {
        self.inner().enter(attachment, mac)
    }

    /// Hands what is claimed and comes in by `queue` to `socket`, which is bound to that device and queue, from now on. The
    /// kernel empties the place by itself when the socket is closed.
    ///
    /// # Errors
    /// [`EbpfError::Queue`], [`EbpfError::Register`].
    pub fn register(&self, attachment: &UplinkAttachment, queue: u32, socket: BorrowedFd<'_>) -> Result<(), EbpfError> {
        let ifindex = attachment.ifindex;
        if queue >= MAX_QUEUES {
            return Err(EbpfError::Queue { ifindex, queue });
        }
        let place = attachment.slot * MAX_QUEUES + queue;
        let set = self.inner().sockets.set(place, socket.as_raw_fd(), 0);
        set.map_err(|source| EbpfError::Register { ifindex, source: Box::new(source) })
    }

    /// Takes what `claims` say from now on, and nothing else: [`sluice_tables::Tables::claims`] of a generation that has just been
    /// published, so that nothing is taken which cannot be handled. Only what differs from the last time is touched; what is no
    /// longer claimed goes first.
    ///
    /// # Errors
    /// [`EbpfError::Claim`], the first of them. All else is in force; the same call tries the rest again.
    pub fn claim(&self, claims: &Claims) -> Result<(), EbpfError> {
        self.inner().claims.apply(&claims.into())
    }

    /// What the program did with packets so far, of all uplinks together.
    ///
    /// # Errors
    /// [`EbpfError::Map`].
    pub fn counters(&self) -> Result<UplinkCounters, EbpfError> {
        UplinkCounters::read(&self.inner().counters)
            .map_err(|source| EbpfError::Map { map: "counters", source: Box::new(source) })
    }

    /// Takes the program off the device. A device that is already gone is no error.
    pub fn detach(&self, attachment: UplinkAttachment) {
        self.inner().leave(attachment);
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    /// `struct uplink` of `uplink.bpf.c`: the slot, the MAC, two bytes of padding.
    fn enter(&mut self, attachment: &UplinkAttachment, mac: MacAddr) -> Result<(), EbpfError> {
        let mut value = [0; 12];
        value[..4].copy_from_slice(&attachment.slot.to_ne_bytes());
        value[4..10].copy_from_slice(&mac.0);
        let entered = self.uplinks.insert(attachment.ifindex, value, 0);
        entered.map_err(|source| EbpfError::Map { map: "uplinks", source: Box::new(source) })
    }

    fn leave(&mut self, attachment: UplinkAttachment) {
        let UplinkAttachment { ifindex, link, slot, .. } = attachment;
        let _ = self.uplinks.remove(&ifindex);
        for queue in 0..MAX_QUEUES {
            let _ = self.sockets.unset(slot * MAX_QUEUES + queue);
        }
        self.free.push(slot);
        detach(&mut self.ebpf, "uplink", link);
    }
}
