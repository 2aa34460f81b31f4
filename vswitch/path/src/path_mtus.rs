//! What routers have said of the paths to destinations, so that the first super-frame of a new connection over a narrow link is not
//! lost for finding it out again.

use core::fmt;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::atomic::{AtomicBool, Ordering};

use sluice_connections::{Affinity, Tick};
use sluice_wire::parse::L3;
use sluice_wire::{ipv4, ipv6, tcp};

/// Destinations that are remembered; the longest unheard of make room.
const DESTINATIONS: u32 = 1024;

/// Seconds for which it is believed: the path may become a wider one (RFC 1191 section 6.3; Linux' `mtu_expires`).
const BELIEVED: u32 = 600;

/// Path MTUs by destination, shared by the workers. They are kept as session affinity is: an address of a client there is a
/// destination here, and the port is the MTU.
pub(crate) struct PathMtus {
    kept: Affinity,
    /// Whether there ever was one: most nodes have no narrow link, and look no further.
    any: AtomicBool,
}

impl PathMtus {
    /// None known. `seed` keeps others from choosing which destinations push out which.
    pub(crate) fn new(seed: u64) -> Self {
        Self { kept: Affinity::new(DESTINATIONS, seed), any: AtomicBool::new(false) }
    }

    /// A router said that packets to `destination` may be `mtu` bytes long.
    pub(crate) fn put(&self, destination: IpAddr, mtu: u16, now: Tick) {
        self.kept.put(destination, 0, (Ipv4Addr::UNSPECIFIED.into(), mtu), now);
        self.any.store(true, Ordering::Relaxed);
    }

    /// These, if there ever was one.
    pub(crate) fn if_any(&self) -> Option<&Self> {
        self.any.load(Ordering::Relaxed).then_some(self)
    }

    /// The segment size of a TCP connection between these two that every known path takes, in bytes with options (RFC 6691); `None`
    /// where nothing is known.
    pub(crate) fn mss(&self, ends: [IpAddr; 2], now: Tick) -> Option<u16> {
        if !self.any.load(Ordering::Relaxed) {
            return None;
        }
        let mtus = ends.into_iter().filter_map(|end| Some(self.kept.find(end, 0, now, BELIEVED)?.1));
        mtus.min().map(|mtu| segment_size(mtu, if ends[0].is_ipv4() { L3::Ipv4 } else { L3::Ipv6 }))
    }
}

impl fmt::Debug for PathMtus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PathMtus").finish_non_exhaustive()
    }
}

/// The segment size that makes packets of `mtu` bytes; it counts options as payload (RFC 6691).
pub(crate) fn segment_size(mtu: u16, l3: L3) -> u16 {
    let headers = tcp::HEADER_LEN + if l3 == L3::Ipv4 { ipv4::HEADER_LEN } else { ipv6::HEADER_LEN };
    mtu.saturating_sub(headers as u16)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: u32 = 60 * sluice_connections::TICKS_PER_SECOND;

    #[test]
    fn the_narrower_of_both_ways_counts_for_ten_minutes() {
        let mtus = PathMtus::new(1);
        let [near, far, other]: [IpAddr; 3] = [[10, 0, 0, 1].into(), [10, 0, 0, 2].into(), [10, 0, 0, 3].into()];
        assert_eq!(mtus.mss([near, far], Tick(0)), None);
        mtus.put(far, 1300, Tick(0));
        mtus.put(near, 1200, Tick(MINUTE));
        assert_eq!(mtus.mss([near, far], Tick(MINUTE)), Some(1160));
        assert_eq!(mtus.mss([other, far], Tick(MINUTE)), Some(1260));
        assert_eq!(mtus.mss([other, other], Tick(MINUTE)), None);
        assert_eq!(mtus.mss([other, far], Tick(11 * MINUTE)), None, "the path may be another by now");
        mtus.put(far, 1400, Tick(11 * MINUTE));
        assert_eq!(mtus.mss([other, far], Tick(11 * MINUTE)), Some(1360));
    }

    #[test]
    fn ipv6_has_the_longer_header() {
        let mtus = PathMtus::new(1);
        let far: IpAddr = std::net::Ipv6Addr::LOCALHOST.into();
        mtus.put(far, 1280, Tick(0));
        assert_eq!(mtus.mss([far, far], Tick(0)), Some(1220));
    }
}
