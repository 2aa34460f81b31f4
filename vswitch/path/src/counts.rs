//! What the path counts. Plain integers with one owner, the worker; publishing them is the worker's affair.

use crate::DropReason;

/// Counters of one worker's path since it started.
///
/// Each packet is counted in `received` and in exactly one other place: `forwarded`, one of the replies, or one entry
/// of `drops`. ICMP errors are not among these: the packet that one is about is in `drops` under its reason, whether or
/// not an error went out. Hence [`Counts::is_balanced`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Counts {
    /// Packets given to [`crate::Path::run`].
    pub received: u64,
    /// Packets sent on to another port.
    pub forwarded: u64,
    /// Bytes of the packets sent on to another port, Ethernet header included.
    pub forwarded_bytes: u64,
    /// ARP requests for the gateway that were answered.
    pub arp_replies: u64,
    /// Neighbour solicitations for the gateway that were answered.
    pub neighbour_replies: u64,
    /// Echo requests to the gateway that were answered, IPv4 and IPv6.
    pub echo_replies: u64,
    /// ICMP errors sent, IPv4 and IPv6.
    pub icmp_errors: u64,
    /// ICMP errors that were due but not sent for want of a token or of room.
    pub icmp_errors_withheld: u64,
    /// Packets dropped, by [`DropReason::index`].
    pub drops: [u64; DropReason::COUNT],
}

impl Counts {
    /// All zero.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            received: 0,
            forwarded: 0,
            forwarded_bytes: 0,
            arp_replies: 0,
            neighbour_replies: 0,
            echo_replies: 0,
            icmp_errors: 0,
            icmp_errors_withheld: 0,
            drops: [0; DropReason::COUNT],
        }
    }

    /// Packets dropped for `reason`.
    #[must_use]
    pub fn dropped(&self, reason: DropReason) -> u64 {
        self.drops[reason.index()]
    }

    /// Packets dropped for any reason.
    #[must_use]
    pub fn dropped_in_all(&self) -> u64 {
        self.drops.iter().sum()
    }

    /// Packets turned into a reply.
    #[must_use]
    pub fn replies(&self) -> u64 {
        self.arp_replies + self.neighbour_replies + self.echo_replies
    }

    /// Whether every packet that came in is accounted for exactly once.
    #[must_use]
    pub fn is_balanced(&self) -> bool {
        self.received == self.forwarded + self.replies() + self.dropped_in_all() - self.dropped_by_worker()
    }

    /// Packets that the worker dropped: before the path saw them, or after it had counted them as forwarded or replied to.
    #[must_use]
    pub fn dropped_by_worker(&self) -> u64 {
        self.drops[DropReason::FIRST_OF_WORKER..].iter().sum()
    }

    /// Counts one packet dropped for `reason`.
    #[inline]
    pub fn count_drop(&mut self, reason: DropReason) {
        self.drops[reason.index()] += 1;
    }
}

impl Default for Counts {
    fn default() -> Self {
        Self::new()
    }
}
