//! Stands in for `sluice_tables::{Encapsulation, Tunnel, Peer}` until those are there; then the imports change and this goes.

use std::net::IpAddr;

use sluice_wire::MacAddr;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Encapsulation {
    None,
    Vxlan,
    Geneve,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Tunnel {
    pub(crate) encapsulation: Encapsulation,
    pub(crate) vni: u32,
    pub(crate) port: u16,
    pub(crate) local: IpAddr,
    pub(crate) mac: MacAddr,
    pub(crate) inner_mtu: u16,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Peer {
    pub(crate) tunnel: IpAddr,
    pub(crate) mac: MacAddr,
}
