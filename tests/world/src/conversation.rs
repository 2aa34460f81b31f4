//! A flow from its first packet to its last, each step held against the oracle: where it arrives, that the answer comes back
//! as from whom was asked, and that what follows goes the same way.

use std::collections::{HashMap, HashSet};
use std::net::IpAddr;

use sluice_path::DropReason;
use sluice_tables::DEFAULT_MASQUERADE_PORTS;
use sluice_wire::{parse, tcp};

use crate::cluster::{Cluster, Protocol};
use crate::cluster_switch::{ClusterSwitch, Seen};
use crate::datagram::Datagram;
use crate::expect::{Answer, Delivery, Source, To, answer, masquerade_address, next_hop};
use crate::traffic::{Content, Flow, From};

/// Flows that were sent into one switch, so that each meets what those before it left.
#[derive(Debug, Default)]
pub struct Conversations {
    /// Flows that have been sent: a second of the same addresses and ports is the same connection.
    known: HashSet<(IpAddr, IpAddr, u8, u16, u16)>,
    /// Who is known under a tuple as the receiver sees it.
    seen: HashSet<(IpAddr, IpAddr, u8, u16, u16)>,
    /// The backend that a client was given by a Service with affinity.
    sticky: HashMap<(IpAddr, usize, u16, Protocol), (IpAddr, u16)>,
    /// Packets sent.
    pub packets: usize,
    /// Flows that were delivered.
    pub delivered: usize,
}

/// How the first packet of a flow arrived.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Arrived {
    /// Where.
    pub to: To,
    /// As what.
    pub datagram: Datagram,
}

impl Conversations {
    /// Sends a flow and checks it. `Ok(None)` where it does not arrive, rightly.
    ///
    /// # Errors
    /// What the switch did that the objects do not say.
    pub fn hold(
        &mut self,
        cluster: &Cluster,
        switch: &mut ClusterSwitch,
        flow: &Flow,
    ) -> Result<Option<Arrived>, String> {
        let number = flow.content.number(flow.source.is_ipv4());
        let tuple = (flow.source, flow.destination, number, flow.source_port, flow.destination_port);
        let back = (flow.destination, flow.source, number, flow.destination_port, flow.source_port);
        // It would rightly be taken for the answer of one that is there.
        if self.known.contains(&back) || self.seen.contains(&back) {
            return Ok(None);
        }
        if !self.known.insert(tuple) {
            return Ok(None);
        }
        let permitted = answer(cluster, flow);
        let sent = first_packet(flow);
        let seen = self.send(switch, flow.from, &sent)?;
        if flow.content == Content::Other && seen == Seen::Dropped(DropReason::MasqueradePorts) {
            return self.second_without_ports(flow).map(|()| None);
        }
        let Some(delivery) = judge(flow, &permitted, &seen)? else {
            self.note_open(&seen);
            return Ok(None);
        };
        let Seen::Left { to, frame } = seen else { return Err("delivered without leaving".to_owned()) };
        let datagram = read_forwarded(&frame)?;
        self.check_arrived(flow, &delivery, &sent, &datagram)?;
        self.delivered += 1;
        self.check_affinity(cluster, flow, &datagram)?;
        let arrived = Arrived { to, datagram };
        self.answer(cluster, switch, flow, &arrived)?;
        Ok(Some(arrived))
    }

    fn send(&mut self, switch: &mut ClusterSwitch, from: From, datagram: &Datagram) -> Result<Seen, String> {
        self.packets += 1;
        // The queue of the uplink has nothing to do with the worker of the other direction.
        let port = switch.entry(from, usize::from(datagram.source_port ^ datagram.destination_port));
        let frame = switch.frame(from, datagram);
        let mut seen = switch.send(port, &frame);
        match (seen.pop(), seen.is_empty()) {
            (Some(seen), true) => Ok(seen),
            _ => Err("one packet had several fates".to_owned()),
        }
    }

