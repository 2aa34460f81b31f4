//! sluiced: the node's network in one daemon.
pub mod ipam;
pub mod state;
