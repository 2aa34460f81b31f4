//! The manifests of the second act: those of `deploy/examples/two-nodes`, built in, so that the figures and what they are
//! about cannot differ.

use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::Path;

use anyhow::{Context, Result};

/// The files of the example.
const FILES: [(&str, &str); 5] = [
    ("namespace.yaml", include_str!("../../../deploy/examples/two-nodes/namespace.yaml")),
    ("nodes.yaml", include_str!("../../../deploy/examples/two-nodes/nodes.yaml")),
    ("pods.yaml", include_str!("../../../deploy/examples/two-nodes/pods.yaml")),
    ("services.yaml", include_str!("../../../deploy/examples/two-nodes/services.yaml")),
    ("policies.yaml", include_str!("../../../deploy/examples/two-nodes/policies.yaml")),
];

/// The ranges of its Services.
pub(super) const SERVICE_RANGES: [&str; 2] = ["10.96.0.0/16", "fd00:10:96::/112"];

/// The node that has the client, and the other one.
pub(super) const NODES: [&str; 2] = ["node-a", "node-b"];
/// The pod that may call the database, and the one that may not; both on the first node.
pub(super) const CLIENT: &str = "client";
pub(super) const GUEST: &str = "guest";
/// The pods behind the Service, one on each node.
pub(super) const WEB: [&str; 2] = ["web-1", "web-2"];
pub(super) const WEB_PORT: u16 = 8080;
/// The database, on the second node.
pub(super) const DB: &str = "db";
pub(super) const DB_PORT: u16 = 5432;
/// The Service's port on every node.
pub(super) const NODE_PORT: u16 = 30080;

/// The Service's frontends.
pub(super) fn frontends() -> [SocketAddr; 2] {
    let v6 = Ipv6Addr::new(0xfd00, 0x10, 0x96, 0, 0, 0, 0, 0x10);
    [IpAddr::from(Ipv4Addr::new(10, 96, 0, 10)), IpAddr::from(v6)].map(|address| SocketAddr::new(address, 80))
}

/// Writes them to a directory.
pub(super) fn write(directory: &Path) -> Result<()> {
    fs::create_dir_all(directory).with_context(|| format!("cannot create {}", directory.display()))?;
    for (name, text) in FILES {
        let file = directory.join(name);
        fs::write(&file, text).with_context(|| format!("cannot write {}", file.display()))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_called_here_is_in_the_example() {
        let all = FILES.map(|(_, text)| text).concat();
        let numbers = [WEB_PORT, DB_PORT, NODE_PORT].map(|number| number.to_string());
        let addresses = frontends().map(|frontend| frontend.ip().to_string());
        let names = NODES.iter().chain([&CLIENT, &GUEST, &DB]).chain(&WEB).map(|name| format!("name: {name}"));
        for text in names.chain(numbers).chain(addresses) {
            assert!(all.contains(&text), "{text}");
        }
    }
}
