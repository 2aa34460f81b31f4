// SPDX-License-Identifier: GPL-2.0
// Detours: packets that the node's own stack would keep to itself, or send past the switch, go into the host port instead.
//
// loopback, where the node sends to itself: what goes to a port of one of its addresses that is a Service's.
// arriving, where the switch gives packets to the node: notes who speaks, under an address of its own, with an endpoint that is
//     the node itself.
// passing, where the uplink gives the node what the switch does not take: who begins to speak with that endpoint directly is
//     forgotten. So does arriving with what the switch took and gives back, as it is nobody's but the node's.
// leaving, where the node sends over the uplink: answers of such an endpoint to whom arriving has noted.
//
// All are attached by links that belong to the process: with the daemon gone the stack works as if they had never been there.
//
// Anybody can send either of the two a packet under another's address. So of TCP neither lets one change what holds for a
// connection that the node has: a segment that begins one changes it only where there is none, and any other one only
// where its numbers say that it belongs to it.
//
// Addresses are 16 bytes in network byte order, those of IPv4 mapped (::ffff:a.b.c.d); ports in places are in host byte order.
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/pkt_cls.h>
#include <linux/tcp.h>
#include <stdbool.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

// Keep in step with detour.rs.
#define MAX_PLACES 131072
#define MAX_FLOWS 262144
#define MAX_INSIDE 1024
#define MAX_DATAGRAMS 1024

// As in <sys/socket.h>, which needs a C library.
#define AF_INET 2
#define AF_INET6 10

// What a place is. Keep in step with detour.rs.
enum kind {
	ADDRESS, // an address of the node at which Services are; no protocol and port
	NODE_PORT, // a node port; :: or ::ffff:0.0.0.0 for its family
	FRONTEND, // an address of the node and a port that is a Service's at it alone
	ENDPOINT, // an address of the node and a port that is an endpoint of a Service which keeps clients
};

// How far from the next number that is expected a segment of a connection may be: the largest windows that are common.
#define NUMBERS_NEAR (1 << 20)

// Of an ADDRESS: it serves node ports.
#define NODE_PORTS 1

// Of a flow: the client has sent its FIN.
#define CLIENT_ENDED 1

// What is counted of flows. Keep in step with detour.rs.
enum count {
	NOTED,
	FORGOTTEN, // the client speaks past the switch now
	ENDED, // the connection is over
	COUNTS,
};

struct place {
	__u8 address[16];
	__u16 port;
	__u8 protocol;
	__u8 kind;
};

struct flow {
	__u8 client[16];
	__u8 node[16];
	__be16 client_port;
	__be16 node_port;
	__u8 protocol;
	__u8 pad[3];
};

struct prefix {
	__u32 length; // in bits
	__u8 address[16];
};

// A datagram that was cut into fragments.
struct datagram {
	__u8 source[16];
	__u8 destination[16];
	__u32 id;
	__u32 protocol;
};

struct target {
	__u32 device; // the stack's end of the host port; 0: none
	__be32 v4; // the gateway
	__be32 v6[4];
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, MAX_PLACES);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct place);
	__type(value, __u32);
} places SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, MAX_FLOWS);
	__type(key, struct flow);
	__type(value, __u32);
} flows SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, COUNTS);
	__type(key, __u32);
	__type(value, __u64);
} counts SEC(".maps");

// Whose answers the node's routes lead into the host port in any case: pods of the node, and the gateway.
struct {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE);
	__uint(max_entries, MAX_INSIDE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct prefix);
	__type(value, __u32);
} inside SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, MAX_DATAGRAMS);
	__type(key, struct datagram);
	__type(value, __u32);
} datagrams SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct target);
} target SEC(".maps");

struct ports {
	__be16 source;
	__be16 destination;
};

struct packet {
	__u8 source[16];
	__u8 destination[16];
	struct ports ports;
	__u32 id;
	__u32 at; // the transport header, from the IP header on
	__u8 protocol;
	bool v6;
	bool first; // of several fragments
	bool later; // a fragment without ports
};

static __always_inline void map_address(__u8 to[16], __be32 address)
{
	__builtin_memset(to, 0, 10);
	to[10] = 0xff;
	to[11] = 0xff;
	__builtin_memcpy(to + 12, &address, 4);
}

// From the IP header on: what generic XDP has copied no longer knows how long its Ethernet header is, and is shown without.
static __always_inline bool load(struct __sk_buff *skb, __u32 at, void *to, __u32 len)
{
	return !bpf_skb_load_bytes_relative(skb, at, to, len, BPF_HDR_START_NET);
}

static __always_inline bool read_ports(struct __sk_buff *skb, struct packet *packet, __u32 at)
{
	if (packet->later)
		return true;
	if (packet->protocol != IPPROTO_TCP && packet->protocol != IPPROTO_UDP && packet->protocol != IPPROTO_SCTP)
		return false;
	packet->at = at;
	return load(skb, at, &packet->ports, sizeof(packet->ports));
}

