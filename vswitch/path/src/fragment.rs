//! Third stage: of which connection is a fragment? Only the first of a packet's fragments has ports; the others are told
//! them, or wait.

use sluice_wire::parse::Fragment;

use crate::Time;
use crate::connection::ports;
use crate::exit::Exit;
use crate::fragments::{Fragments, Later, Piece, Ports};
use crate::origin::Arrival;

/// The ports of a later fragment, and the protocol that only its first one tells; `None` for a packet that has its own.
#[inline]
pub(crate) fn run<'t>(
    fragments: &mut Fragments,
    now: Time,
    head: &[u8],
    arrival: &Arrival<'t>,
) -> Result<Option<Ports>, Exit<'t>> {
    if arrival.ip.headers.fragment == Fragment::None {
        return Ok(None);
    }
    remember(fragments, now, head, arrival)
}

#[cold]
fn remember<'t>(
    fragments: &mut Fragments,
    now: Time,
    head: &[u8],
    arrival: &Arrival<'t>,
) -> Result<Option<Ports>, Exit<'t>> {
    let headers = &arrival.ip.headers;
    let piece = Piece::of(head, headers)?;
    if headers.fragment == Fragment::First {
        let (source, destination) = ports(head, &arrival.ip);
        fragments.first(now, &piece, Ports { source, destination, protocol: headers.protocol })?;
        return Ok(None);
    }
    match fragments.later(now, &piece) {
        Later::Known(ports) => Ok(Some(ports)),
        Later::Park(slot) => Err(Exit::Park(slot)),
        Later::Drop(reason) => Err(reason.into()),
    }
}
