//! What a connection's record keeps for the path besides its actions.

use crate::origin::Origin;

/// How the connection's first packet came: two bits.
const ORIGIN: u16 = 0b11;
/// From a pod of this node.
pub(crate) const FROM_POD: u16 = 0;
/// From the node's own stack.
pub(crate) const FROM_HOST: u16 = 1;
/// Through a tunnel.
pub(crate) const FROM_TUNNEL: u16 = 2;
/// Over the uplink. The last of the two bits' values: whoever reads them takes it for the rest.
pub(crate) const FROM_UPLINK: u16 = 3;
/// The destination was a Service's.
pub(crate) const SERVICE: u16 = 1 << 2;
/// The source is hidden behind another address.
pub(crate) const MASQUERADED: u16 = 1 << 3;
/// Either direction is translated.
const TRANSLATED: u16 = 1 << 4;

/// The record's flags.
#[inline]
pub(crate) fn flags(origin: Origin, service: bool, masqueraded: bool, translated: bool) -> u16 {
    let from = match origin {
        Origin::Pod => FROM_POD,
        Origin::Host => FROM_HOST,
        Origin::Tunnel(_) => FROM_TUNNEL,
        Origin::Uplink => FROM_UPLINK,
    };
    let flag = |is: bool, flag: u16| if is { flag } else { 0 };
    from | flag(service, SERVICE) | flag(masqueraded, MASQUERADED) | flag(translated, TRANSLATED)
}

/// The same, of a connection from a pod of this node or else out of a tunnel, whose client is not hidden: what a Service leads
/// elsewhere is translated.
#[inline]
pub(crate) const fn opened(from_pod: bool, service: bool) -> u16 {
    let from = if from_pod { FROM_POD } else { FROM_TUNNEL };
    if service { from | SERVICE | TRANSLATED } else { from }
}

/// How the first packet came: one of the `FROM_` values.
#[inline]
pub(crate) const fn origin(flags: u16) -> u16 {
    flags & ORIGIN
}

/// Whether packets of the connection have to be translated.
#[inline]
pub(crate) const fn is_translated(flags: u16) -> bool {
    flags & TRANSLATED != 0
}