static __always_inline bool read_ipv4(struct __sk_buff *skb, struct packet *packet)
{
	struct iphdr ip;

	if (!load(skb, 0, &ip, sizeof(ip)))
		return false;
	map_address(packet->source, ip.saddr);
	map_address(packet->destination, ip.daddr);
	packet->protocol = ip.protocol;
	packet->id = ip.id;
	packet->later = ip.frag_off & bpf_htons(0x1fff);
	packet->first = !packet->later && ip.frag_off & bpf_htons(0x2000);
	return read_ports(skb, packet, ip.ihl * 4);
}

static __always_inline bool read_ipv6(struct __sk_buff *skb, struct packet *packet)
{
	__u32 at = sizeof(struct ipv6hdr);
	struct ipv6hdr ip;
	__u8 fragment[8];

	if (!load(skb, 0, &ip, sizeof(ip)))
		return false;
	__builtin_memcpy(packet->source, &ip.saddr, 16);
	__builtin_memcpy(packet->destination, &ip.daddr, 16);
	packet->protocol = ip.nexthdr;
	packet->v6 = true;
	// The stack writes no other extension header before a transport of ours unless a program asks for it.
	if (ip.nexthdr == IPPROTO_FRAGMENT) {
		if (!load(skb, at, fragment, sizeof(fragment)))
			return false;
		packet->protocol = fragment[0];
		packet->later = fragment[2] || fragment[3] & 0xf8;
		packet->first = !packet->later && fragment[3] & 1;
		__builtin_memcpy(&packet->id, fragment + 4, 4);
		at += sizeof(fragment);
	}
	return read_ports(skb, packet, at);
}

static __always_inline bool read(struct __sk_buff *skb, struct packet *packet)
{
	if (skb->protocol == bpf_htons(ETH_P_IP))
		return read_ipv4(skb, packet);
	return skb->protocol == bpf_htons(ETH_P_IPV6) && read_ipv6(skb, packet);
}

static __always_inline void count(enum count kind)
{
	__u32 key = kind;
	__u64 *one = bpf_map_lookup_elem(&counts, &key);

	if (one)
		*one += 1;
}

static __always_inline __u32 *look(enum kind kind, const __u8 *address, __u8 protocol, __be16 port)
{
	struct place place = { .kind = kind, .protocol = protocol, .port = bpf_ntohs(port) };

	__builtin_memcpy(place.address, address, 16);
	return bpf_map_lookup_elem(&places, &place);
}

static __always_inline bool is_node_port(const struct packet *packet)
{
	__u8 any[16] = {};

	if (!packet->v6)
		map_address(any, 0);
	return look(NODE_PORT, any, packet->protocol, packet->ports.destination);
}

static __always_inline struct datagram datagram_of(const struct packet *packet)
{
	struct datagram datagram = { .id = packet->id, .protocol = packet->protocol };

	__builtin_memcpy(datagram.source, packet->source, 16);
	__builtin_memcpy(datagram.destination, packet->destination, 16);
	return datagram;
}

// Into the host port, as what the node's routes lead there is: to the gateway as the neighbour, so that the device cuts what it
// cannot hand over whole. (The kernel lets a packet that was redirected by bpf_redirect pass generic XDP unseen.)
static __always_inline int lead(struct packet *packet)
{
	struct bpf_redir_neigh gateway = { .nh_family = packet->v6 ? AF_INET6 : AF_INET };
	__u32 zero = 0, noted = 1;
	struct target *to = bpf_map_lookup_elem(&target, &zero);

	if (!to || !to->device)
		return TC_ACT_UNSPEC;
	if (packet->first) {
		struct datagram datagram = datagram_of(packet);

		bpf_map_update_elem(&datagrams, &datagram, &noted, BPF_ANY);
	}
	if (packet->v6)
		__builtin_memcpy(gateway.ipv6_nh, to->v6, sizeof(to->v6));
	else
		gateway.ipv4_nh = to->v4;
	return bpf_redirect_neigh(to->device, &gateway, sizeof(gateway), 0);
}

// The stack sends the fragments of a datagram one after the other, the first first.
static __always_inline int lead_later(struct packet *packet)
{
	struct datagram datagram = datagram_of(packet);

	return bpf_map_lookup_elem(&datagrams, &datagram) ? lead(packet) : TC_ACT_UNSPEC;
}

// To the stack's own way. A datagram of earlier that had the same identification is over.
static __always_inline int leave_alone(struct packet *packet)
{
	if (packet->first) {
		struct datagram datagram = datagram_of(packet);

		bpf_map_delete_elem(&datagrams, &datagram);
	}
	return TC_ACT_UNSPEC;
}

