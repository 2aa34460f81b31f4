//! What ought to become of a packet, answered from the objects.

use std::net::IpAddr;

use sluice_path::DropReason;
use sluice_tables::{GATEWAY_IPV4, GATEWAY_IPV6, GATEWAY_MAC, PortId};

use crate::{Content, Node, Pod, Sent};

/// What ought to become of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expected {
    /// It leaves by the port, one hop older.
    Forwarded(PortId),
    /// Its sender gets an echo reply.
    EchoReply,
    /// Nothing leaves.
    Dropped(DropReason),
    /// It is dropped, and its sender is told.
    Refused(DropReason),
}

/// Answers for a packet that is right in itself.
#[must_use]
pub fn answer(node: &Node, sent: &Sent) -> Expected {
    let pod = node.pods.iter().find(|pod| pod.port == sent.port);
    let from_host = node.host.as_ref().is_some_and(|host| host.port == sent.port);
    if pod.is_none() && !from_host {
        return Expected::Dropped(DropReason::UnknownPort);
    }
    let fault = pod.and_then(|pod| mac_fault(pod, sent)).or_else(|| misaddressed(sent)).or_else(|| match pod {
        Some(pod) => pod_fault(pod, sent),
        None => host_fault(node, sent),
    });
    if let Some(reason) = fault {
        return Expected::Dropped(reason);
    }
    // What it quotes is no packet, let alone one of a connection. The gateway's address stands for clients too, so errors to it are looked at.
    if sent.content == Content::Unreachable {
        return Expected::Dropped(DropReason::IcmpQuote);
    }
    if is_gateway(sent.destination) {
        return at_the_gateway(sent);
    }
    if is_link_local_v6(sent.source) {
        return Expected::Dropped(DropReason::LinkLocalSource);
    }
    match destination_port(node, sent, from_host) {
        Ok(port) => fit(node, sent, port),
        Err(expected) => expected,
    }
}

fn mac_fault(pod: &Pod, sent: &Sent) -> Option<DropReason> {
    (sent.source_mac != pod.mac).then_some(DropReason::SpoofedMac)
}

fn misaddressed(sent: &Sent) -> Option<DropReason> {
    let mac = sent.destination_mac;
    match mac {
        GATEWAY_MAC => None,
        _ if mac.octets() == [0xff; 6] => Some(DropReason::Broadcast),
        _ if mac.octets()[0] % 2 == 1 => Some(DropReason::Multicast),
        _ => Some(DropReason::NotForGateway),
    }
}

fn pod_fault(pod: &Pod, sent: &Sent) -> Option<DropReason> {
    if has(pod, sent.source) {
        return None;
    }
    if sent.source != IpAddr::V6(pod.link_local()) {
        return Some(DropReason::SpoofedAddress);
    }
    let stays = is_gateway(sent.destination) && sent.content == Content::EchoRequest;
    (!stays).then_some(DropReason::LinkLocalSource)
}

fn host_fault(node: &Node, sent: &Sent) -> Option<DropReason> {
    let source = sent.source;
    if node.pods.iter().any(|pod| has(pod, source)) || is_gateway(source) {
        return Some(DropReason::SpoofedAddress);
    }
    let text = source.to_string();
    let nobody = ["0.0.0.0", "255.255.255.255", "::", "::1"].contains(&text.as_str())
        || text.starts_with("127.")
        || source.is_multicast();
    nobody.then_some(DropReason::MartianSource)
}

fn at_the_gateway(sent: &Sent) -> Expected {
    match sent.content {
        Content::EchoRequest => Expected::EchoReply,
        Content::EchoReply | Content::Unreachable => Expected::Dropped(DropReason::GatewayIcmp),
        Content::Udp | Content::Tcp | Content::TcpPartial => Expected::Refused(DropReason::GatewayPort),
        Content::Unknown => Expected::Refused(DropReason::GatewayProtocol),
    }
}

fn destination_port(node: &Node, sent: &Sent, from_host: bool) -> Result<PortId, Expected> {
    let destination = sent.destination;
    if let Some(pod) = node.pods.iter().find(|pod| has(pod, destination)) {
        let own = pod.port == sent.port;
        return if own { Err(Expected::Dropped(DropReason::SamePort)) } else { Ok(pod.port) };
    }
    let host = node.host.as_ref();
    let is_hosts = host.is_some_and(|host| destination == host.v4 || destination == host.v6);
    if is_nowhere(destination) {
        return Err(Expected::Dropped(DropReason::Martian));
    }
    let in_pod_cidr = destination.to_string().starts_with("10.7.0.") || destination.to_string().starts_with("fd00:7::");
    if in_pod_cidr && !is_hosts {
        return Err(told(sent, DropReason::NoSuchPod));
    }
    match host {
        Some(host) if !from_host => Ok(host.port),
        _ => Err(told(sent, DropReason::NoRoute)),
    }
}

fn fit(node: &Node, sent: &Sent, port: PortId) -> Expected {
    if sent.ttl < 2 {
        return told(sent, DropReason::TtlExpired);
    }
    let tcp = matches!(sent.content, Content::Tcp | Content::TcpPartial);
    let most = if tcp { node.max_l3_len as usize } else { usize::from(node.path_mtu) };
    match sent.ip_len() <= most {
        true => Expected::Forwarded(port),
        false if sent.source.is_ipv4() && !sent.dont_fragment && tcp => Expected::Dropped(DropReason::NeedsFragmenting),
        // In fragments.
        false if sent.source.is_ipv4() && !sent.dont_fragment => Expected::Forwarded(port),
        false => told(sent, DropReason::TooBig),
    }
}

/// Errors are not reported by errors.
fn told(sent: &Sent, reason: DropReason) -> Expected {
    match sent.content {
        Content::Unreachable => Expected::Dropped(reason),
        _ => Expected::Refused(reason),
    }
}

fn has(pod: &Pod, address: IpAddr) -> bool {
    pod.v4.map(IpAddr::V4) == Some(address) || pod.v6.map(IpAddr::V6) == Some(address)
}

fn is_gateway(address: IpAddr) -> bool {
    address == GATEWAY_IPV4 || address == GATEWAY_IPV6
}

fn is_link_local_v6(address: IpAddr) -> bool {
    matches!(address, IpAddr::V6(v6) if (0xfe80..=0xfebf).contains(&v6.segments()[0]))
}

fn is_nowhere(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => {
            let [first, ..] = v4.octets();
            first == 0 || first == 127 || first >= 224
        }
        IpAddr::V6(v6) => u128::from(v6) <= 1 || v6.segments()[0] >= 0xff00 || is_link_local_v6(address),
    }
}
