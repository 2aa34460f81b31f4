//! The kernel as a router between two pods, with Service rules of nftables laid out as kube-proxy's nftables mode does
//! (`pkg/proxy/nftables/proxier.go`): a map from address, protocol and port to a chain for the Service, which leads to a chain
//! for the endpoint.

use std::fmt::Write as _;
use std::io::Write;
use std::net::IpAddr;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};
use sluice_host::{Netns, sysctl};
use sluice_lab::LabName;

use super::services::Services;
use super::vxlan::ip;
use super::{Cores, Family, INTERFACE, Path};
use crate::args::PathKind;

/// Programs that it takes, each with its package of Debian.
pub(crate) const PROGRAMS: &[(&str, &str)] = &[("ip", "iproute2"), ("nft", "nftables")];

/// The pods' networks, as kube-proxy is told them.
const CLUSTER: [&str; 2] = ["10.245.0.0/16", "fd00:10:245::/48"];

/// Makes node and pods, with a chain of rules for every Service; their namespaces bear the lab's name and go with it.
pub(crate) fn make(lab: &LabName, cores: Cores, services: &Services) -> Result<Path> {
    let name = |of: &str| lab.node_netns(&format!("peer.nftables.{of}"));
    let node = Netns::create(&name("node"))?;
    sysctl::set_in(&node, &[("net/ipv4/ip_forward", "1"), ("net/ipv6/conf/all/forwarding", "1")])?;
    for (number, pod) in [(1, "client"), (2, "server")] {
        Netns::create(&name(pod))?;
        attach(&name("node"), &name(pod), number)?;
    }
    let [server_v4, server_v6] = addresses(2);
    for (family, server) in [(Family::V4, server_v4), (Family::V6, server_v6)] {
        load(&node, &rules(services, family, server))?;
    }
    let [client, server] = ["client", "server"].map(|pod| Netns::open_named(&name(pod)));
    let (client, server) = (client?, server?);
    Ok(Path { kind: PathKind::Nftables, cores, client, server, interface: INTERFACE, server_v4, server_v6 })
}

/// Addresses of a pod.
fn addresses(number: u8) -> [IpAddr; 2] {
    [[10, 245, number, 2].into(), [0xfd00, 0x10, 0x245, u16::from(number), 0, 0, 0, 2].into()]
}

/// A pod, with the node as its router.
fn attach(node: &str, pod: &str, number: u8) -> Result<()> {
    ip(
        node,
        &format!(
            "link add port{number} type veth peer name {INTERFACE} netns {pod}\nlink set port{number} up\n\
             addr add 10.245.{number}.1/24 dev port{number}\naddr add fd00:10:245:{number}::1/64 dev port{number} nodad"
        ),
    )?;
    let [v4, v6] = addresses(number);
    ip(
        pod,
        &format!(
            "link set lo up\nlink set {INTERFACE} up\n\
             addr add {v4}/24 dev {INTERFACE}\naddr add {v6}/64 dev {INTERFACE} nodad\n\
             route add default via 10.245.{number}.1\nroute add default via fd00:10:245:{number}::1"
        ),
    )
}

fn load(node: &Netns, rules: &str) -> Result<()> {
    let mut command = Command::new("nft");
    command.args(["-f", "-"]).stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped());
    let mut child = node.spawn(&mut command).context("cannot start nft, of the package nftables")?;
    if let Some(mut stdin) = child.stdin.take() {
        stdin.write_all(rules.as_bytes()).context("nft does not read its rules")?;
    }
    let output = child.wait_with_output()?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "nft: {}", said.lines().take(5).collect::<Vec<_>>().join(" "));
    Ok(())
}

