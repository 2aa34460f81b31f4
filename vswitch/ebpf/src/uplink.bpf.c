// SPDX-License-Identifier: GPL-2.0
// The XDP program of the node's uplink: takes what the tables claim, and passes everything else to the node's own stack.
//
// Taken are, of packets sent to the uplink's own MAC:
//   (a) UDP to the local tunnel address and the tunnel port;
//   (b) anything to a claimed prefix (VIPs, Service ranges, podCIDRs in direct routing);
//   (c) TCP, UDP and SCTP to a port claimed on a node address (NodePorts);
//   (d) TCP, UDP and SCTP to a masquerade port at a masquerade address, and echo replies with such an identifier;
//   (e) ICMP errors to a node address whose quoted packet was sent by the switch as one of the above;
//   (f) fragments to such a node address, first and later ones alike, while the settings say so: later ones show no port, and
//       the parts of a datagram must not be parted. The switch gives the host back what is the host's.
// Tagged, malformed and unknown packets pass, and so does a taken packet for which there is no socket: with the daemon gone
// the uplink works as if this program had never been there.
//
// Ports in maps are in host byte order, addresses in network byte order.
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <stdbool.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

// Keep in step with claims.rs.
#define MAX_UPLINKS 16
#define MAX_QUEUES 64
#define MAX_PREFIXES 65536
#define MAX_NODE_ADDRESSES 1024
#define MAX_NODE_PORTS 65536

// Extension headers walked at most.
#define MAX_EXTENSIONS 6

// Flags of a node address.
#define MASQUERADE 1
#define NODE_PORTS 2
#define TUNNEL 4

// What becomes of a packet; also its place in counters. Keep in step with counters.rs.
enum kind {
	PASSED,
	PASSED_MALFORMED,
	PASSED_NO_SOCKET,
	TAKEN_TUNNEL,
	TAKEN_ADDRESS,
	TAKEN_NODE_PORT,
	TAKEN_MASQUERADE,
	TAKEN_RELATED,
	TAKEN_FRAGMENT,
	KINDS,
};

struct uplink {
	__u32 slot;
	__u16 mac[3]; // as it lies in a packet
	__u16 pad;
};

struct settings {
	__u32 tunnel_port; // 0: none
	__u32 masquerade_first; // first > last: none
	__u32 masquerade_last;
	__u32 fragments; // whether fragments to node addresses are taken
};

struct prefix4 {
	__u32 len;
	__u8 address[4];
};

struct prefix6 {
	__u32 len;
	__u8 address[16];
};

struct address6 {
	__u8 bytes[16];
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, MAX_UPLINKS);
	__type(key, __u32); // device index
	__type(value, struct uplink);
} uplinks SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_XSKMAP);
	__uint(max_entries, MAX_UPLINKS * MAX_QUEUES);
	__type(key, __u32); // slot * MAX_QUEUES + queue
	__type(value, __u32);
} sockets SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct settings);
} settings SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE);
	__uint(max_entries, MAX_PREFIXES);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct prefix4);
	__type(value, __u32);
} prefixes4 SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE);
	__uint(max_entries, MAX_PREFIXES);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct prefix6);
	__type(value, __u32);
} prefixes6 SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, MAX_NODE_ADDRESSES);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, __u32);
	__type(value, __u32); // flags
} nodes4 SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, MAX_NODE_ADDRESSES);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct address6);
	__type(value, __u32); // flags
} nodes6 SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, MAX_NODE_PORTS);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, __u32); // protocol << 16 | port
	__type(value, __u32);
} node_ports SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, KINDS);
	__type(key, __u32);
	__type(value, __u64);
} counters SEC(".maps");

struct ports {
	__be16 source;
	__be16 destination;
};

// The fixed part of ICMP and ICMPv6.
struct icmp {
	__u8 type;
	__u8 code;
	__be16 checksum;
	__be16 id;
	__be16 rest;
};

// Where the transport header of an IP packet lies and what it is.
struct transport {
	__u32 at; // from the packet's start
	__u8 protocol;
	bool fragment;
	bool later; // a fragment other than the first: there is no transport header
};

