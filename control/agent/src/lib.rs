//! sluiced: the node's network in one daemon.
pub mod config;
pub mod ipam;
pub mod state;
