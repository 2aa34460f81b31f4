//! Where a connection is in its life, and what a packet changes about it.
//!
//! Liberal on purpose: sequence numbers are not followed, and what the switch has not seen it takes to have happened,
//! so that connections go on after a restart and where one direction takes another way. Nonsense flags change
//! nothing or little; refusing such segments is the path's affair.

use crate::Direction;

/// What of a packet moves the state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Segment {
    /// A TCP segment.
    Tcp {
        /// The flags as in the header's 14th byte (RFC 9293 section 3.1).
        flags: u8,
    },
    /// Anything else, TCP fragments without a header included.
    Other,
}

const FIN: u8 = 0x01;
const SYN: u8 = 0x02;
const RST: u8 = 0x04;
const ACK: u8 = 0x10;

const ICMP: u8 = 1;
const TCP: u8 = 6;
const UDP: u8 = 17;
const ICMPV6: u8 = 58;
const SCTP: u8 = 132;

/// Where a connection is in its life. Each state has its timeout ([`crate::Timeouts::of`]).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum State {
    /// The original side has sent its SYN.
    TcpSynSent = 1,
    /// The reply side has answered it (or has sent a SYN of its own: simultaneous open).
    TcpSynReceived = 2,
    /// The handshake is through, or both sides of a connection picked up in the middle have been heard.
    TcpEstablished = 3,
    /// Picked up in the middle and the other side not heard yet. Treated as established, but short-lived: else a
    /// flood of bare segments would fill the table for days.
    TcpPickedUp = 4,
    /// The original side has sent its FIN.
    TcpClosingOriginal = 5,
    /// The reply side has sent its FIN.
    TcpClosingReply = 6,
    /// Both sides have sent their FIN.
    TcpClosed = 7,
    /// Either side has sent a RST, or somebody in its name: whoever knows the ports can, as sequence numbers are not followed. So the
    /// connection is kept for a while, and goes on if its two ends do.
    TcpReset = 8,
    /// UDP in one direction so far.
    UdpUnreplied = 9,
    /// UDP both ways.
    UdpReplied = 10,
    /// SCTP in one direction so far.
    SctpUnreplied = 11,
    /// SCTP both ways.
    SctpReplied = 12,
    /// ICMP or ICMPv6 echo.
    Icmp = 13,
    /// Another protocol.
    Other = 14,
    /// Only ever returned, never kept: a SYN has come for a connection that is over. Remove it and treat the packet
    /// as the first of a new connection.
    TcpReopen = 15,
}

impl State {
    /// The state after a connection's first packet.
    #[must_use]
    #[inline]
    pub const fn first(protocol: u8, segment: Segment) -> State {
        match protocol {
            TCP => match segment {
                Segment::Tcp { flags } if flags & RST != 0 => State::TcpReset,
                Segment::Tcp { flags } if flags & (SYN | ACK) == SYN => State::TcpSynSent,
                Segment::Tcp { flags } if flags & (SYN | FIN) == FIN => State::TcpClosingOriginal,
                _ => State::TcpPickedUp,
            },
            UDP => State::UdpUnreplied,
            SCTP => State::SctpUnreplied,
            ICMP | ICMPV6 => State::Icmp,
            _ => State::Other,
        }
    }

    /// The state after one more packet.
    #[must_use]
    #[inline]
    pub const fn after(self, direction: Direction, segment: Segment) -> State {
        match (self, direction) {
            // What nearly every packet meets comes first.
            (State::UdpReplied | State::SctpReplied | State::Icmp | State::Other, _) => self,
            (State::UdpUnreplied, Direction::Original) | (State::SctpUnreplied, Direction::Original) => self,
            (State::UdpUnreplied, Direction::Reply) => State::UdpReplied,
            (State::SctpUnreplied, Direction::Reply) => State::SctpReplied,
            _ => match segment {
                Segment::Other => self,
                Segment::Tcp { flags } => self.after_tcp(direction, flags),
            },
        }
    }

    #[inline]
    const fn after_tcp(self, direction: Direction, flags: u8) -> State {
        if matches!(self, State::TcpEstablished) && flags & (FIN | SYN | RST) == 0 {
            return self;
        }
        if flags & RST != 0 {
            return State::TcpReset;
        }
        if flags & SYN != 0 {
            return self.after_syn(direction, flags);
        }
        if flags & FIN != 0 {
            return self.after_fin(direction);
        }
        match (self, direction) {
            // An ACK for a SYN|ACK that took another way; the other side is still to be heard.
            (State::TcpSynSent, Direction::Original) if flags & ACK != 0 => State::TcpPickedUp,
            (State::TcpSynReceived, Direction::Original) if flags & ACK != 0 => State::TcpEstablished,
            (State::TcpPickedUp, Direction::Reply) => State::TcpEstablished,
            // Who was really reset sends no more, but for what was on its way; whoever gets that answers with a RST again.
            (State::TcpReset, Direction::Original) if flags & ACK != 0 => State::TcpPickedUp,
            _ => self,
        }
    }