SEC("classifier")
int loopback(struct __sk_buff *skb)
{
	struct packet packet = {};
	__u32 *flags;

	if (!read(skb, &packet))
		return TC_ACT_UNSPEC;
	flags = look(ADDRESS, packet.destination, 0, 0);
	if (!flags)
		return TC_ACT_UNSPEC;
	if (packet.later)
		return lead_later(&packet);
	if ((*flags & NODE_PORTS && is_node_port(&packet)) ||
	    look(FRONTEND, packet.destination, packet.protocol, packet.ports.destination))
		return lead(&packet);
	return leave_alone(&packet);
}

// A packet to an endpoint that is the node, and its flow; false if it is none.
static __always_inline bool flow_to(struct __sk_buff *skb, struct packet *packet, struct flow *flow)
{
	if (!read(skb, packet) || packet->later)
		return false;
	if (!look(ENDPOINT, packet->destination, packet->protocol, packet->ports.destination))
		return false;
	__builtin_memcpy(flow->client, packet->source, 16);
	__builtin_memcpy(flow->node, packet->destination, 16);
	flow->client_port = packet->ports.source;
	flow->node_port = packet->ports.destination;
	flow->protocol = packet->protocol;
	return true;
}

static __always_inline bool is_inside(const __u8 address[16])
{
	struct prefix prefix = { .length = 128 };

	__builtin_memcpy(prefix.address, address, 16);
	return bpf_map_lookup_elem(&inside, &prefix);
}

// The socket that has a connection with these ends, or listens for it.
static __always_inline struct bpf_sock *socket_of(struct __sk_buff *skb, const struct packet *packet)
{
	struct bpf_sock_tuple tuple = {};

	if (packet->v6) {
		__builtin_memcpy(tuple.ipv6.saddr, packet->source, 16);
		__builtin_memcpy(tuple.ipv6.daddr, packet->destination, 16);
		tuple.ipv6.sport = packet->ports.source;
		tuple.ipv6.dport = packet->ports.destination;
		return bpf_skc_lookup_tcp(skb, &tuple, sizeof(tuple.ipv6), BPF_F_CURRENT_NETNS, 0);
	}
	__builtin_memcpy(&tuple.ipv4.saddr, packet->source + 12, 4);
	__builtin_memcpy(&tuple.ipv4.daddr, packet->destination + 12, 4);
	tuple.ipv4.sport = packet->ports.source;
	tuple.ipv4.dport = packet->ports.destination;
	return bpf_skc_lookup_tcp(skb, &tuple, sizeof(tuple.ipv4), BPF_F_CURRENT_NETNS, 0);
}

// Whether only who sees the connection could know the segment's numbers.
static __always_inline bool is_of(const struct tcphdr *segment, const struct bpf_tcp_sock *connection)
{
	__u32 sequence = bpf_ntohl(segment->seq) - connection->rcv_nxt;
	__u32 unacknowledged = connection->snd_nxt - bpf_ntohl(segment->ack_seq);
	__u32 in_flight = connection->snd_nxt - connection->snd_una;

	return segment->ack && sequence + NUMBERS_NEAR < 2 * NUMBERS_NEAR && unacknowledged <= in_flight + NUMBERS_NEAR;
}

// What a client's packet says of its flow.
struct said {
	bool decides; // what holds for the flow may change by it
	bool begins; // of TCP: it begins a connection
	bool ends; // of TCP: the node has nothing more to say after it
	bool fin;
};

// Of protocols other than TCP the last packet decides.
static __always_inline struct said what_says(struct __sk_buff *skb, const struct packet *packet)
{
	struct said said = { .decides = true, .begins = true };
	struct bpf_tcp_sock *connection;
	struct tcphdr segment;
	struct bpf_sock *sock;

	if (packet->protocol != IPPROTO_TCP)
		return said;
	if (!load(skb, packet->at, &segment, sizeof(segment)))
		return (struct said){};
	said.begins = segment.syn && !segment.ack;
	said.fin = segment.fin;
	said.ends = segment.rst;
	sock = socket_of(skb, packet);
	if (!sock)
		return said;
	if (sock->state != BPF_TCP_LISTEN && sock->state != BPF_TCP_TIME_WAIT) {
		connection = bpf_tcp_sock(sock);
		if (!connection || segment.syn)
			said.decides = false;
		else if (segment.rst)
			// The stack ends the connection by this number alone, and answers others that are near.
			said.decides = bpf_ntohl(segment.seq) == connection->rcv_nxt;
		else
			said.decides = is_of(&segment, connection);
		if (said.decides && sock->state == BPF_TCP_LAST_ACK)
			said.ends |= bpf_ntohl(segment.ack_seq) == connection->snd_nxt;
	}
	bpf_sk_release(sock);
	return said;
}

