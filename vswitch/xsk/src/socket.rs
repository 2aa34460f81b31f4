//! The system calls that make a port: register the memory, map the rings, bind.
#![allow(unsafe_code, reason = "one socket option without a binding; the argument is in the crate's documentation")]

use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::sync::Arc;
use std::thread::sleep;
use std::time::{Duration, Instant};

use rustix::io::Errno;
use rustix::net::sockopt::{
    set_xdp_rx_ring_size, set_xdp_tx_ring_size, set_xdp_umem_completion_ring_size, set_xdp_umem_fill_ring_size,
    set_xdp_umem_reg, xdp_mmap_offsets, xdp_options,
};
use rustix::net::xdp::{
    SocketAddrXdp, SocketAddrXdpFlags, SocketAddrXdpWithSharedUmem, XDP_PGOFF_RX_RING, XDP_PGOFF_TX_RING,
    XDP_UMEM_PGOFF_COMPLETION_RING, XDP_UMEM_PGOFF_FILL_RING, XdpOptionsFlags, XdpRingOffset, XdpUmemReg,
    XdpUmemRegFlags,
};
use rustix::net::{AddressFamily, SocketFlags, SocketType, bind, socket_with};
use thiserror::Error;

use crate::features::{Allowed, Features, generic_multi_buffer};
use crate::level::FillShare;
use crate::mapping::Mapping;
use crate::port::{Port, Rings};
use crate::ring::{Consumer, Descriptor, Entry, Producer};
use crate::umem::Umem;
use crate::words::{Backing, Layout};
use crate::{CHUNK_SIZE, TX_METADATA_LEN};

/// `SOL_XDP` and `XDP_MAX_TX_SKB_BUDGET` (`include/linux/socket.h`, `include/uapi/linux/if_xdp.h`; since 6.17).
const SOL_XDP: libc::c_int = 283;
const XDP_MAX_TX_SKB_BUDGET: libc::c_int = 9;
/// `XDP_UMEM_TX_METADATA_LEN`: the registration carries a metadata length (since 6.11; refused by older kernels).
const XDP_UMEM_TX_METADATA_LEN: u32 = 1 << 2;

/// Who moves bytes between device and frames.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum CopyMode {
    /// The kernel copies (veth can do nothing else).
    #[default]
    Copy,
    /// The device itself; refuse where it cannot.
    ZeroCopy,
    /// The device itself where it can, else the kernel.
    Auto,
}

/// Which device queue to bind, and how.
#[derive(Debug, Clone, Copy)]
pub struct BindConfig {
    /// Device, by index in the calling thread's network namespace.
    pub ifindex: u32,
    /// Receive queue of the device.
    pub queue: u32,
    /// Entries in each ring; a power of two, 64 to 32768.
    pub ring_size: u32,
    /// How many of the UMEM's frames its fill ring may come to hold.
    pub fill_share: FillShare,
    /// Copy or zero-copy. Only the first socket on a UMEM (the anchor) chooses; the others follow it.
    pub copy_mode: CopyMode,
    /// The XDP program is attached in generic (SKB) mode, where packets of several frames need a newer kernel.
    pub generic: bool,
    /// What configuration allows. Only the anchor chooses, but for the TX budget.
    pub allowed: Allowed,
    /// How long to try again while the queue is still held by a socket that was just closed.
    pub patience: Duration,
}

impl BindConfig {
    /// Copy mode, rings of 2048, a quarter of the frames, everything allowed, patience of 2 s.
    pub fn new(ifindex: u32, queue: u32) -> BindConfig {
        BindConfig {
            ifindex,
            queue,
            ring_size: 2048,
            fill_share: FillShare::Quarter,
            copy_mode: CopyMode::Copy,
            generic: true,
            allowed: Allowed::default(),
            patience: Duration::from_secs(2),
        }
    }
}

/// Why there is no socket on a device queue.
#[derive(Debug, Error)]
pub enum BindError {
    /// A step failed.
    #[error("device {ifindex} queue {queue}: {step}: {source}{}", remedy(*.source))]
    Step {
        /// The device.
        ifindex: u32,
        /// The queue.
        queue: u32,
        /// What was tried.
        step: &'static str,
        /// What the kernel said.
        source: Errno,
    },
    /// The ring size is not allowed.
    #[error("ring size {0} is not a power of two from 64 to 32768")]
    RingSize(u32),
    /// The kernel described rings that do not fit their mapping.
    #[error("device {ifindex} queue {queue}: the kernel's ring layout is not understood; this kernel is not supported")]
    Layout {
        /// The device.
        ifindex: u32,
        /// The queue.
        queue: u32,
    },
    /// 65535 sockets on one UMEM.
    #[error("no more sockets fit on this UMEM")]
    TooMany,
}

