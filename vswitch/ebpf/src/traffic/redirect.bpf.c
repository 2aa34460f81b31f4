// SPDX-License-Identifier: GPL-2.0
// Hands what comes in by one device to the far end of another, as a cable with two bends.
#include <linux/bpf.h>
#include <linux/pkt_cls.h>
#include <bpf/bpf_helpers.h>

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 2);
	__type(key, __u32); // device
	__type(value, __u32); // the other
} others SEC(".maps");

SEC("classifier")
int redirect(struct __sk_buff *packet)
{
	__u32 device = packet->ifindex;
	__u32 *other = bpf_map_lookup_elem(&others, &device);

	return other ? bpf_redirect_peer(*other, 0) : TC_ACT_UNSPEC;
}

char _license[] SEC("license") = "GPL";