// ICMP types (RFC 792, RFC 4443).
#define ECHO_REPLY 0
#define UNREACHABLE 3
#define ECHO_REQUEST 8
#define TIME_EXCEEDED 11
#define PARAMETER_PROBLEM 12
#define V6_LAST_ERROR 127
#define V6_ECHO_REQUEST 128
#define V6_ECHO_REPLY 129

static __always_inline bool has_ports(__u8 protocol)
{
	return protocol == IPPROTO_TCP || protocol == IPPROTO_UDP || protocol == IPPROTO_SCTP;
}

static __always_inline bool is_node_port(__u8 protocol, __be16 port)
{
	__u32 key = (__u32)protocol << 16 | bpf_ntohs(port);

	return bpf_map_lookup_elem(&node_ports, &key);
}

static __always_inline bool is_masqueraded(const struct settings *set, __be16 port)
{
	return bpf_ntohs(port) >= set->masquerade_first && bpf_ntohs(port) <= set->masquerade_last;
}

// A whole packet or a first fragment to a node address with these flags.
static __always_inline enum kind of_ports(const struct settings *set, __u32 flags, __u8 protocol, struct ports ports)
{
	if (flags & TUNNEL && protocol == IPPROTO_UDP && set->tunnel_port &&
	    bpf_ntohs(ports.destination) == set->tunnel_port)
		return TAKEN_TUNNEL;
	if (flags & MASQUERADE && is_masqueraded(set, ports.destination))
		return TAKEN_MASQUERADE;
	if (flags & NODE_PORTS && is_node_port(protocol, ports.destination))
		return TAKEN_NODE_PORT;
	return PASSED;
}

// The packet quoted in an ICMP error: was it sent by the switch from this node address?
static __always_inline enum kind of_quoted_ports(const struct settings *set, __u32 flags, __u8 protocol,
						 struct ports ports)
{
	// The source port of a tunnel packet is a hash of what is in it.
	if (flags & TUNNEL && protocol == IPPROTO_UDP && set->tunnel_port &&
	    bpf_ntohs(ports.destination) == set->tunnel_port)
		return TAKEN_RELATED;
	if (flags & MASQUERADE && is_masqueraded(set, ports.source))
		return TAKEN_RELATED;
	if (flags & NODE_PORTS && is_node_port(protocol, ports.source))
		return TAKEN_RELATED;
	return PASSED;
}

// The quoted packet's transport header at `at`. `request` is the type of an echo request, `icmp` the protocol's number.
static __noinline int of_quote(struct xdp_md *context, const struct settings *set, __u32 flags, __u32 at, __u32 kinds)
{
	__u8 protocol = kinds & 0xff, icmp = kinds >> 8 & 0xff, request = kinds >> 16 & 0xff;
	struct ports ports;
	struct icmp echo;

	if (!set)
		return PASSED;
	if (has_ports(protocol)) {
		if (bpf_xdp_load_bytes(context, at, &ports, sizeof(ports)))
			return PASSED_MALFORMED;
		return of_quoted_ports(set, flags, protocol, ports);
	}
	if (protocol == icmp && flags & MASQUERADE) {
		if (bpf_xdp_load_bytes(context, at, &echo, sizeof(echo)))
			return PASSED_MALFORMED;
		if (echo.type == request && is_masqueraded(set, echo.id))
			return TAKEN_RELATED;
	}
	return PASSED;
}

static __always_inline enum kind of_icmp4(struct xdp_md *context, const struct settings *set, __u32 flags, __u32 at)
{
	struct icmp icmp;
	struct iphdr quoted;

	if (bpf_xdp_load_bytes(context, at, &icmp, sizeof(icmp)))
		return PASSED_MALFORMED;
	if (icmp.type == ECHO_REPLY)
		return flags & MASQUERADE && is_masqueraded(set, icmp.id) ? TAKEN_MASQUERADE : PASSED;
	if (icmp.type != UNREACHABLE && icmp.type != TIME_EXCEEDED && icmp.type != PARAMETER_PROBLEM)
		return PASSED;
	at += sizeof(icmp);
	if (bpf_xdp_load_bytes(context, at, &quoted, sizeof(quoted)) || quoted.version != 4 || quoted.ihl < 5)
		return PASSED_MALFORMED;
	if (quoted.frag_off & bpf_htons(0x1fff))
		return PASSED;
	at += quoted.ihl * 4;
	return of_quote(context, set, flags, at, quoted.protocol | IPPROTO_ICMP << 8 | ECHO_REQUEST << 16);
}