    /// What went where the specification leaves it open has made a connection all the same.
    fn note_open(&mut self, seen: &Seen) {
        if let Seen::Left { frame, .. } = seen
            && let Ok(got) = Datagram::read(frame)
        {
            let number = got.content.number(got.source.is_ipv4());
            self.seen.insert((got.source, got.destination, number, got.source_port, got.destination_port));
        }
    }

    /// A protocol without ports has one connection between two addresses; a second that would look the same is refused.
    fn second_without_ports(&self, flow: &Flow) -> Result<(), String> {
        let masquerade = masquerade_address(flow.source.is_ipv4());
        let number = flow.content.number(flow.source.is_ipv4());
        match self.seen.contains(&(masquerade, flow.destination, number, 0, 0)) {
            true => Ok(()),
            false => Err("no port was left for the only one of its kind".to_owned()),
        }
    }

    fn check_arrived(
        &mut self,
        flow: &Flow,
        delivery: &Delivery,
        sent: &Datagram,
        got: &Datagram,
    ) -> Result<(), String> {
        let masquerade = masquerade_address(flow.source.is_ipv4());
        let masqueraded = match delivery.source {
            Source::Kept => false,
            Source::Masqueraded => true,
            Source::Either => got.source != flow.source,
        };
        if masqueraded && delivery.source == Source::Masqueraded && got.source != masquerade {
            return Err(format!("the source is {} and should be the node's {masquerade}", got.source));
        }
        if !masqueraded && got.source != flow.source {
            return Err(format!("the source is {} and should be kept", got.source));
        }
        let has_ports = flow.content != Content::Other;
        let (first, last) = DEFAULT_MASQUERADE_PORTS;
        if has_ports && masqueraded && !(first..=last).contains(&got.source_port) {
            return Err(format!("source port {} is not one of those reserved", got.source_port));
        }
        let number = flow.content.number(flow.source.is_ipv4());
        let seen = (got.source, got.destination, number, got.source_port, got.destination_port);
        if !masqueraded && got.source_port != flow.source_port {
            let untouched = (flow.source, got.destination, number, flow.source_port, got.destination_port);
            let back = (got.destination, flow.source, number, got.destination_port, flow.source_port);
            if ![untouched, back].iter().any(|tuple| self.seen.contains(tuple) || self.known.contains(tuple)) {
                return Err(format!("source port {} became {} without need", flow.source_port, got.source_port));
            }
        }
        if !self.seen.insert(seen) {
            return Err(format!("two connections look the same to the receiver: {seen:?}"));
        }
        if got.payload != sent.payload || got.flags != sent.flags {
            return Err("flags or payload changed on the way".to_owned());
        }
        Ok(())
    }

    fn check_affinity(&mut self, cluster: &Cluster, flow: &Flow, got: &Datagram) -> Result<(), String> {
        use crate::expect::{Lookup, find};
        let Content::Transport(protocol) = flow.content else { return Ok(()) };
        let Lookup::Found(frontend) = find(cluster, flow.destination, protocol, flow.destination_port) else {
            return Ok(());
        };
        if frontend.service.affinity.is_none() {
            return Ok(());
        }
        let number = cluster.services.iter().position(|it| std::ptr::eq(it, frontend.service)).unwrap_or_default();
        let key = (flow.source, number, frontend.port.port, protocol);
        let now = (got.destination, got.destination_port);
        let usable = crate::expect::usable(cluster, frontend.service, frontend.port, flow.source.is_ipv4());
        let before = *self.sticky.entry(key).or_insert(now);
        self.sticky.insert(key, now);
        // A client may be sent elsewhere where this way does not lead to the endpoint it had.
        let both = usable.cluster.contains(&before) && usable.local.contains(&before);
        if before != now && both {
            return Err(format!("affinity: the client had {before:?} and was given {now:?}"));
        }
        Ok(())
    }

