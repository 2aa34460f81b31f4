// SPDX-License-Identifier: GPL-2.0
// What a measured packet's payload begins with. Keep in step with stamp.rs.
#ifndef STAMP_BPF_H
#define STAMP_BPF_H

#include <linux/types.h>

// 18 bytes: as much as the smallest Ethernet frame has beside IPv4 and UDP. In the byte order of the machine.
struct stamp {
	__u16 check;
	__u32 flow;
	__u32 sequence; // within the flow
	__u64 due; // when it should be sent, CLOCK_MONOTONIC in nanoseconds
} __attribute__((packed));

// Over all else of the stamp and the length of the payload.
static __always_inline __u16 stamp_check(__u32 flow, __u32 sequence, __u64 due, __u32 length)
{
	__u64 mixed = due * 0x9e3779b97f4a7c15ULL;

	mixed ^= (((__u64)flow << 32) | sequence) * 0xc2b2ae3d27d4eb4fULL;
	mixed ^= length * 0x165667b19e3779f9ULL;
	mixed ^= mixed >> 32;
	mixed ^= mixed >> 16;
	return mixed;
}

#endif