fn remedy(errno: Errno) -> &'static str {
    match errno {
        Errno::BUSY => "; another AF_XDP socket holds the queue: stop the program that owns it",
        Errno::PERM | Errno::ACCESS => "; needs CAP_NET_RAW, CAP_NET_ADMIN and CAP_BPF: run as root or grant them",
        // Of registering a UMEM alone (xdp_umem_account_pages in net/xdp/xdp_umem.c).
        Errno::NOBUFS => "; its memory is more than this process may lock: grant CAP_IPC_LOCK or raise RLIMIT_MEMLOCK",
        Errno::AFNOSUPPORT => "; this kernel has no AF_XDP (CONFIG_XDP_SOCKETS)",
        Errno::NODEV => "; no such device in this network namespace",
        Errno::OPNOTSUPP => "; the device cannot do it: set zeroCopy to off or auto",
        _ => "",
    }
}

impl Port {
    /// Binds a socket to a device queue. The first on a UMEM registers the memory, probes the features that the whole UMEM
    /// then uses, and becomes the anchor: bind it on a device that outlives all others.
    ///
    /// May sleep up to `config.patience`: not for a worker.
    pub fn bind(umem: &Arc<Umem>, config: BindConfig) -> Result<Port, BindError> {
        if !config.ring_size.is_power_of_two() || !(64..=32768).contains(&config.ring_size) {
            return Err(BindError::RingSize(config.ring_size));
        }
        let deadline = Instant::now() + config.patience;
        loop {
            let tried = {
                let mut anchor = umem.anchor();
                match &*anchor {
                    Some(anchor) => shared(umem, config, anchor),
                    None => first(umem, config, &mut anchor),
                }
            };
            match tried {
                Err(BindError::Step { source: Errno::BUSY, .. }) if Instant::now() < deadline => {
                    sleep(Duration::from_millis(5));
                }
                result => return result,
            }
        }
    }
}

/// A socket that shares the anchor's memory and follows its features.
fn shared(umem: &Arc<Umem>, config: BindConfig, anchor: &OwnedFd) -> Result<Port, BindError> {
    let opened = open(config)?;
    let addr = SocketAddrXdp::new(SocketAddrXdpFlags::XDP_SHARED_UMEM, config.ifindex, config.queue);
    let addr = SocketAddrXdpWithSharedUmem { addr, shared_umem_fd: anchor.as_fd() };
    bind(&opened, &addr).map_err(|e| step(config, "binding on the shared UMEM", e))?;
    let mut features = umem.features();
    features.tx_budget = raise_tx_budget(&opened, config);
    finish(umem, config, Arc::new(opened), false, features)
}

/// The anchor: tries with every allowed feature, then without the one that was refused.
fn first(umem: &Arc<Umem>, config: BindConfig, anchor: &mut Anchor) -> Result<Port, BindError> {
    let multi_buffer = config.allowed.multi_buffer.allows() && (!config.generic || generic_multi_buffer());
    let mut features = Features {
        multi_buffer,
        tx_metadata: config.allowed.tx_metadata.allows(),
        tx_budget: false,
        need_wakeup: config.allowed.need_wakeup.allows(),
        zero_copy: config.copy_mode != CopyMode::Copy,
    };
    loop {
        match try_first(umem, config, features, anchor) {
            Err(First::Register(Errno::INVAL)) if features.tx_metadata => features.tx_metadata = false,
            Err(First::Bind(Errno::INVAL | Errno::OPNOTSUPP)) if features.multi_buffer => features.multi_buffer = false,
            Err(First::Bind(Errno::INVAL | Errno::OPNOTSUPP))
                if config.copy_mode == CopyMode::Auto && features.zero_copy =>
            {
                // It was not for the packets of several frames: those may be had again in copy mode.
                features = Features { zero_copy: false, multi_buffer, ..features };
            }
            Err(First::Bind(Errno::INVAL)) if features.need_wakeup => features.need_wakeup = false,
            Err(First::Register(e)) => return Err(step(config, "registering the UMEM", e)),
            Err(First::Bind(e)) => return Err(step(config, "binding", e)),
            Err(First::Other(e)) => return Err(e),
            Ok(port) => return Ok(port),
        }
    }
}

enum First {
    Register(Errno),
    Bind(Errno),
    Other(BindError),
}

type Anchor = Option<Arc<OwnedFd>>;

