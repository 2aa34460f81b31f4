//! How large a table is, and how long connections stay.

use crate::State;
use crate::place::MAX_RECORDS;
use crate::tick::TICKS_PER_SECOND;

/// Size, shares, seed and timeouts of a table. Impossible values are brought into range, see each field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Config {
    /// Most connections at once, both families together; 1 to 2^30.
    pub capacity: u32,
    /// Most connections that one owner may have, so that a flood of one pod leaves room for the others; 0 means a
    /// quarter of the capacity (at least 1). [`crate::Owner::NODE`] is not bound by it, but by three quarters.
    pub pod_share: u32,
    /// Owners that are counted one by one; those from this number on share the last count. 1 to 65535.
    pub owners: u16,
    /// Secret of the hash, so that nobody outside can choose tuples that fall into one bucket. Adopted memory keeps
    /// the seed that it was formatted with.
    pub seed: u64,
    /// How long an idle connection stays.
    pub timeouts: Timeouts,
}

impl Default for Config {
    fn default() -> Config {
        Config { capacity: 1_000_000, pod_share: 0, owners: 4096, seed: 0, timeouts: Timeouts::default() }
    }
}

impl Config {
    /// The same with every value in its range.
    pub(crate) fn in_range(self) -> Config {
        let capacity = self.capacity.clamp(1, MAX_RECORDS);
        let pod_share = if self.pod_share == 0 { (capacity / 4).max(1) } else { self.pod_share };
        Config { capacity, pod_share, owners: self.owners.max(1), ..self }
    }
}

/// Seconds for which a connection stays after its last packet, by state; at most 2^27 (four years), more is taken as
/// that.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// TCP before the handshake is through, and picked up in the middle until the other side is heard.
    pub tcp_syn: u32,
    /// TCP established.
    pub tcp_established: u32,
    /// TCP after the FIN of one side.
    pub tcp_closing: u32,
    /// TCP after the FINs of both sides.
    pub tcp_closed: u32,
    /// TCP after a RST.
    pub tcp_reset: u32,
    /// UDP, and SCTP, with no packet back yet.
    pub udp_unreplied: u32,
    /// UDP with packets both ways.
    pub udp_replied: u32,
    /// ICMP and ICMPv6 echo.
    pub icmp: u32,
    /// SCTP with packets both ways.
    pub sctp: u32,
    /// Any other protocol.
    pub other: u32,
}

impl Default for Timeouts {
    /// As Linux has them (Documentation/networking/nf_conntrack-sysctl.rst).
    fn default() -> Timeouts {
        Timeouts {
            tcp_syn: 120,
            tcp_established: 432_000,
            tcp_closing: 120,
            tcp_closed: 120,
            tcp_reset: 10,
            udp_unreplied: 30,
            udp_replied: 120,
            icmp: 30,
            sctp: 210,
            other: 600,
        }
    }
}

impl Timeouts {
    /// Seconds for which a connection of that state may be idle.
    #[must_use]
    pub const fn of(&self, state: State) -> u32 {
        match state {
            State::TcpSynSent | State::TcpSynReceived | State::TcpPickedUp => self.tcp_syn,
            State::TcpEstablished => self.tcp_established,
            State::TcpClosingOriginal | State::TcpClosingReply => self.tcp_closing,
            State::TcpClosed | State::TcpReopen => self.tcp_closed,
            State::TcpReset => self.tcp_reset,
            State::UdpUnreplied | State::SctpUnreplied => self.udp_unreplied,
            State::UdpReplied => self.udp_replied,
            State::SctpReplied => self.sctp,
            State::Icmp => self.icmp,
            State::Other => self.other,
        }
    }

    /// The same in ticks.
    pub(crate) fn ticks(&self, state: State) -> u32 {
        self.of(state).min(1 << 27).saturating_mul(TICKS_PER_SECOND).min(i32::MAX as u32)
    }
}