    const fn after_syn(self, direction: Direction, flags: u8) -> State {
        match (self, direction) {
            (State::TcpSynSent, Direction::Reply) => State::TcpSynReceived,
            (State::TcpClosed | State::TcpReset, _) if flags & (SYN | ACK | FIN) == SYN => State::TcpReopen,
            _ => self,
        }
    }

    const fn after_fin(self, direction: Direction) -> State {
        match (self, direction) {
            (State::TcpClosed | State::TcpReset, _) => self,
            (State::TcpClosingOriginal, Direction::Reply) | (State::TcpClosingReply, Direction::Original) => {
                State::TcpClosed
            }
            (_, Direction::Original) => State::TcpClosingOriginal,
            (_, Direction::Reply) => State::TcpClosingReply,
        }
    }

    /// Whether no more packets are due: both FINs or a RST have been seen last.
    #[must_use]
    pub const fn is_over(self) -> bool {
        matches!(self, State::TcpClosed | State::TcpReset | State::TcpReopen)
    }

    /// What a record's word says, if it is a state that a connection of that protocol can be in.
    pub(crate) const fn stored(number: u8, protocol: u8) -> Option<State> {
        let state = State::decode(number);
        let fits = match protocol {
            TCP => number >= State::TcpSynSent as u8 && number <= State::TcpReset as u8,
            UDP => matches!(state, State::UdpUnreplied | State::UdpReplied),
            SCTP => matches!(state, State::SctpUnreplied | State::SctpReplied),
            ICMP | ICMPV6 => number == State::Icmp as u8,
            _ => number == State::Other as u8,
        };
        if fits { Some(state) } else { None }
    }

