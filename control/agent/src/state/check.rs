//! A state file that parses may still claim one thing twice; then neither claim can be believed.

use std::collections::{HashMap, HashSet};
use std::net::IpAddr;

use super::{State, StoredAttachment};

/// Two attachments of one file claim one thing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Contradiction {
    /// One interface of one container twice.
    #[error("container {container} has interface {ifname} twice")]
    Interface {
        /// The container.
        container: String,
        /// The interface.
        ifname: String,
    },
    /// One port for two.
    #[error("containers {first} and {second} have one port {port}")]
    Port {
        /// The port.
        port: u16,
        /// The container that comes first in the file.
        first: String,
        /// The other one.
        second: String,
    },
    /// One address for two.
    #[error("containers {first} and {second} have one address {address}")]
    Address {
        /// The address.
        address: IpAddr,
        /// The container that comes first in the file.
        first: String,
        /// The other one.
        second: String,
    },
}

pub(super) fn check(state: &State) -> Result<(), Contradiction> {
    let mut interfaces: HashSet<(&str, &str)> = HashSet::new();
    let mut ports: HashMap<u16, &str> = HashMap::new();
    let mut addresses: HashMap<IpAddr, &str> = HashMap::new();
    for StoredAttachment { container_id, ifname, port, addresses: own, .. } in &state.attachments {
        if !interfaces.insert((container_id, ifname)) {
            return Err(Contradiction::Interface { container: container_id.clone(), ifname: ifname.clone() });
        }
        if let Some(first) = ports.insert(*port, container_id) {
            let (first, second) = (first.to_owned(), container_id.clone());
            return Err(Contradiction::Port { port: *port, first, second });
        }
        for address in own {
            if let Some(first) = addresses.insert(*address, container_id) {
                let (first, second) = (first.to_owned(), container_id.clone());
                return Err(Contradiction::Address { address: *address, first, second });
            }
        }
    }
    Ok(())
}
