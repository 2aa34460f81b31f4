//! Session affinity.

use core::net::IpAddr;

use crate::Tick;

/// Which backend a client of a Service was given last: fixed size, shared by the workers.
#[derive(Debug)]
pub struct Affinity {}

impl Affinity {
    /// Room for about `entries` clients.
    #[must_use]
    pub fn new(_entries: u32, _seed: u64) -> Affinity {
        Affinity {}
    }

    /// The backend that the client was given, if that is no longer than `timeout` seconds ago.
    #[must_use]
    pub fn find(&self, _client: IpAddr, _service: u64, _now: Tick, _timeout: u32) -> Option<(IpAddr, u16)> {
        None
    }

    /// Keeps (or renews) the choice.
    pub fn put(&self, _client: IpAddr, _service: u64, _backend: (IpAddr, u16), _now: Tick) {}

    /// Forgets the choice, for a backend that is gone.
    pub fn forget(&self, _client: IpAddr, _service: u64) {}
}
