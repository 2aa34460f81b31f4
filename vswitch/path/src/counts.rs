//! What the path counts. Plain integers with one owner, the worker; publishing them is the worker's affair.

use crate::DropReason;

/// Declares the counters once: fields, names and their order in an array cannot drift apart.
macro_rules! counts {
    ($(#[$meta:meta])* $name:ident { $($(#[$doc:meta])* $field:ident,)+ }) => {
        $(#[$meta])*
        #[derive(Clone, Debug, PartialEq, Eq)]
        pub struct $name {
            $($(#[$doc])* pub $field: u64,)+
            /// Packets dropped, by [`DropReason::index`].
            pub drops: [u64; DropReason::COUNT],
        }

        impl $name {
            /// Names of all counters but `drops`, in the order of [`Counts::values`].
            pub const NAMES: &'static [&'static str] = &[$(stringify!($field)),+];

            /// All zero.
            #[must_use]
            pub const fn new() -> Self {
                Self { $($field: 0,)+ drops: [0; DropReason::COUNT] }
            }

            /// All counters but `drops`.
            #[must_use]
            pub const fn values(&self) -> [u64; Self::NAMES.len()] {
                [$(self.$field),+]
            }

            /// What [`Counts::values`] gave, and the drops.
            #[must_use]
            pub const fn from_values(values: [u64; Self::NAMES.len()], drops: [u64; DropReason::COUNT]) -> Self {
                let [$($field),+] = values;
                Self { $($field,)+ drops }
            }
        }
    };
}

counts! {
    /// Counters of one worker's path since it started.
    ///
    /// Each packet is counted in `received` and in exactly one other place: `forwarded`, `punted`, `parked`, one of the
    /// replies, or one entry of `drops`. ICMP errors and resets are not among these: the packet that one is about is in
    /// `drops` under its reason, whether or not an error went out. Hence [`Counts::is_balanced`].
    Counts {
        /// Packets given to [`crate::Path::run`]; one that was parked and runs again counts once.
        received,
        /// Packets sent on to another port.
        forwarded,
        /// Bytes of the packets sent on to another port, Ethernet and tunnel headers included.
        forwarded_bytes,
        /// ARP requests for the gateway that were answered.
        arp_replies,
        /// Neighbour solicitations for the gateway that were answered.
        neighbour_replies,
        /// Echo requests to the gateway that were answered, IPv4 and IPv6.
        echo_replies,
        /// ICMP errors sent, IPv4 and IPv6.
        icmp_errors,
        /// ICMP errors and resets that were due but not sent for want of a token or of room.
        icmp_errors_withheld,
        /// TCP resets sent for connections whose endpoint is gone.
        resets,
        /// Packets from the uplink that were given to the host, being none of ours.
        punted,
        /// Packets that wait for the first fragment of theirs. The one number here that also falls.
        parked,
        /// Packets of a known connection.
        connection_hits,
        /// Packets for which a connection was looked for and not found.
        connection_misses,
        /// Connections made.
        connections_new,
        /// Connections taken out: their time was up, or a change forbade them.
        connections_gone,
        /// Times a connection was decided again under a newer generation.
        decided_again,
        /// Forwarded packets whose addresses or ports were translated.
        translated,
        /// Packets sent into a tunnel.
        encapsulated,
        /// Packets taken out of a tunnel.
        decapsulated,
    }
}

impl Counts {
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
        let sent = self.forwarded + self.punted + self.replies();
        self.received == sent + self.parked + self.dropped_in_all() - self.dropped_by_worker()
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

#[cfg(test)]
mod tests {
    use super::Counts;
    use crate::DropReason;

    #[test]
    fn values_go_out_and_come_back_in_one_order() {
        let counts = Counts { received: 1, punted: 3, decapsulated: 9, ..Counts::new() };
        let drops = [2; DropReason::COUNT];
        let back = Counts::from_values(counts.values(), drops);
        assert_eq!(back, Counts { drops, ..counts });
        assert_eq!((Counts::NAMES[0], Counts::NAMES[9], counts.values()[9]), ("received", "punted", 3));
    }
}