/// The table of one IP version.
fn rules(services: &Services, family: Family, server: IpAddr) -> String {
    let (table, of, pods) = match family {
        Family::V4 => ("ip", "ipv4_addr", CLUSTER[0]),
        Family::V6 => ("ip6", "ipv6_addr", CLUSTER[1]),
    };
    let mut text = format!(
        "table {table} kube-proxy {{\n\
         set cluster-ips {{ type {of}; }}\n\
         map service-ips {{ type {of} . inet_proto . inet_service : verdict; }}\n\
         map no-endpoint-services {{ type {of} . inet_proto . inet_service : verdict; }}\n\
         chain mark-for-masquerade {{ mark set mark or 0x4000; }}\n\
         chain masquerading {{ mark and 0x4000 == 0 return; mark set mark xor 0x4000; masquerade fully-random; }}\n\
         chain services {{ {table} daddr . meta l4proto . th dport vmap @service-ips; }}\n\
         chain service-endpoints-check {{ {table} daddr . meta l4proto . th dport vmap @no-endpoint-services; }}\n\
         chain cluster-ips-check {{ {table} daddr @cluster-ips reject; }}\n\
         chain filter-forward {{ type filter hook forward priority -110; policy accept; \
         ct state new jump service-endpoints-check; ct state new jump cluster-ips-check; }}\n\
         chain nat-prerouting {{ type nat hook prerouting priority -100; policy accept; jump services; }}\n\
         chain nat-output {{ type nat hook output priority -100; policy accept; jump services; }}\n\
         chain nat-postrouting {{ type nat hook postrouting priority 100; policy accept; jump masquerading; }}\n"
    );
    let (mut elements, mut frontends) = (Vec::new(), Vec::new());
    for (number, mapping) in services.mappings(family, server).enumerate() {
        let (address, port, backend) = (mapping.frontend.ip(), mapping.frontend.port(), mapping.backend);
        frontends.push(address.to_string());
        for protocol in ["tcp", "udp"] {
            let id = format!("{number:08X}-perf/service-{number}/{protocol}/{protocol}");
            // Writing into a text cannot fail.
            let _ = write!(
                text,
                "chain endpoint-{id} {{ {table} saddr {} jump mark-for-masquerade; meta l4proto {protocol} dnat to {backend}; }}\n\
                 chain service-{id} {{ {table} daddr {address} {protocol} dport {port} {table} saddr != {pods} \
                 jump mark-for-masquerade; numgen random mod 1 vmap {{ 0 : goto endpoint-{id} }}; }}\n",
                backend.ip(),
            );
            elements.push(format!("{address} . {protocol} . {port} : goto service-{id}"));
        }
    }
    text.push_str("}\n");
    for (set, elements) in [("service-ips", elements), ("cluster-ips", frontends)] {
        // In parts: a message to the kernel has a bound.
        for part in elements.chunks(1000) {
            let _ = writeln!(text, "add element {table} kube-proxy {set} {{ {} }}", part.join(", "));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::super::services::tests::some;
    use super::*;

    #[test]
    fn a_service_is_an_element_and_a_chain_that_leads_to_its_endpoint_s() {
        let text = rules(&some(2), Family::V4, [192, 0, 2, 2].into());
        let id = "00000001-perf/service-1/udp/udp";
        assert!(text.contains(&format!("198.51.100.1 . udp . 80 : goto service-{id}")), "{text}");
        assert!(text.contains(&format!("vmap {{ 0 : goto endpoint-{id} }}")), "{text}");
        assert!(text.contains("meta l4proto udp dnat to 192.0.2.2:8080"), "{text}");
        assert_eq!(text.matches("chain service-0").count(), 4, "for TCP and UDP each");
        assert!(
            rules(&some(1), Family::V6, "2001:db8::2".parse().expect("one")).contains("dnat to [2001:db8::2]:8080")
        );
    }

    #[test]
    fn without_services_there_are_the_base_chains_alone() {
        let text = rules(&some(0), Family::V4, [192, 0, 2, 2].into());
        assert!(!text.contains("add element") && text.contains("jump services"), "{text}");
    }
}