    /// The receiver answers, the sender goes on, and both again.
    fn answer(
        &mut self,
        cluster: &Cluster,
        switch: &mut ClusterSwitch,
        flow: &Flow,
        arrived: &Arrived,
    ) -> Result<(), String> {
        let receiver = match arrived.to {
            To::Pod(pod) => From::Pod(pod),
            To::Host => From::Host,
            To::Peer(node) => From::Peer(node),
            To::Neighbour(_) => From::Outside,
        };
        let second = later_packet(flow);
        if arrived.to == To::Host && (arrived.datagram.source == flow.source || !cluster.setup.uplink) {
            // What the host answers beyond the node, or without the switch's translation, goes its own way.
            if arrived.datagram.destination != flow.destination && !matches!(flow.from, From::Pod(_)) {
                return Ok(());
            }
        }
        for round in 0..2 {
            let answer = arrived.datagram.answered();
            let seen = self.send(switch, receiver, &answer)?;
            self.check_answer(flow, &seen, &answer).map_err(|error| format!("answer {round}: {error}"))?;
            let seen = self.send(switch, flow.from, &second)?;
            let Seen::Left { to, frame } = seen else { return Err(format!("packet {}: {seen:?}", round + 2)) };
            let got = read_forwarded(&frame).map_err(|error| format!("packet {}: {error}", round + 2))?;
            let expected = Datagram { flags: got.flags, payload: second.payload.clone(), ..arrived.datagram.clone() };
            if to != arrived.to || got != expected {
                return Err(format!("packet {} went to {to:?} as {got:?}, not as the first", round + 2));
            }
        }
        Ok(())
    }

    fn check_answer(&self, flow: &Flow, seen: &Seen, answer: &Datagram) -> Result<(), String> {
        let Seen::Left { to, frame } = seen else { return Err(format!("{seen:?}")) };
        let got = read_forwarded(frame)?;
        let home = match flow.from {
            From::Pod(pod) => To::Pod(pod),
            From::Host => To::Host,
            From::Peer(node) => To::Peer(node),
            From::Outside => To::Neighbour(next_hop(flow.source)),
        };
        if *to != home {
            return Err(format!("went to {to:?} instead of {home:?}"));
        }
        let expected = Datagram {
            source: flow.destination,
            destination: flow.source,
            source_port: flow.destination_port,
            destination_port: flow.source_port,
            ..answer.clone()
        };
        if got != expected {
            return Err(format!("arrived as {got:?} instead of {expected:?}"));
        }
        Ok(())
    }
}

/// Reads a packet that was sent on: it is right, and one hop older than all that conversations send.
fn read_forwarded(frame: &[u8]) -> Result<Datagram, String> {
    const SENT: u8 = 64;
    let datagram = Datagram::read(frame).map_err(|error| format!("what left {error}"))?;
    let headers = parse::parse(frame, frame.len()).map_err(|error| format!("what left {error}"))?;
    match headers.ttl {
        ttl if ttl == SENT - 1 => Ok(datagram),
        ttl => Err(format!("it has {ttl} hops left of {SENT}")),
    }
}

/// The first packet of a flow.
#[must_use]
pub fn first_packet(flow: &Flow) -> Datagram {
    let flags = if flow.content == Content::Transport(Protocol::Tcp) { tcp::flag::SYN } else { 0 };
    Datagram {
        source: flow.source,
        destination: flow.destination,
        content: flow.content,
        source_port: flow.source_port,
        destination_port: flow.destination_port,
        flags,
        payload: b"first".to_vec(),
    }
}

/// A packet of the flow after the first.
#[must_use]
pub fn later_packet(flow: &Flow) -> Datagram {
    Datagram { flags: second_flags(flow), payload: b"second".to_vec(), ..first_packet(flow) }
}

fn second_flags(flow: &Flow) -> u8 {
    if flow.content == Content::Transport(Protocol::Tcp) { tcp::flag::ACK } else { 0 }
}

