//! What only the agent's metrics tell: what the kernel lost before the switch could see it, and who holds its memory.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::{Context, Result};
use sluice_host::Netns;

/// Where an agent of a lab serves HTTP, inside its node.
const HTTP: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 9810);

const TIMEOUT: Duration = Duration::from_secs(2);

/// What the names of the kernel's counters begin with; they are kept per port.
const PREFIX: &str = "sluice_port_kernel_";

/// The frames of packet memory that a port has for itself.
const FRAMES_HELD: &str = "sluice_port_frames_held{";

/// How the switch's port towards its own node is labelled; no pod is without a namespace.
const HOST_PORT: &str = "namespace=\"\",pod=\"host\"";

/// The kernel's counters of lost packets over all ports, those that are not zero.
pub(crate) fn kernel_losses(node: &Netns) -> Result<BTreeMap<String, u64>> {
    Ok(losses(&read(node)?))
}

/// Frames of packet memory that the ports of pods hold.
pub(crate) fn frames_held(node: &Netns) -> Result<u64> {
    Ok(held(&read(node)?))
}

/// Everything that the agent tells about itself there, as text.
pub(crate) fn read(node: &Netns) -> Result<String> {
    node.run(fetch)?.context("cannot read the agent's metrics")
}

fn fetch() -> std::io::Result<String> {
    let mut stream = TcpStream::connect_timeout(&HTTP, TIMEOUT)?;
    stream.set_read_timeout(Some(TIMEOUT))?;
    stream.set_write_timeout(Some(TIMEOUT))?;
    stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: node\r\nConnection: close\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer)
}

/// Sums lines such as `sluice_port_kernel_rx_ring_full_total{port="1",...} 5` over the ports.
fn losses(metrics: &str) -> BTreeMap<String, u64> {
    let mut sums = BTreeMap::new();
    for line in metrics.lines() {
        let counter = line.strip_prefix(PREFIX).and_then(|rest| rest.split_once('{'));
        let Some((name, rest)) = counter else { continue };
        let count = value(rest);
        if count > 0 {
            *sums.entry(name.trim_end_matches("_total").to_owned()).or_insert(0) += count;
        }
    }
    sums
}

/// Sums lines such as `sluice_port_frames_held{port="1",namespace="a",pod="b"} 128` over the pods' ports.
fn held(metrics: &str) -> u64 {
    let ports = metrics.lines().filter_map(|line| line.strip_prefix(FRAMES_HELD));
    ports.filter(|port| !port.contains(HOST_PORT)).map(value).sum()
}

/// The number that a line ends with; 0 when there is none.
fn value(line: &str) -> u64 {
    line.rsplit_once(' ').and_then(|(_, value)| value.parse::<f64>().ok()).unwrap_or(0.0) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn losses_are_summed_over_the_ports() {
        let text = "HTTP/1.1 200 OK\r\n\r\n# HELP sluice_port_kernel_rx_dropped x\n\
                    sluice_port_kernel_rx_ring_full_total{port=\"1\",pod=\"a b\"} 5\n\
                    sluice_port_kernel_rx_ring_full_total{port=\"2\",pod=\"c\"} 2\n\
                    sluice_port_kernel_rx_dropped_total{port=\"1\"} 0\n\
                    sluice_port_rx_packets_total{port=\"1\"} 9\n";
        assert_eq!(losses(text), BTreeMap::from([("rx_ring_full".to_owned(), 7)]));
        assert!(losses("sluice_port_kernel_x{").is_empty());
    }

    #[test]
    fn frames_of_the_node_s_own_port_are_not_the_pods() {
        let text = "sluice_port_frames_held{port=\"0\",namespace=\"\",pod=\"host\"} 1024.0\n\
                    sluice_port_frames_held{port=\"1\",namespace=\"a\",pod=\"host\"} 128.0\n\
                    sluice_port_frames_held{port=\"2\",namespace=\"a\",pod=\"b\"} 256\n\
                    sluice_port_rx_packets_total{port=\"2\",namespace=\"a\",pod=\"b\"} 7\n";
        assert_eq!(held(text), 384);
        assert_eq!(held("sluice_port_frames_held{"), 0);
    }
}
