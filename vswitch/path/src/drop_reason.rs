//! Why a packet was not delivered: a closed list with numbers that never change their meaning.

use core::fmt;

/// Declares the list once: variant, number, name and meaning cannot drift apart.
macro_rules! drop_reasons {
    ($($(#[doc = $meaning:literal])+ $variant:ident = $number:literal, $name:literal;)+) => {
        /// Why a packet was not delivered. Numbers are never reused: a reason that is retired leaves a hole, because
        /// dashboards and captures outlive the program. `docs/path.md` lists them and a test holds it to this list.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(u8)]
        pub enum DropReason {
            $($(#[doc = $meaning])+ $variant = $number,)+
        }

        impl DropReason {
            /// Every reason, by rising number.
            pub const ALL: &'static [DropReason] = &[$(DropReason::$variant),+];

            /// Name for metrics and the command line, snake_case.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self {
                    $(DropReason::$variant => $name,)+
                }
            }
        }
    };
}

drop_reasons! {
    /// No stage decided. A packet starts so; a count here is a bug of the path.
    Undecided = 0, "undecided";
    /// The descriptor's bounds lie outside its frame.
    BadDescriptor = 1, "bad_descriptor";
    /// It came from a port that the current tables do not have (just removed).
    UnknownPort = 2, "unknown_port";
    /// The frame, or its first buffer, ends before a header does.
    Truncated = 3, "truncated";
    /// Header fields contradict each other or the frame's length.
    Malformed = 4, "malformed";
    /// A VLAN tag: pods and the host send none.
    Vlan = 5, "vlan";
    /// An ethertype that is neither ARP, IPv4 nor IPv6.
    UnsupportedEthertype = 6, "unsupported_ethertype";
    /// The IPv4 header checksum is wrong.
    BadIpChecksum = 7, "bad_ip_checksum";
    /// A chain of frames is longer than the IP packet in it.
    TrailingBytes = 8, "trailing_bytes";
    /// The source MAC is not the port's.
    SpoofedMac = 9, "spoofed_mac";
    /// The source address is none of the pod's; or, from the host, a pod's or the gateway's.
    SpoofedAddress = 10, "spoofed_address";
    /// The sender MAC or address in an ARP packet is not the port's.
    SpoofedArp = 11, "spoofed_arp";
    /// An ARP probe (sender address 0.0.0.0, RFC 5227).
    ArpProbe = 12, "arp_probe";
    /// A gratuitous ARP (sender and target address are the same).
    ArpGratuitous = 13, "arp_gratuitous";
    /// An ARP request for another address than the gateway's.
    ArpNotGateway = 14, "arp_not_gateway";
    /// An ARP operation other than a request.
    ArpNotRequest = 15, "arp_not_request";
    /// Duplicate address detection: a neighbour solicitation from `::`.
    Dad = 16, "dad";
    /// A neighbour solicitation for another address than the gateway's.
    NeighbourNotGateway = 17, "neighbour_not_gateway";
    /// A neighbour solicitation that RFC 4861 section 7.1.1 tells to discard.
    NeighbourInvalid = 18, "neighbour_invalid";
    /// A router solicitation: addresses and routes come from the CNI plugin.
    RouterSolicitation = 19, "router_solicitation";
    /// Another neighbour discovery message (an advertisement or a redirect).
    NeighbourOther = 20, "neighbour_other";
    /// Multicast listener discovery.
    MulticastListener = 21, "multicast_listener";
    /// Sent to the broadcast MAC.
    Broadcast = 22, "broadcast";
    /// Sent to a multicast MAC.
    Multicast = 23, "multicast";
    /// Sent to a unicast MAC that is not the gateway's.
    NotForGateway = 24, "not_for_gateway";
    /// A link-local source on its way beyond the gateway.
    LinkLocalSource = 25, "link_local_source";
    /// A destination that no router forwards to: this-network, loopback, IPv6 link-local, multicast, reserved.
    Martian = 26, "martian";
    /// A fragment addressed to the gateway, which reassembles nothing.
    GatewayFragment = 27, "gateway_fragment";
    /// ICMP to the gateway other than an echo request.
    GatewayIcmp = 28, "gateway_icmp";
    /// UDP or TCP to the gateway; answered with port unreachable.
    GatewayPort = 29, "gateway_port";
    /// Another protocol to the gateway; answered with protocol unreachable.
    GatewayProtocol = 30, "gateway_protocol";
    /// An address in a podCIDR that no pod has; answered with host or address unreachable.
    NoSuchPod = 31, "no_such_pod";
    /// No port leads there; answered with network unreachable.
    NoRoute = 32, "no_route";
    /// It would leave by the port it came from.
    SamePort = 33, "same_port";
    /// TTL or hop limit ran out; answered with time exceeded.
    TtlExpired = 34, "ttl_expired";
    /// Longer than the path MTU and not to be fragmented; answered with fragmentation needed or packet too big.
    TooBig = 35, "too_big";
    /// Longer than the path MTU without DF: the sender left fragmenting to the switch, which does none.
    NeedsFragmenting = 36, "needs_fragmenting";
    /// The frame has no room for the reply.
    NoRoom = 37, "no_room";
    /// From the host, a source that no host has: unspecified, loopback, multicast or broadcast (RFC 1812 section 5.3.7).
    MartianSource = 38, "martian_source";
    /// A tunnel packet whose outer source is no node of the cluster.
    TunnelPeer = 39, "tunnel_peer";
    /// A tunnel packet of another virtual network than ours.
    TunnelVni = 40, "tunnel_vni";
    /// A tunnel packet whose headers contradict each other, or that carries something other than an IP packet.
    TunnelMalformed = 41, "tunnel_malformed";
    /// A tunnel packet whose inner destination MAC is not this node's.
    TunnelMac = 42, "tunnel_mac";
    /// A tunnel packet whose inner source does not belong to the node that sent it.
    TunnelSpoofed = 43, "tunnel_spoofed";
    /// A Service without a usable endpoint in the whole cluster; answered with port unreachable.
    ServiceNoEndpoints = 44, "service_no_endpoints";
    /// A Service's address on a port that no Service has; answered with port unreachable.
    ServiceNoPort = 45, "service_no_port";
    /// An address in a Service range that no Service has.
    ServiceUnallocated = 46, "service_unallocated";
    /// A Service whose traffic policy is Local, with endpoints elsewhere but none here.
    ServiceNoLocalEndpoints = 47, "service_no_local_endpoints";
    /// A client outside the Service's `loadBalancerSourceRanges`.
    ServiceSourceRange = 48, "service_source_range";
    /// The source pod's policies do not allow it.
    PolicyEgress = 49, "policy_egress";
    /// The destination pod's policies do not allow it.
    PolicyIngress = 50, "policy_ingress";
    /// The connection table has no room.
    ConnectionsFull = 51, "connections_full";
    /// The pod, or the node with the outside, has used up its share of the connection table.
    ConnectionShare = 52, "connection_share";
    /// No free port, or no node address, to masquerade with.
    MasqueradePorts = 53, "masquerade_ports";
    /// The MAC of the next hop is not known; it is being asked for.
    NeighbourMissing = 54, "neighbour_missing";
    /// No room to keep fragments together.
    FragmentsFull = 55, "fragments_full";
    /// A fragment that overlaps another, and with it its whole packet (RFC 5722).
    FragmentOverlap = 56, "fragment_overlap";
    /// A fragment whose first one did not come in time.
    FragmentTimeout = 57, "fragment_timeout";
    /// An ICMP error about a packet of no known connection.
    IcmpUnmatched = 58, "icmp_unmatched";
    /// An ICMP error whose quote cannot be read.
    IcmpQuote = 59, "icmp_quote";
    /// TCP flags that no host sends together, or a reset of a connection to a Service that is not known.
    TcpInvalid = 60, "tcp_invalid";
    /// It should leave over the uplink, which is not attached.
    NoUplink = 61, "no_uplink";
    /// The endpoint of its connection is gone.
    BackendGone = 62, "backend_gone";
    /// A pod sends to a node's tunnel port.
    TunnelFromPod = 63, "tunnel_from_pod";
    /// The tx ring of the port it was forwarded to had no room, also after a kick.
    TxRingFull = 64, "tx_ring_full";
    /// The port it was forwarded to is in the tables but on no worker (being attached or removed).
    PortNotAttached = 65, "port_not_attached";
    /// The ring to the worker that owns the port it was forwarded to had no room.
    HandoffFull = 66, "handoff_full";
    /// It came in more frames than a packet may have.
    ChainTooLong = 67, "chain_too_long";
    /// It has more frames than the port it was forwarded to takes (multi-buffer is off).
    ChainRefused = 68, "chain_refused";
    /// One of its descriptors led outside the packet memory, or to a frame that was not given to its port.
    BadChain = 69, "bad_chain";
    /// It had to be cut into segments, and there were not enough free frames for them.
    NoFrame = 70, "no_frame";
    /// It was to wait for others in a place that is taken. A count here is a bug of the path.
    ParkedFull = 71, "parked_full";
    /// Its pod receives more than it may.
    BandwidthIngress = 72, "bandwidth_ingress";
    /// Its pod sends more than it may.
    BandwidthEgress = 73, "bandwidth_egress";
}

impl DropReason {
    /// Reasons from this number on are the worker's: before the path has seen the packet, or after it decided to forward it.
    pub const FIRST_OF_WORKER: usize = 64;

    /// Length of an array indexed by [`DropReason::index`]: one more than the highest number, holes included.
    pub const COUNT: usize = Self::ALL[Self::ALL.len() - 1].index() + 1;

    /// Position in an array of [`DropReason::COUNT`] entries.
    #[must_use]
    #[inline]
    pub const fn index(self) -> usize {
        self as usize
    }
}

impl fmt::Display for DropReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::DropReason;

    #[test]
    fn numbers_rise_and_names_are_unique() {
        assert!(DropReason::ALL.windows(2).all(|pair| pair[0].index() < pair[1].index()));
        for (position, reason) in DropReason::ALL.iter().enumerate() {
            assert!(reason.index() < DropReason::COUNT);
            assert!(reason.name().bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_'));
            assert!(DropReason::ALL[position + 1..].iter().all(|other| other.name() != reason.name()));
        }
    }
}
