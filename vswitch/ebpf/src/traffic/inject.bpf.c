// SPDX-License-Identifier: GPL-2.0
// Writes packets of many flows and sends them out of a device, each at its time.
//
// Run by BPF_PROG_TEST_RUN with BPF_F_TEST_XDP_LIVE_FRAMES, in batches of as many frames as a burst has: the kernel hands
// what was redirected on when a batch ends. The program alone decides when a burst goes, at its first frame; it waits a while,
// and if that was not long enough it lets the whole batch go by, so that bursts and batches stay in step.
//
// The kernel fills a page once and uses it again and again, and who took the packet may have changed it in place. So
// everything but the payload behind the stamp, which is zero, is written each time.
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/udp.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "stamp.bpf.h"

// Looks at the clock for each frame of a batch before that goes by; a look takes some 25 ns.
#define PATIENCE 64

// Keep in step with `struct Run` in injector.rs.
struct run {
	__u64 start; // when the first burst is due
	__u64 end; // nothing goes from then on
	__u64 interval; // between packets, in nanoseconds times 65536; 0: without pause
	__u64 sent;
	__u64 late; // the longest that a burst went after its time, in nanoseconds
	__u64 due; // of the burst at hand
	__u64 idle; // batches that went by
	__u32 burst;
	__u32 place; // in the burst
	__u32 going;
	__u32 device;
	__u32 mask; // of the order
	__u32 ipv6;
	__u8 destination[ETH_ALEN];
	__u8 source[ETH_ALEN];
	__u32 longest; // frame, in bytes
	__u32 over; // the end has come
	__u32 padding;
};

struct slot {
	__u32 flow;
	__u32 length; // of the frame
};

struct flow {
	__u32 sequence;
	__u16 source_port;
	__u16 destination_port;
	__u32 source[4];
	__u32 destination[4];
	__u32 sum; // of addresses and ports, as 16 bit words
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct run);
} runs SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct slot);
} order SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct flow);
} flows SEC(".maps");

static __always_inline __u16 folded(__u64 sum)
{
	sum = (sum & 0xffff) + (sum >> 16 & 0xffff) + (sum >> 32);
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	return ~sum;
}

// Looks at the clock: 1 when it is time, 0 when it is not, and when the end has come, which it notes.
static __always_inline int look(struct run *run)
{
	__u64 now = bpf_ktime_get_ns();

	if (now >= run->end) {
		run->over = 1;
		return 0;
	}
	if (!run->interval)
		run->due = now;
	if (now < run->due)
		return 0;
	if (now - run->due > run->late)
		run->late = now - run->due;
	return 1;
}

static long look_again(__u32 index, struct run **run)
{
	return look(*run) || (*run)->over;
}

// Whether the next burst goes now. Waits a while for its time.
static __always_inline int is_due(struct run *run)
{
	if (run->over)
		return 0;
	run->due = run->start + (run->sent * run->interval >> 16);
	if (look(run))
		return 1;
	if (!run->over)
		bpf_loop(PATIENCE * run->burst, look_again, &run, 0);
	return !run->over && run->due <= bpf_ktime_get_ns();
}

// The UDP header and the stamp, with the checksum over them, the pseudo-header and a payload of zeros.
static __always_inline int write_udp(struct run *run, struct flow *flow, __u32 number, struct udphdr *udp, void *end, __u32 length)
{
	struct stamp *stamp = (void *)(udp + 1);
	__u16 *words = (void *)stamp;
	__u64 sum = flow->sum;
	__u16 check;

	if ((void *)(stamp + 1) > end)
		return -1;
	stamp->flow = number;
	stamp->sequence = flow->sequence++;
	stamp->due = run->due;
	stamp->check = stamp_check(number, stamp->sequence, run->due, length - sizeof(*udp));
	udp->source = flow->source_port;
	udp->dest = flow->destination_port;
	udp->len = bpf_htons(length);
#pragma unroll
	for (int i = 0; i < (int)sizeof(*stamp) / 2; i++)
		sum += words[i];
	// Once in the pseudo-header and once in the header.
	sum += udp->len + udp->len + bpf_htons(IPPROTO_UDP);
	check = folded(sum);
	udp->check = check ? check : 0xffff;
	return 0;
}