    /// What a live record's word says.
    #[inline]
    pub(crate) const fn decode(number: u8) -> State {
        match number {
            1 => State::TcpSynSent,
            2 => State::TcpSynReceived,
            3 => State::TcpEstablished,
            4 => State::TcpPickedUp,
            5 => State::TcpClosingOriginal,
            6 => State::TcpClosingReply,
            7 => State::TcpClosed,
            8 => State::TcpReset,
            9 => State::UdpUnreplied,
            10 => State::UdpReplied,
            11 => State::SctpUnreplied,
            12 => State::SctpReplied,
            13 => State::Icmp,
            _ => State::Other,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::State::*;
    use super::*;
    use Direction::{Original, Reply};

    const fn tcp(flags: u8) -> Segment {
        Segment::Tcp { flags }
    }

    /// The state after packets of TCP, the first of which began the connection.
    fn life(packets: &[(Direction, u8)]) -> State {
        let first = State::first(TCP, tcp(packets[0].1));
        packets[1..].iter().fold(first, |state, &(direction, flags)| state.after(direction, tcp(flags)))
    }

    const HANDSHAKE: [(Direction, u8); 3] = [(Original, SYN), (Reply, SYN | ACK), (Original, ACK)];

    /// The handshake, and then these.
    fn then(packets: &[(Direction, u8)]) -> State {
        life(&[&HANDSHAKE[..], packets].concat())
    }

    #[test]
    fn a_handshake_establishes_a_connection() {
        assert_eq!(life(&HANDSHAKE[..1]), TcpSynSent);
        assert_eq!(life(&HANDSHAKE[..2]), TcpSynReceived);
        assert_eq!(life(&HANDSHAKE), TcpEstablished);
        assert_eq!(then(&[(Reply, ACK), (Original, ACK | 8), (Original, SYN), (Reply, 0)]), TcpEstablished);
    }

    #[test]
    fn segments_sent_again_change_nothing() {
        assert_eq!(life(&[(Original, SYN), (Original, SYN)]), TcpSynSent);
        assert_eq!(life(&[(Original, SYN), (Reply, SYN | ACK), (Reply, SYN | ACK)]), TcpSynReceived);
        assert_eq!(then(&[(Original, FIN | ACK), (Original, FIN | ACK)]), TcpClosingOriginal);
        assert_eq!(then(&[(Reply, FIN | ACK), (Reply, FIN | ACK)]), TcpClosingReply);
    }

    #[test]
    fn both_sides_may_open_at_once() {
        assert_eq!(life(&[(Original, SYN), (Reply, SYN), (Original, SYN | ACK), (Original, ACK)]), TcpEstablished);
    }

    #[test]
    fn the_side_that_answered_does_not_establish_a_connection_alone() {
        assert_eq!(life(&[(Original, SYN), (Reply, SYN | ACK), (Reply, ACK)]), TcpSynReceived);
        assert_eq!(life(&[(Original, SYN), (Reply, ACK)]), TcpSynSent);
    }

    #[test]
    fn a_connection_picked_up_in_the_middle_is_established_once_the_other_side_is_heard() {
        for flags in [ACK, ACK | 8, SYN | ACK, 0] {
            assert_eq!(life(&[(Original, flags)]), TcpPickedUp, "{flags:#x}");
        }
        assert_eq!(life(&[(Original, ACK), (Original, ACK)]), TcpPickedUp);
        assert_eq!(life(&[(Original, ACK), (Reply, ACK)]), TcpEstablished);
        assert_eq!(life(&[(Original, SYN), (Original, ACK)]), TcpPickedUp, "the answer took another way");
        assert_eq!(State::first(TCP, Segment::Other), TcpPickedUp, "a fragment without a header");
        assert_eq!(life(&[(Original, FIN | ACK)]), TcpClosingOriginal);
        assert_eq!(life(&[(Original, RST)]), TcpReset);
    }

    #[test]
    fn the_fins_of_both_sides_close_a_connection() {
        assert_eq!(then(&[(Original, FIN | ACK), (Reply, ACK)]), TcpClosingOriginal);
        assert_eq!(then(&[(Original, FIN | ACK), (Reply, FIN | ACK), (Original, ACK)]), TcpClosed);
        assert_eq!(then(&[(Reply, FIN | ACK), (Original, ACK | 8), (Original, FIN | ACK)]), TcpClosed);
    }

    #[test]
    fn a_reset_ends_a_connection_from_any_state() {
        for state in [TcpSynSent, TcpSynReceived, TcpEstablished, TcpPickedUp, TcpClosingOriginal, TcpClosed] {
            for direction in [Original, Reply] {
                assert_eq!(state.after(direction, tcp(RST | ACK)), TcpReset);
            }
        }
        assert!(TcpReset.is_over() && TcpClosed.is_over() && !TcpClosingReply.is_over());
    }

    #[test]
    fn a_connection_that_goes_on_after_a_reset_was_not_reset_by_its_ends() {
        for blind in [(Original, RST), (Reply, RST | ACK)] {
            assert_eq!(then(&[blind, (Reply, ACK | 8)]), TcpReset, "one end's data may have been on its way");
            assert_eq!(then(&[blind, (Original, ACK)]), TcpPickedUp);
            assert_eq!(then(&[blind, (Reply, ACK | 8), (Original, ACK), (Reply, ACK)]), TcpEstablished);
            assert_eq!(then(&[blind, (Original, ACK), (Reply, RST)]), TcpReset, "the other end knows nothing of it");
            assert_eq!(then(&[blind, (Original, ACK | 8), (Reply, ACK), (Original, FIN | ACK)]), TcpClosingOriginal);
        }
    }

    #[test]
    fn a_syn_on_a_connection_that_is_over_asks_for_a_new_one() {
        for state in [TcpClosed, TcpReset] {
            for direction in [Original, Reply] {
                assert_eq!(state.after(direction, tcp(SYN)), TcpReopen);
                for flags in [SYN | ACK, FIN | ACK, SYN | FIN, 0] {
                    assert_eq!(state.after(direction, tcp(flags)), state, "{flags:#x}");
                }
            }
        }
        assert_eq!([TcpClosed.after(Original, tcp(ACK)), TcpClosed.after(Reply, tcp(ACK))], [TcpClosed; 2]);
        assert_eq!(then(&[(Original, FIN), (Original, SYN)]), TcpClosingOriginal, "one side is still there");
    }

    #[test]
    fn a_later_fragment_of_tcp_changes_nothing() {
        for state in [TcpSynSent, TcpEstablished, TcpClosingReply, TcpReset] {
            assert_eq!(state.after(Reply, Segment::Other), state);
        }
    }

    #[test]
    fn udp_and_sctp_know_whether_they_were_answered_and_the_rest_does_not_care() {
        for (protocol, unreplied, replied) in [(UDP, UdpUnreplied, UdpReplied), (SCTP, SctpUnreplied, SctpReplied)] {
            assert_eq!(State::first(protocol, Segment::Other), unreplied);
            assert_eq!(unreplied.after(Original, Segment::Other), unreplied);
            assert_eq!(unreplied.after(Reply, Segment::Other), replied);
            assert_eq!(replied.after(Original, Segment::Other), replied);
        }
        for (protocol, state) in [(ICMP, Icmp), (ICMPV6, Icmp), (47, Other)] {
            assert_eq!(State::first(protocol, Segment::Other), state);
            assert_eq!(state.after(Reply, Segment::Other), state);
        }
    }

    #[test]
    fn whatever_the_flags_a_state_can_be_kept_or_asks_for_a_new_connection() {
        for number in TcpSynSent as u8..=TcpReset as u8 {
            let state = State::decode(number);
            assert_eq!(state as u8, number);
            for flags in 0..=u8::MAX {
                for direction in [Original, Reply] {
                    let after = state.after(direction, tcp(flags));
                    assert!(
                        after == TcpReopen || State::stored(after as u8, TCP) == Some(after),
                        "{state:?} {flags:#x}"
                    );
                }
            }
        }
    }

    #[test]
    fn a_state_of_another_protocol_is_not_believed() {
        assert_eq!(State::stored(UdpReplied as u8, TCP), None);
        assert_eq!(State::stored(TcpEstablished as u8, UDP), None);
        assert_eq!(State::stored(0, TCP), None);
        assert_eq!(State::stored(TcpReopen as u8, TCP), None);
        assert_eq!(State::stored(Other as u8, 47), Some(Other));
        assert_eq!(State::stored(Icmp as u8, ICMPV6), Some(Icmp));
    }
}
