// SPDX-License-Identifier: GPL-2.0
// Counts stamped UDP packets of many flows, tells what became of each, and how long they took. Everything else passes.
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/pkt_cls.h>
#include <linux/udp.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "stamp.bpf.h"

// Packets of a flow that are remembered one by one: an older one that comes late may have come before.
#define WINDOW 64

// Values of one power of two have so many buckets. Keep in step with sink.rs.
#define STEPS 64
#define BUCKETS 2304

// Keep in step with `struct Counts` in sink.rs.
struct counts {
	__u64 received; // with a stamp that is whole
	__u64 bytes; // of their frames
	__u64 reordered;
	__u64 duplicated;
	__u64 corrupted;
	__u64 first; // when they came, CLOCK_MONOTONIC in nanoseconds
	__u64 last;
};

struct seen {
	__u32 next; // one after the highest sequence number
	__u32 padding;
	__u64 window; // bit n: next - 1 - n has come
};

struct ports {
	__u16 low;
	__u16 high;
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct ports);
} ports SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct seen);
} flows SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct counts);
} counts SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, BUCKETS);
	__type(key, __u32);
	__type(value, __u64);
} latencies SEC(".maps");

static __always_inline __u32 bucket(__u64 value)
{
	__u64 rest = value >> 6;
	__u32 exponent = 0, index;

	if (!rest)
		return value;
	if (rest >> 32) {
		exponent += 32;
		rest >>= 32;
	}
	if (rest >> 16) {
		exponent += 16;
		rest >>= 16;
	}
	if (rest >> 8) {
		exponent += 8;
		rest >>= 8;
	}
	if (rest >> 4) {
		exponent += 4;
		rest >>= 4;
	}
	if (rest >> 2) {
		exponent += 2;
		rest >>= 2;
	}
	exponent += rest >> 1;
	index = (exponent + 1) * STEPS + (__u32)(value >> exponent) - STEPS;
	return index < BUCKETS ? index : BUCKETS - 1;
}

static __always_inline void follow(struct counts *count, struct seen *flow, __u32 sequence)
{
	__u32 ahead = sequence - flow->next;
	__u32 age = flow->next - 1 - sequence;

	if ((__s32)ahead >= 0) {
		flow->window = ahead + 1 < WINDOW ? flow->window << (ahead + 1) : 0;
		flow->window |= 1;
		flow->next = sequence + 1;
	} else if (age < WINDOW && flow->window >> age & 1) {
		count->duplicated++;
	} else {
		if (age < WINDOW)
			flow->window |= 1ULL << age;
		count->reordered++;
	}
}

// Where the UDP header is, or NULL if there is none.
static __always_inline struct udphdr *udp_of(void *data, void *end)
{
	struct ethhdr *ethernet = data;
	struct udphdr *udp;

	if ((void *)(ethernet + 1) > end)
		return 0;
	if (ethernet->h_proto == bpf_htons(ETH_P_IP)) {
		struct iphdr *ip = (void *)(ethernet + 1);

		if ((void *)(ip + 1) > end || ip->ihl != 5 || ip->protocol != IPPROTO_UDP)
			return 0;
		udp = (void *)(ip + 1);
	} else if (ethernet->h_proto == bpf_htons(ETH_P_IPV6)) {
		struct ipv6hdr *ip = (void *)(ethernet + 1);

		if ((void *)(ip + 1) > end || ip->nexthdr != IPPROTO_UDP)
			return 0;
		udp = (void *)(ip + 1);
	} else {
		return 0;
	}
	return (void *)(udp + 1) > end ? 0 : udp;
}

// Whether the packet is one to count; it then is counted.
static __always_inline int take(void *data, void *end, __u32 length)
{
	__u32 zero = 0, key;
	struct udphdr *udp = udp_of(data, end);
	struct ports *range = bpf_map_lookup_elem(&ports, &zero);
	struct counts *count = bpf_map_lookup_elem(&counts, &zero);
	struct stamp *stamp;
	struct seen *flow;
	__u64 now, *latency;

	if (!udp || !range || !count)
		return 0;
	if (bpf_ntohs(udp->dest) < range->low || bpf_ntohs(udp->dest) > range->high)
		return 0;
	now = bpf_ktime_get_ns();
	stamp = (void *)(udp + 1);
	if ((void *)(stamp + 1) > end ||
	    stamp->check != stamp_check(stamp->flow, stamp->sequence, stamp->due, bpf_ntohs(udp->len) - sizeof(*udp))) {
		count->corrupted++;
		return 1;
	}
	key = stamp->flow;
	flow = bpf_map_lookup_elem(&flows, &key);
	if (!flow) {
		count->corrupted++;
		return 1;
	}
	count->received++;
	count->bytes += length;
	if (!count->first)
		count->first = now;
	count->last = now;
	follow(count, flow, stamp->sequence);
	key = bucket(now > stamp->due ? now - stamp->due : 0);
	latency = bpf_map_lookup_elem(&latencies, &key);
	if (latency)
		(*latency)++;
	return 1;
}

SEC("xdp")
int sink_xdp(struct xdp_md *context)
{
	void *data = (void *)(long)context->data, *end = (void *)(long)context->data_end;

	return take(data, end, end - data) ? XDP_DROP : XDP_PASS;
}

SEC("classifier")
int sink_tc(struct __sk_buff *packet)
{
	void *data = (void *)(long)packet->data, *end = (void *)(long)packet->data_end;
	__u32 wanted = sizeof(struct ethhdr) + sizeof(struct ipv6hdr) + sizeof(struct udphdr) + sizeof(struct stamp);

	if (end - data < wanted) {
		// The rest may stand in pages behind the head. What is left when it does not is looked at as it is.
		bpf_skb_pull_data(packet, packet->len < wanted ? packet->len : wanted);
		data = (void *)(long)packet->data;
		end = (void *)(long)packet->data_end;
	}
	return take(data, end, packet->len) ? TC_ACT_SHOT : TC_ACT_UNSPEC;
}

char _license[] SEC("license") = "GPL";
