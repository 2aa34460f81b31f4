//! Our node beside nodes that others have built, on one wire: their packets, our tables.
//!
//! ```text
//! ours:   pod - sluiced - uplink0 --+
//!                                   +-- the lab's bridge
//! theirs: pod - cni0 - flannel.1 - uplink0 --+      the kernel's own VXLAN device and bridge, as Flannel lays them out
//!         pod - br-int - geneve - br-phy - uplink0  Open vSwitch's userspace datapath
//! ```
//!
//! Everything is in namespaces of a lab, so that taking the lab down also ends what a killed test has left.

#![forbid(unsafe_code)]

mod geneve;
mod kernel;
mod openvswitch;
mod ours;
mod sizes;
mod theirs;
mod traffic;
mod vxlan;