// Whether the switch took the packet and gives it back as it came: under the device's own address, as `punt` of the path does.
static __always_inline bool is_given_back(struct __sk_buff *skb)
{
	struct {
		__be16 to[3];
		__be16 from[3];
	} macs;

	if (bpf_skb_load_bytes_relative(skb, 0, &macs, sizeof(macs), BPF_HDR_START_MAC))
		return false;
	return macs.to[0] == macs.from[0] && macs.to[1] == macs.from[1] && macs.to[2] == macs.from[2];
}

static __always_inline void forget(struct flow *flow, enum count why)
{
	if (!bpf_map_delete_elem(&flows, flow))
		count(why);
}

// What a packet that came past the switch changes about its flow.
static __always_inline void speak_directly(struct __sk_buff *skb, const struct packet *packet, struct flow *flow)
{
	struct said said;

	if (!bpf_map_lookup_elem(&flows, flow))
		return;
	said = what_says(skb, packet);
	if (said.decides && said.begins)
		forget(flow, FORGOTTEN);
}

// Whether a segment has one of the flags by which something changes about a connection that is known.
static __always_inline bool begins_or_ends(struct __sk_buff *skb, const struct packet *packet)
{
	struct tcphdr segment;

	if (packet->protocol != IPPROTO_TCP || !load(skb, packet->at, &segment, sizeof(segment)))
		return false;
	return segment.syn || segment.fin || segment.rst;
}

// What a packet that came by way of the switch changes about its flow.
static __always_inline void speak_by_service(struct __sk_buff *skb, const struct packet *packet, struct flow *flow)
{
	__u32 *known = bpf_map_lookup_elem(&flows, flow);
	__u32 value = 0;
	struct said said;

	if (known && *known != CLIENT_ENDED && !begins_or_ends(skb, packet))
		return;
	said = what_says(skb, packet);
	if (!said.decides)
		return;
	if (said.fin)
		value = CLIENT_ENDED;
	if (said.ends)
		forget(flow, ENDED);
	else if (!known && !bpf_map_update_elem(&flows, flow, &value, BPF_NOEXIST))
		count(NOTED);
	else if (known && said.fin)
		*known = CLIENT_ENDED;
	else if (known && said.begins)
		*known = 0;
}

SEC("classifier")
int arriving(struct __sk_buff *skb)
{
	struct packet packet = {};
	struct flow flow = {};

	if (!flow_to(skb, &packet, &flow) || is_inside(packet.source))
		return TC_ACT_UNSPEC;
	if (is_given_back(skb))
		speak_directly(skb, &packet, &flow);
	else
		speak_by_service(skb, &packet, &flow);
	return TC_ACT_UNSPEC;
}

SEC("classifier")
int passing(struct __sk_buff *skb)
{
	struct packet packet = {};
	struct flow flow = {};

	if (flow_to(skb, &packet, &flow))
		speak_directly(skb, &packet, &flow);
	return TC_ACT_UNSPEC;
}

// Whether nothing more is sent of the flow that this answer is of, unless its client speaks again, which notes it again.
static __always_inline bool is_last(struct __sk_buff *skb, const struct packet *packet, __u32 value)
{
	struct bpf_sock *sock = skb->sk;
	struct tcphdr segment;

	if (packet->protocol != IPPROTO_TCP || !load(skb, packet->at, &segment, sizeof(segment)))
		return false;
	if (segment.rst)
		return true;
	// Both have ended: the acknowledgement of the client's FIN, by a socket that has sent its own before, or that waits no more.
	if (value != CLIENT_ENDED || segment.fin || segment.syn)
		return false;
	if (!sock)
		return false;
	// CLOSE: older kernels send what a socket says that only waits by one of their own.
	return sock->state == BPF_TCP_FIN_WAIT2 || sock->state == BPF_TCP_TIME_WAIT || sock->state == BPF_TCP_CLOSE;
}

SEC("classifier")
int leaving(struct __sk_buff *skb)
{
	struct packet packet = {};
	struct flow flow = {};
	__u32 *value;

	if (!read(skb, &packet))
		return TC_ACT_UNSPEC;
	if (packet.later)
		return lead_later(&packet);
	if (!look(ENDPOINT, packet.source, packet.protocol, packet.ports.source))
		return leave_alone(&packet);
	__builtin_memcpy(flow.client, packet.destination, 16);
	__builtin_memcpy(flow.node, packet.source, 16);
	flow.client_port = packet.ports.destination;
	flow.node_port = packet.ports.source;
	flow.protocol = packet.protocol;
	value = bpf_map_lookup_elem(&flows, &flow);
	if (!value)
		return leave_alone(&packet);
	if (is_last(skb, &packet, *value))
		forget(&flow, ENDED);
	return lead(&packet);
}

char _license[] SEC("license") = "GPL";
