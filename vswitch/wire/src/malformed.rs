//! Why bytes are not the header they were taken for.

use std::fmt;

/// The header that was being read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Layer {
    /// Ethernet II.
    Ethernet,
    /// ARP.
    Arp,
    /// IPv4.
    Ipv4,
    /// The fixed IPv6 header.
    Ipv6,
    /// An IPv6 extension header.
    Ipv6Extension,
    /// ICMP for IPv4.
    Icmpv4,
    /// ICMP for IPv6.
    Icmpv6,
    /// Neighbour discovery.
    Ndp,
    /// UDP.
    Udp,
    /// TCP.
    Tcp,
    /// SCTP.
    Sctp,
    /// VXLAN.
    Vxlan,
    /// Geneve.
    Geneve,
}

impl fmt::Display for Layer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Ethernet => "Ethernet",
            Self::Arp => "ARP",
            Self::Ipv4 => "IPv4",
            Self::Ipv6 => "IPv6",
            Self::Ipv6Extension => "IPv6 extension",
            Self::Icmpv4 => "ICMPv4",
            Self::Icmpv6 => "ICMPv6",
            Self::Ndp => "neighbour discovery",
            Self::Udp => "UDP",
            Self::Tcp => "TCP",
            Self::Sctp => "SCTP",
            Self::Vxlan => "VXLAN",
            Self::Geneve => "Geneve",
        })
    }
}

/// Why a header was refused. Small and `Copy`: it is made on the packet path. Lengths are in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Malformed {
    /// Fewer bytes than the header takes.
    #[error("{layer} header takes {need} bytes, {have} are there")]
    Truncated {
        /// Whose header.
        layer: Layer,
        /// Bytes the header takes.
        need: u32,
        /// Bytes there are.
        have: u32,
    },
    /// The version field contradicts the ethertype.
    #[error("{layer} header carries version {version}")]
    BadVersion {
        /// Whose header.
        layer: Layer,
        /// The version it carries.
        version: u8,
    },
    /// The header length is below the protocol's least, or not one it can express.
    #[error("{layer} header gives its own length as {length}")]
    BadHeaderLength {
        /// Whose header.
        layer: Layer,
        /// The length it gives.
        length: u32,
    },
    /// The length of header and payload is shorter than the header or longer than what holds it.
    #[error("{layer} header gives {length} bytes for itself and its payload, the space holds {have}")]
    BadTotalLength {
        /// Whose header.
        layer: Layer,
        /// The length it gives.
        length: u32,
        /// Bytes there are.
        have: u32,
    },
    /// ARP for something other than IPv4 over Ethernet.
    #[error("ARP for hardware type {hardware} and protocol {protocol:#06x}, not for IPv4 over Ethernet")]
    BadArpSpace {
        /// The hardware type (1 is Ethernet).
        hardware: u16,
        /// The protocol type (0x0800 is IPv4).
        protocol: u16,
    },
    /// A message type that this view is not for.
    #[error("{layer} view over a message of type {value}")]
    WrongType {
        /// Whose view.
        layer: Layer,
        /// The type found.
        value: u8,
    },
    /// An option of length zero or one that runs past its header.
    #[error("{layer} option at byte {at} has length {length}")]
    BadOption {
        /// Whose option.
        layer: Layer,
        /// Where it starts, from the start of the options.
        at: u16,
        /// The length it gives.
        length: u16,
    },
    /// A flag that must be set is not, or one is set with which the packet is not for who reads it.
    #[error("{layer} header with flags {flags:#04x}, which is not one to be read on")]
    BadFlags {
        /// Whose header.
        layer: Layer,
        /// The flags.
        flags: u8,
    },
    /// An option that must be understood to read on. None is.
    #[error("{layer} header with a critical option")]
    CriticalOption {
        /// Whose header.
        layer: Layer,
    },
    /// More extension headers than are followed.
    #[error("more than {limit} IPv6 extension headers")]
    TooManyExtensions {
        /// How many are followed.
        limit: u8,
    },
    /// A hop-by-hop header that is not the first extension header (RFC 8200 section 4.1).
    #[error("IPv6 hop-by-hop header that is not the first extension header")]
    MisplacedHopByHop,
    /// A fragment that would make a packet longer than 65,535 bytes.
    #[error("{layer} fragment at offset {offset} with {length} bytes ends past the longest packet")]
    FragmentPastEnd {
        /// Whose fragment.
        layer: Layer,
        /// Where it starts in the original payload.
        offset: u16,
        /// How many bytes it carries.
        length: u32,
    },
}

impl Malformed {
    #[cold]
    #[inline(never)]
    pub(crate) fn truncated(layer: Layer, need: usize, have: usize) -> Self {
        Self::Truncated { layer, need: clamp(need), have: clamp(have) }
    }

    #[cold]
    #[inline(never)]
    pub(crate) fn total_length(layer: Layer, length: usize, have: usize) -> Self {
        Self::BadTotalLength { layer, length: clamp(length), have: clamp(have) }
    }

    #[cold]
    #[inline(never)]
    pub(crate) fn header_length(layer: Layer, length: usize) -> Self {
        Self::BadHeaderLength { layer, length: clamp(length) }
    }
}

fn clamp(length: usize) -> u32 {
    u32::try_from(length).unwrap_or(u32::MAX)
}