// Walks extension headers from `at`; false if they are malformed, or too many.
static __noinline int walk(struct xdp_md *context, struct transport *transport)
{
	__u8 head[4];

	if (!transport)
		return 0;
	for (int i = 0; i < MAX_EXTENSIONS; i++) {
		__u8 next = transport->protocol;

		if (next != IPPROTO_HOPOPTS && next != IPPROTO_ROUTING && next != IPPROTO_DSTOPTS && next != IPPROTO_FRAGMENT)
			return 1;
		if (transport->at > 16384 || bpf_xdp_load_bytes(context, transport->at, head, sizeof(head)))
			return 0;
		transport->protocol = head[0];
		if (next == IPPROTO_FRAGMENT) {
			__u16 field = (__u16)head[2] << 8 | head[3];

			transport->at += 8;
			// An atomic fragment (RFC 6946) is a whole packet.
			transport->fragment = transport->fragment || (field & 0xfff9);
			if (field & 0xfff8) {
				transport->later = true;
				return 1;
			}
		} else {
			transport->at += ((__u32)head[1] + 1) * 8;
		}
	}
	return 0;
}

static __always_inline enum kind of_icmp6(struct xdp_md *context, const struct settings *set, __u32 flags, __u32 at)
{
	struct transport transport = {};
	struct icmp icmp;
	struct ipv6hdr quoted;

	if (bpf_xdp_load_bytes(context, at, &icmp, sizeof(icmp)))
		return PASSED_MALFORMED;
	if (icmp.type == V6_ECHO_REPLY)
		return flags & MASQUERADE && is_masqueraded(set, icmp.id) ? TAKEN_MASQUERADE : PASSED;
	if (icmp.type > V6_LAST_ERROR)
		return PASSED;
	at += sizeof(icmp);
	if (bpf_xdp_load_bytes(context, at, &quoted, sizeof(quoted)) || quoted.version != 6)
		return PASSED_MALFORMED;
	transport.at = at + sizeof(quoted);
	transport.protocol = quoted.nexthdr;
	if (!walk(context, &transport))
		return PASSED_MALFORMED;
	if (transport.later)
		return PASSED;
	return of_quote(context, set, flags, transport.at,
			transport.protocol | IPPROTO_ICMPV6 << 8 | V6_ECHO_REQUEST << 16);
}

// A packet to a node address with these flags.
static __always_inline enum kind of_node(struct xdp_md *context, __u32 flags, const struct transport *transport, bool v6)
{
	__u32 zero = 0;
	const struct settings *set = bpf_map_lookup_elem(&settings, &zero);
	struct ports ports;

	if (!set)
		return PASSED;
	if (transport->fragment && set->fragments && flags & (MASQUERADE | NODE_PORTS))
		return TAKEN_FRAGMENT;
	if (transport->later)
		return PASSED;
	if (has_ports(transport->protocol)) {
		if (bpf_xdp_load_bytes(context, transport->at, &ports, sizeof(ports)))
			return PASSED_MALFORMED;
		return of_ports(set, flags, transport->protocol, ports);
	}
	if (!v6 && transport->protocol == IPPROTO_ICMP)
		return of_icmp4(context, set, flags, transport->at);
	if (v6 && transport->protocol == IPPROTO_ICMPV6)
		return of_icmp6(context, set, flags, transport->at);
	return PASSED;
}

