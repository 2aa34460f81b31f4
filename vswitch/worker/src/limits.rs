//! What a port's pod may receive and send.
//!
//! A port has one owner, and what comes in and what goes out by it both pass there, whichever worker decided about it: so the buckets
//! are the worker's own, without a lock or an atomic. A port without limits costs nothing more: one that limits what its pod receives
//! is not found by [`crate::ports::Ports::open`], and one look a burst tells whether what its pod sends is limited.
use sluice_path::{Rate, Time, TokenBucket, wire_len};
use sluice_xsk::{Burst, Pool, Umem};

/// The limits of one port; `None` where there is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Limits {
    /// What its pod receives.
    pub ingress: Option<Rate>,
    /// What its pod sends.
    pub egress: Option<Rate>,
}

/// What is left of them.
#[derive(Debug)]
pub(crate) struct Buckets {
    pub(crate) ingress: Option<TokenBucket>,
    pub(crate) egress: Option<TokenBucket>,
}

impl Buckets {
    /// Full ones; `None` without a limit.
    pub(crate) fn of(limits: Limits) -> Option<Box<Buckets>> {
        let Limits { ingress, egress } = limits;
        let any = ingress.is_some() || egress.is_some();
        any.then(|| {
            Box::new(Buckets { ingress: ingress.map(TokenBucket::full), egress: egress.map(TokenBucket::full) })
        })
    }
}

/// Takes out of the burst what does not pass; the others stay in their order. Returns how many packets that were.
#[cold]
pub(crate) fn thin_out(
    burst: &mut Burst,
    bucket: &mut TokenBucket,
    umem: &Umem,
    pool: &mut Pool,
    mtu: u16,
    now: Time,
) -> u64 {
    let Burst { segments, packets } = burst;
    let before = packets.len();
    let (mut from, mut kept) = (0, 0);
    packets.retain(|packet| {
        let chain = from..from + usize::from(packet.segments);
        from = chain.end;
        let Some(head) = segments.get(chain.start) else { return false };
        let passes = bucket.admits(now, wire_len(umem.bytes(head), packet.len as usize, mtu));
        if passes {
            // Those that do not pass gather behind.
            for at in chain {
                segments.swap(kept, at);
                kept += 1;
            }
        }
        passes
    });
    segments.drain(kept..).for_each(|segment| pool.give_segment(segment));
    (before - packets.len()) as u64
}