/// Whether what was seen is one of the answers; the delivery that it is.
///
/// # Errors
/// What was seen, where it is none of them.
pub fn judge(flow: &Flow, permitted: &[Answer], seen: &Seen) -> Result<Option<Delivery>, String> {
    let wrong = || Err(format!("permitted {permitted:?}, seen {}", describe(seen)));
    let open = permitted.contains(&Answer::AnythingButAPod);
    match seen {
        Seen::Left { to, frame } => {
            let got = Datagram::read(frame).map_err(|error| format!("what left {error}"))?;
            let delivery = permitted.iter().find_map(|it| match it {
                Answer::Delivered(it) if it.to == *to && fits(it, flow, &got) => Some(*it),
                _ => None,
            });
            match delivery {
                None if open && !matches!(to, To::Pod(_)) => Ok(None),
                None => wrong(),
                some => Ok(some),
            }
        }
        Seen::Answered { reason, to, frame } => {
            let known = permitted.iter().any(|it| *it == Answer::Rejected(reason.name()));
            if !known && !open {
                return wrong();
            }
            check_error(flow, *to, frame).map(|()| None)
        }
        Seen::Dropped(reason) if permitted.contains(&Answer::Dropped(reason.name())) || open => Ok(None),
        // An error is due, but not about everything (ICMP to a group, for one), and their number is bounded.
        Seen::Dropped(reason) if flow.content != Content::Echo && flow.content != Content::Other => {
            let _ = reason;
            wrong()
        }
        Seen::Dropped(reason) if permitted.contains(&Answer::Rejected(reason.name())) => Ok(None),
        Seen::Punted if permitted.contains(&Answer::Punted) || open => Ok(None),
        _ => wrong(),
    }
}

fn fits(delivery: &Delivery, flow: &Flow, got: &Datagram) -> bool {
    let ported = matches!(flow.content, Content::Transport(_));
    got.destination == delivery.destination && (!ported || got.destination_port == delivery.port)
}

/// An error goes to the sender, the way it came, and quotes what it sent.
fn check_error(flow: &Flow, to: To, frame: &[u8]) -> Result<(), String> {
    let home = match flow.from {
        From::Pod(pod) => To::Pod(pod),
        From::Host => To::Host,
        From::Peer(node) => To::Peer(node),
        From::Outside => To::Neighbour(next_hop(flow.source)),
    };
    let headers = parse::parse(frame, frame.len()).map_err(|error| format!("an error that {error}"))?;
    let (_, receiver) = headers.addresses(frame).ok_or("an error that is not IP")?;
    if to != home || receiver != flow.source {
        return Err(format!("the error went to {receiver} by {to:?}"));
    }
    let icmp = if flow.source.is_ipv4() { sluice_wire::protocol::ICMPV4 } else { sluice_wire::protocol::ICMPV6 };
    if headers.protocol != icmp {
        return Err(format!("the error is of protocol {}", headers.protocol));
    }
    let quoted = &frame[usize::from(headers.l4_offset) + 8..];
    let sent = first_packet(flow);
    let link = sluice_packets::Ethernet::new(headers.source_mac, headers.destination_mac);
    let whole = sent.frame(link, matches!(flow.from, From::Pod(_) | From::Host));
    let packet = &whole[sluice_wire::ethernet::HEADER_LEN..];
    match packet.starts_with(quoted) && quoted.len() >= packet.len().min(28) {
        true => Ok(()),
        false => Err("the error does not quote what was sent".to_owned()),
    }
}

fn describe(seen: &Seen) -> String {
    match seen {
        Seen::Left { to, frame } => match Datagram::read(frame) {
            Ok(got) => format!("to {to:?} as {got:?}"),
            Err(error) => format!("to {to:?}, which {error}"),
        },
        Seen::Answered { reason, to, .. } => format!("an error to {to:?} for {reason}"),
        other => format!("{other:?}"),
    }
}
