//! What the objects say must become of connections that were there before the objects changed.

use crate::cluster::{Cluster, Protocol};
use crate::cluster_switch::{ClusterSwitch, Seen};
use crate::conversation::{Arrived, judge, later_packet};
use crate::datagram::Datagram;
use crate::expect::{Lookup, answer, find, permits, usable};
use crate::traffic::{Content, Flow};

/// What may become of a connection's next packet from its client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// It arrives where the ones before did, as they did.
    On,
    /// It is dropped, the connection cut; counted under the reason of this name.
    Cut(&'static str),
    /// It is treated as the first of a new flow.
    Anew,
    /// Its sender is told that the other side is gone.
    Reset,
}

/// What may become of the next packet of a connection, after a change to `cluster`. Addresses and frontends are the same as
/// before; policies and endpoints may be others.
#[must_use]
pub fn next(cluster: &Cluster, flow: &Flow, arrived: &Arrived) -> Vec<Next> {
    let Datagram { destination, destination_port, .. } = arrived.datagram;
    let allowed = permits(cluster, flow, destination, destination_port);
    let by_policy = allowed.map_or_else(Next::Cut, |()| Next::On);
    let Content::Transport(protocol) = flow.content else { return vec![by_policy] };
    let Lookup::Found(frontend) = find(cluster, flow.destination, protocol, flow.destination_port) else {
        return vec![by_policy];
    };
    // What came through a tunnel has been to its Service elsewhere.
    if destination == flow.destination && destination_port == flow.destination_port {
        return vec![by_policy];
    }
    let v4 = flow.source.is_ipv4();
    let backend = (destination, destination_port);
    let now = usable(cluster, frontend.service, frontend.port, v4);
    let mut serving = (now.cluster.contains(&backend) || now.local.contains(&backend)).then_some(true);
    for slice in frontend.service.slices.iter().filter(|slice| slice.v4 == v4) {
        let here = slice.ports.iter().any(|it| it.name == frontend.port.name && it.port == destination_port);
        for endpoint in slice.endpoints.iter().filter(|it| here && it.address == destination) {
            serving = Some(serving.unwrap_or(false) || endpoint.serving.unwrap_or(true));
        }
    }
    match (protocol, serving) {
        (_, Some(true)) | (Protocol::Tcp, Some(false)) => vec![by_policy],
        (Protocol::Tcp, None) => vec![Next::Reset],
        _ => vec![Next::Anew],
    }
}

/// Sends the next packet of a connection after a change, and checks it. The result says what became of it.
///
/// # Errors
/// What the switch did that the objects do not say.
pub fn hold(cluster: &Cluster, switch: &mut ClusterSwitch, flow: &Flow, arrived: &Arrived) -> Result<Next, String> {
    let permitted = next(cluster, flow, arrived);
    let later = later_packet(flow);
    let frame = switch.frame(flow.from, &later);
    let port = switch.entry(flow.from, usize::from(flow.source_port));
    let seen = switch.send(port, &frame).pop().ok_or("a packet without a fate")?;
    for may in &permitted {
        let is_it = match may {
            Next::On => went_on(&seen, arrived, &later),
            Next::Cut(reason) => matches!(seen, Seen::Dropped(why) if why.name() == *reason),
            Next::Reset => matches!(&seen, Seen::Answered { reason, .. } if reason.name() == "backend_gone"),
            Next::Anew => true,
        };
        if *may == Next::Anew {
            judge_anew(cluster, flow, &later, &seen)?;
        }
        if is_it {
            return Ok(*may);
        }
    }
    Err(format!("permitted {permitted:?} for what arrived as {arrived:?}, seen {seen:?}"))
}

fn went_on(seen: &Seen, arrived: &Arrived, later: &Datagram) -> bool {
    let Seen::Left { to, frame } = seen else { return false };
    let expected = Datagram { flags: later.flags, payload: later.payload.clone(), ..arrived.datagram.clone() };
    *to == arrived.to && Datagram::read(frame).is_ok_and(|got| got == expected)
}

fn judge_anew(cluster: &Cluster, flow: &Flow, later: &Datagram, seen: &Seen) -> Result<(), String> {
    // An error quotes the packet that was sent, which is not the first.
    if let Seen::Answered { reason, .. } = seen {
        let rejected = crate::expect::Answer::Rejected(reason.name());
        return if answer(cluster, flow).contains(&rejected) { Ok(()) } else { Err(format!("refused: {seen:?}")) };
    }
    judge(flow, &answer(cluster, flow), seen).map(|_| ()).map_err(|error| format!("anew, {later:?}: {error}"))
}
