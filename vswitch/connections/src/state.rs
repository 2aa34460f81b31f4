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
    /// Either side has sent a RST.
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

    /// Whether no more packets are due: both FINs or a RST have been seen.
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
