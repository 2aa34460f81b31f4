//! The uplink's program on the real kernel: what it takes, what it leaves to the node, and that it leaves everything when the
//! process is gone. A node and an outside, joined by a wire; a socket on the node's end stands for the switch.

mod life;
mod taken;
mod wire;