static __always_inline int write_ipv4(struct run *run, struct flow *flow, __u32 number, struct iphdr *ip, void *end)
{
	__u16 *words = (void *)ip;
	__u32 length = end - (void *)ip;
	__u64 sum = 0;

	if ((void *)(ip + 1) + sizeof(struct udphdr) > end)
		return -1;
	ip->version = 4;
	ip->ihl = 5;
	ip->tos = 0;
	ip->tot_len = bpf_htons(length);
	ip->id = 0;
	ip->frag_off = bpf_htons(0x4000);
	ip->ttl = 64;
	ip->protocol = IPPROTO_UDP;
	ip->check = 0;
	ip->saddr = flow->source[3];
	ip->daddr = flow->destination[3];
#pragma unroll
	for (int i = 0; i < (int)sizeof(*ip) / 2; i++)
		sum += words[i];
	ip->check = folded(sum);
	return write_udp(run, flow, number, (void *)(ip + 1), end, length - sizeof(*ip));
}

static __always_inline int write_ipv6(struct run *run, struct flow *flow, __u32 number, struct ipv6hdr *ip, void *end)
{
	__u32 length = end - (void *)ip - sizeof(*ip);

	if ((void *)(ip + 1) + sizeof(struct udphdr) > end)
		return -1;
	*(__u32 *)ip = bpf_htonl(0x60000000);
	ip->payload_len = bpf_htons(length);
	ip->nexthdr = IPPROTO_UDP;
	ip->hop_limit = 64;
	__builtin_memcpy(&ip->saddr, flow->source, sizeof(flow->source));
	__builtin_memcpy(&ip->daddr, flow->destination, sizeof(flow->destination));
	return write_udp(run, flow, number, (void *)(ip + 1), end, length);
}

static __always_inline int write(struct xdp_md *context, struct run *run, struct slot *slot, struct flow *flow)
{
	void *data, *end;
	struct ethhdr *ethernet;
	int failed;

	if (slot->length < run->longest && bpf_xdp_adjust_tail(context, (int)slot->length - (int)run->longest))
		return -1;
	data = (void *)(long)context->data;
	end = (void *)(long)context->data_end;
	ethernet = data;
	if ((void *)(ethernet + 1) > end)
		return -1;
	__builtin_memcpy(ethernet->h_dest, run->destination, ETH_ALEN);
	__builtin_memcpy(ethernet->h_source, run->source, ETH_ALEN);
	if (run->ipv6) {
		ethernet->h_proto = bpf_htons(ETH_P_IPV6);
		failed = write_ipv6(run, flow, slot->flow, (void *)(ethernet + 1), end);
	} else {
		ethernet->h_proto = bpf_htons(ETH_P_IP);
		failed = write_ipv4(run, flow, slot->flow, (void *)(ethernet + 1), end);
	}
	return failed;
}

SEC("xdp")
int inject(struct xdp_md *context)
{
	__u32 key = 0;
	struct run *run = bpf_map_lookup_elem(&runs, &key);
	struct slot *slot;
	struct flow *flow;

	if (!run)
		return XDP_DROP;
	if (run->place == 0) {
		run->going = is_due(run);
		if (!run->going)
			run->idle++;
	}
	run->place = run->place + 1 < run->burst ? run->place + 1 : 0;
	if (!run->going)
		return XDP_DROP;
	key = run->sent & run->mask;
	slot = bpf_map_lookup_elem(&order, &key);
	if (!slot)
		return XDP_DROP;
	key = slot->flow;
	flow = bpf_map_lookup_elem(&flows, &key);
	if (!flow || write(context, run, slot, flow))
		return XDP_DROP;
	run->sent++;
	return bpf_redirect(run->device, 0);
}

char _license[] SEC("license") = "GPL";