static __always_inline enum kind of_ipv4(struct xdp_md *context, __u32 len, void *start, void *end)
{
	struct iphdr *ip = start;
	struct prefix4 prefix = { .len = 32 };
	struct transport transport = {};
	__u32 *flags, header, total;

	if ((void *)(ip + 1) > end)
		return PASSED_MALFORMED;
	header = ip->ihl * 4;
	total = bpf_ntohs(ip->tot_len);
	if (ip->version != 4 || header < sizeof(*ip) || total < header || ETH_HLEN + total > len)
		return PASSED_MALFORMED;
	__builtin_memcpy(prefix.address, &ip->daddr, sizeof(prefix.address));
	if (bpf_map_lookup_elem(&prefixes4, &prefix))
		return TAKEN_ADDRESS;
	flags = bpf_map_lookup_elem(&nodes4, prefix.address);
	if (!flags)
		return PASSED;
	transport.at = ETH_HLEN + header;
	transport.protocol = ip->protocol;
	transport.fragment = ip->frag_off & bpf_htons(0x3fff);
	transport.later = ip->frag_off & bpf_htons(0x1fff);
	return of_node(context, *flags, &transport, false);
}

static __always_inline enum kind of_ipv6(struct xdp_md *context, __u32 len, void *start, void *end)
{
	struct ipv6hdr *ip = start;
	struct prefix6 prefix = { .len = 128 };
	struct transport transport = {};
	__u32 *flags;

	if ((void *)(ip + 1) > end)
		return PASSED_MALFORMED;
	if (ip->version != 6 || ETH_HLEN + sizeof(*ip) + bpf_ntohs(ip->payload_len) > len)
		return PASSED_MALFORMED;
	__builtin_memcpy(prefix.address, &ip->daddr, sizeof(prefix.address));
	if (bpf_map_lookup_elem(&prefixes6, &prefix))
		return TAKEN_ADDRESS;
	flags = bpf_map_lookup_elem(&nodes6, prefix.address);
	if (!flags)
		return PASSED;
	transport.at = ETH_HLEN + sizeof(*ip);
	transport.protocol = ip->nexthdr;
	if (!walk(context, &transport))
		return PASSED_MALFORMED;
	return of_node(context, *flags, &transport, true);
}

// Not memcmp, which clang makes a call of for data that may be unaligned.
static __always_inline bool is_sent_to(const struct ethhdr *ethernet, const struct uplink *uplink)
{
	const __u16 *mac = (const __u16 *)ethernet->h_dest;

	return mac[0] == uplink->mac[0] && mac[1] == uplink->mac[1] && mac[2] == uplink->mac[2];
}

static __always_inline void count(__u32 kind)
{
	__u64 *counter = bpf_map_lookup_elem(&counters, &kind);

	if (counter)
		*counter += 1;
}

SEC("xdp.frags")
int uplink(struct xdp_md *context)
{
	void *start = (void *)(long)context->data, *end = (void *)(long)context->data_end;
	__u32 device = context->ingress_ifindex, queue = context->rx_queue_index;
	struct ethhdr *ethernet = start;
	struct uplink *uplink;
	enum kind kind = PASSED;
	int action;

	if ((void *)(ethernet + 1) > end)
		return XDP_PASS;
	uplink = bpf_map_lookup_elem(&uplinks, &device);
	if (!uplink)
		return XDP_PASS;
	// Also broadcast and multicast: those are the node's.
	if (is_sent_to(ethernet, uplink)) {
		__u32 len = bpf_xdp_get_buff_len(context);

		if (ethernet->h_proto == bpf_htons(ETH_P_IP))
			kind = of_ipv4(context, len, ethernet + 1, end);
		else if (ethernet->h_proto == bpf_htons(ETH_P_IPV6))
			kind = of_ipv6(context, len, ethernet + 1, end);
	}
	if (kind < TAKEN_TUNNEL) {
		count(kind);
		return XDP_PASS;
	}
	if (queue >= MAX_QUEUES) {
		count(PASSED_NO_SOCKET);
		return XDP_PASS;
	}
	action = bpf_redirect_map(&sockets, uplink->slot * MAX_QUEUES + queue, XDP_PASS);
	count(action == XDP_REDIRECT ? kind : PASSED_NO_SOCKET);
	return action;
}

char _license[] SEC("license") = "GPL";