fn try_first(umem: &Arc<Umem>, config: BindConfig, mut features: Features, anchor: &mut Anchor) -> Result<Port, First> {
    let opened = open(config).map_err(First::Other)?;
    let (addr, len) = umem.region();
    let metadata = if features.tx_metadata { TX_METADATA_LEN as u32 } else { 0 };
    let flags = if features.tx_metadata { XDP_UMEM_TX_METADATA_LEN } else { 0 };
    let registration = XdpUmemReg {
        addr,
        len,
        chunk_size: CHUNK_SIZE as u32,
        headroom: 0,
        flags: XdpUmemRegFlags::from_bits_retain(flags),
        tx_metadata_len: metadata,
    };
    set_xdp_umem_reg(&opened, registration).map_err(First::Register)?;
    let mut flags = SocketAddrXdpFlags::empty();
    flags.set(SocketAddrXdpFlags::XDP_COPY, !features.zero_copy);
    flags.set(SocketAddrXdpFlags::XDP_ZEROCOPY, features.zero_copy);
    flags.set(SocketAddrXdpFlags::XDP_USE_SG, features.multi_buffer);
    flags.set(SocketAddrXdpFlags::XDP_USE_NEED_WAKEUP, features.need_wakeup);
    bind(&opened, &SocketAddrXdp::new(flags, config.ifindex, config.queue)).map_err(First::Bind)?;
    features.tx_budget = raise_tx_budget(&opened, config);
    features.zero_copy = xdp_options(&opened).is_ok_and(|o| o.contains(XdpOptionsFlags::XDP_OPTIONS_ZEROCOPY));
    let socket = Arc::new(opened);
    umem.set_features(features);
    let port = finish(umem, config, socket.clone(), true, features).map_err(First::Other)?;
    *anchor = Some(socket);
    Ok(port)
}

/// An unbound socket with its four rings allocated.
fn open(config: BindConfig) -> Result<OwnedFd, BindError> {
    let fail = |name| move |e| step(config, name, e);
    let socket =
        socket_with(AddressFamily::XDP, SocketType::RAW, SocketFlags::CLOEXEC, None).map_err(fail("opening"))?;
    let size = config.ring_size;
    set_xdp_umem_fill_ring_size(&socket, size).map_err(fail("making the fill ring"))?;
    set_xdp_umem_completion_ring_size(&socket, size).map_err(fail("making the completion ring"))?;
    set_xdp_rx_ring_size(&socket, size).map_err(fail("making the rx ring"))?;
    set_xdp_tx_ring_size(&socket, size).map_err(fail("making the tx ring"))?;
    Ok(socket)
}

fn raise_tx_budget(socket: &OwnedFd, config: BindConfig) -> bool {
    if !config.allowed.tx_budget.allows() {
        return false;
    }
    let budget = config.ring_size;
    // SAFETY: why needed: rustix has no binding for this option. Why sound: the descriptor is open, the option value is a
    // live u32 of the stated length, which the kernel only reads; an unknown option is an error code.
    let result = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            SOL_XDP,
            XDP_MAX_TX_SKB_BUDGET,
            std::ptr::from_ref(&budget).cast(),
            size_of::<u32>() as libc::socklen_t,
        )
    };
    result == 0
}

fn finish(
    umem: &Arc<Umem>,
    config: BindConfig,
    socket: Arc<OwnedFd>,
    anchor: bool,
    features: Features,
) -> Result<Port, BindError> {
    let offsets = xdp_mmap_offsets(&socket).map_err(|e| step(config, "asking for the ring layout", e))?;
    let size = config.ring_size;
    let layout_error = BindError::Layout { ifindex: config.ifindex, queue: config.queue };
    let (Some(fill), Some(completion), Some(rx), Some(tx)) = (
        Producer::new(map::<u64>(&socket, config, &offsets.fr, XDP_UMEM_PGOFF_FILL_RING)?, layout(&offsets.fr), size),
        Consumer::new(
            map::<u64>(&socket, config, &offsets.cr, XDP_UMEM_PGOFF_COMPLETION_RING)?,
            layout(&offsets.cr),
            size,
        ),
        Consumer::new(map::<Descriptor>(&socket, config, &offsets.rx, XDP_PGOFF_RX_RING)?, layout(&offsets.rx), size),
        Producer::new(map::<Descriptor>(&socket, config, &offsets.tx, XDP_PGOFF_TX_RING)?, layout(&offsets.tx), size),
    ) else {
        return Err(layout_error);
    };
    let rings_id = umem.new_rings().ok_or(BindError::TooMany)?;
    Ok(Port::new(
        umem.clone(),
        rings_id,
        Rings { fill, completion, rx, tx },
        Some(socket),
        anchor,
        features,
        config.fill_share,
    ))
}

fn map<T: Entry>(socket: &OwnedFd, config: BindConfig, offset: &XdpRingOffset, at: u64) -> Result<Backing, BindError> {
    let len = offset.desc as usize + config.ring_size as usize * size_of::<T>();
    let mapping = Mapping::shared(socket, len, at).map_err(|e| step(config, "mapping a ring", e))?;
    Ok(Backing::Kernel(mapping))
}

fn layout(offset: &XdpRingOffset) -> Layout {
    Layout {
        producer: offset.producer as usize,
        consumer: offset.consumer as usize,
        // Before 5.4 there is no flags word; need_wakeup is then off and the word is not read for meaning.
        flags: offset.flags.unwrap_or(offset.producer) as usize,
        entries: offset.desc as usize,
    }
}

fn step(config: BindConfig, step: &'static str, source: Errno) -> BindError {
    BindError::Step { ifindex: config.ifindex, queue: config.queue, step, source }
}
