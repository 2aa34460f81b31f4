//! The packets of the benchmark: from which port, and byte by byte.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use sluice_packets::{Ethernet, Geneve, Ip, Segment};
use sluice_tables::{Encapsulation, Family, GATEWAY_MAC, PortId, tunnel_mac};
use sluice_wire::ethernet;

use super::addresses::{
    BACKEND_PORT, GENEVE_PORT, NODE, PODS, SERVICE_PORT, UPLINK_PORT, VNI, VXLAN_PORT, peer, pod, pod_of_peer, vip,
};
use super::world::{LOCAL_SERVICE, REMOTE_SERVICE, SERVER};

/// Payload that makes the shortest Ethernet frame: 14 Ethernet, 20 IPv4, 20 TCP, 6 payload, 4 frame check sequence.
const PAYLOAD: [u8; 6] = [7; 6];

/// The pod of the first peer that connections without a Service go to.
const FAR_SERVER: u32 = 5;

/// First source port of a client.
const FIRST_PORT: u16 = 1024;

/// Between whom.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Route {
    /// Two pods of this node.
    Local,
    /// A pod and a Service whose endpoint is on this node.
    LocalService,
    /// A pod and one of another node, in a tunnel.
    Remote,
    /// A pod and a Service whose endpoints are on another node.
    RemoteService,
    /// A pod and any of so many Services.
    AnyService(u32),
}

/// One connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Flow {
    pub(super) route: Route,
    pub(super) family: Family,
    /// Which of them; decides on client and source port.
    pub(super) number: u32,
    /// Clients that the connections are spread over.
    pub(super) clients: u32,
}

/// A packet and where it comes from.
#[derive(Clone, Debug)]
pub(super) struct Sent {
    pub(super) port: PortId,
    pub(super) frame: Vec<u8>,
}

impl Flow {
    /// Any of this node's pods but the one that serves.
    fn client(&self) -> u32 {
        SERVER + 1 + self.number % self.clients.min(PODS - 1)
    }

    fn source_port(&self) -> u16 {
        FIRST_PORT + (self.number / self.clients.min(PODS - 1)) as u16
    }

    /// A TCP segment of the client.
    pub(super) fn request(&self) -> Sent {
        self.segment_of_client(Segment::data)
    }

    /// The client's first segment.
    pub(super) fn first(&self) -> Sent {
        self.segment_of_client(Segment::syn)
    }

    fn segment_of_client(&self, segment: fn(u16, u16) -> Segment) -> Sent {
        let client = pod(self.client());
        let (server, port) = match self.route {
            Route::Local => (pod(SERVER), SERVICE_PORT),
            Route::LocalService => (vip(LOCAL_SERVICE), SERVICE_PORT),
            Route::Remote => (pod_of_peer(0, FAR_SERVER), SERVICE_PORT),
            Route::RemoteService => (vip(REMOTE_SERVICE), SERVICE_PORT),
            // Consecutive connections go to Services that are far from each other.
            Route::AnyService(services) => (vip(self.number.wrapping_mul(7919) % services), SERVICE_PORT),
        };
        let link = Ethernet::new(client.mac, GATEWAY_MAC);
        let segment = segment(self.source_port(), port);
        let frame = ip(link, client.of(self.family), server.of(self.family)).partial().tcp(&segment, &PAYLOAD);
        Sent { port: client.port, frame }
    }

    /// A TCP segment of the server. `forwarded` is what became of the request: for a Service it tells the endpoint.
    pub(super) fn reply(&self, forwarded: &[u8], encapsulation: Encapsulation) -> Option<Sent> {
        let client = pod(self.client());
        let (source, destination) = match self.route {
            Route::Local => (pod(SERVER).of(self.family), SERVICE_PORT),
            Route::LocalService => (pod(SERVER).of(self.family), BACKEND_PORT),
            Route::Remote => (pod_of_peer(0, FAR_SERVER).of(self.family), SERVICE_PORT),
            Route::RemoteService | Route::AnyService(_) => (inner_destination(forwarded)?, BACKEND_PORT),
        };
        let segment = Segment::data(destination, self.source_port());
        let to = client.of(self.family);
        if matches!(self.route, Route::Local | Route::LocalService) {
            let link = Ethernet::new(pod(SERVER).mac, GATEWAY_MAC);
            let frame = ip(link, source, to).partial().tcp(&segment, &PAYLOAD);
            return Some(Sent { port: pod(SERVER).port, frame });
        }
        let link = Ethernet::new(tunnel_mac(peer(0).v4.into()), tunnel_mac(NODE.v4.into()));
        let inner = ip(link, source, to).ttl(63).tcp(&segment, &PAYLOAD);
        let outer = Ip::v4(Ethernet::new(peer(0).mac, NODE.mac), peer(0).v4, NODE.v4);
        let frame = match encapsulation {
            Encapsulation::Geneve => outer.geneve(50_000, GENEVE_PORT, &Geneve::ethernet(VNI), &inner),
            Encapsulation::Vxlan | Encapsulation::None => outer.vxlan(50_000, VXLAN_PORT, VNI, &inner),
        };
        Some(Sent { port: UPLINK_PORT, frame })
    }
}

fn ip(link: Ethernet, source: IpAddr, destination: IpAddr) -> Ip {
    match (source, destination) {
        (IpAddr::V4(source), IpAddr::V4(destination)) => Ip::v4(link, source, destination),
        (IpAddr::V6(source), IpAddr::V6(destination)) => Ip::v6(link, source, destination),
        _ => unreachable!("both are taken from one family"),
    }
}

/// Bytes of the outer headers of an IPv4 tunnel: Ethernet, IPv4, UDP, VXLAN or Geneve without options.
const OUTER: usize = 14 + 20 + 8 + 8;

/// Whom a tunnel packet is for.
fn inner_destination(tunnelled: &[u8]) -> Option<IpAddr> {
    let inner = tunnelled.get(OUTER..)?;
    let l3 = inner.get(ethernet::HEADER_LEN..)?;
    match l3.first()? >> 4 {
        4 => Some(Ipv4Addr::from(*l3.get(16..)?.first_chunk::<4>()?).into()),
        6 => Some(Ipv6Addr::from(*l3.get(24..)?.first_chunk::<16>()?).into()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn a_million_connections_are_all_different() {
        let frames = (0..1_000_000).step_by(97).map(|number| {
            let flow = Flow { route: Route::RemoteService, family: Family::V4, number, clients: PODS };
            flow.request().frame
        });
        let (count, distinct) = (frames.clone().count(), frames.collect::<HashSet<_>>().len());
        assert_eq!(count, distinct);
    }

    #[test]
    fn a_request_is_the_shortest_frame() {
        let flow = Flow { route: Route::Local, family: Family::V4, number: 0, clients: 1 };
        assert_eq!(flow.request().frame.len(), 60);
    }
}
