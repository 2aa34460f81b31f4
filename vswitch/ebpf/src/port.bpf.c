// SPDX-License-Identifier: GPL-2.0
// The XDP program of every port of the switch.
//
// slots names the place of a device's socket in sockets. A device without a slot, or whose socket is closed (the kernel
// empties the place by itself), passes every packet to the kernel: with the daemon gone the device works as if this
// program had never been there.
//
// The section "xdp.frags" admits packets of several buffers (super-frames).
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

// Keep in step with MAX_PORTS in lib.rs.
#define MAX_PORTS 4096

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, MAX_PORTS);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, __u32); // device index
	__type(value, __u32); // place in sockets
} slots SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_XSKMAP);
	__uint(max_entries, MAX_PORTS);
	__type(key, __u32);
	__type(value, __u32);
} sockets SEC(".maps");

SEC("xdp.frags")
int port(struct xdp_md *context)
{
	__u32 device = context->ingress_ifindex;
	__u32 *slot = bpf_map_lookup_elem(&slots, &device);

	if (!slot)
		return XDP_PASS;
	return bpf_redirect_map(&sockets, *slot, XDP_PASS);
}

char _license[] SEC("license") = "GPL";
