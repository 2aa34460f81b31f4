//! Which pods have a port under which name, kept as pods come and go.
//!
//! An egress rule that opens a named port means each pod's own number for it, so it depends on pods all over the cluster. What
//! is kept here changes with a pod's labels, its ports, or whose an address is, and with nothing else: a pod that becomes ready
//! is no change.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use super::allowed::{Name, Target};
use crate::pod::{Pod, PodPort};
use crate::protocol::Protocol;

/// The named ports of all pods that have an address.
#[derive(Clone, Debug, Default)]
pub(super) struct NamedPorts {
    by_name: BTreeMap<Arc<Name>, BTreeMap<IpAddr, (u32, u16)>>,
    of_address: BTreeMap<IpAddr, Bearer>,
    changed: Vec<(Arc<Name>, Target)>,
}

/// What the pod with an address has names for: never nothing.
#[derive(Clone, Debug)]
struct Bearer {
    identity: u32,
    ports: Box<[(Arc<Name>, u16)]>,
}

impl NamedPorts {
    /// The address is this pod's from now on, which has this identity; or nobody's.
    pub(super) fn set(&mut self, address: IpAddr, owner: Option<(u32, &Pod)>) {
        let before = self.of_address.get(&address);
        let written = |bearer: &Bearer, pod: &Pod| {
            bearer.ports.iter().map(|(name, port)| (name.0.as_str(), name.1, *port)).eq(named(pod))
        };
        let same = match (before, owner) {
            (None, None) => true,
            (None, Some((_, pod))) => named(pod).next().is_none(),
            (Some(_), None) => false,
            (Some(bearer), Some((identity, pod))) => bearer.identity == identity && written(bearer, pod),
        };
        if same {
            return;
        }
        let before = self.of_address.remove(&address);
        let now = owner.map(|(identity, pod)| Bearer { identity, ports: self.ports(pod) });
        self.exchange(address, before.as_ref(), now.as_ref());
        if let Some(now) = now.filter(|now| !now.ports.is_empty()) {
            self.of_address.insert(address, now);
        }
    }

    /// All that have a port of this name, by address.
    pub(super) fn targets(&self, name: &Name) -> impl Iterator<Item = Target> {
        let targets = self.by_name.get(name).into_iter().flatten();
        targets.map(|(address, (identity, port))| Target { identity: *identity, address: *address, port: *port })
    }

    /// What came and what went since this was asked last.
    pub(super) fn take_changed(&mut self) -> Vec<(Arc<Name>, Target)> {
        std::mem::take(&mut self.changed)
    }

    /// A pod's named ports. Each name is held once, however many pods have it.
    fn ports(&self, pod: &Pod) -> Box<[(Arc<Name>, u16)]> {
        let shared = |(name, protocol, port): (&str, _, _)| {
            let name = (name.to_owned(), protocol);
            let known = self.by_name.get_key_value(&name).map(|(known, _)| Arc::clone(known));
            (known.unwrap_or_else(|| Arc::new(name)), port)
        };
        named(pod).map(shared).collect()
    }

    fn exchange(&mut self, address: IpAddr, before: Option<&Bearer>, now: Option<&Bearer>) {
        let with_identity = |bearer: &Bearer| -> Vec<(Arc<Name>, u32, u16)> {
            bearer.ports.iter().map(|(name, port)| (Arc::clone(name), bearer.identity, *port)).collect()
        };
        let before = before.map(with_identity).unwrap_or_default();
        let now = now.map(with_identity).unwrap_or_default();
        for (name, identity, port) in before.iter().filter(|one| !now.contains(one)) {
            self.changed.push((Arc::clone(name), Target { identity: *identity, address, port: *port }));
            if let Some(targets) = self.by_name.get_mut(name) {
                targets.remove(&address);
                if targets.is_empty() {
                    self.by_name.remove(name);
                }
            }
        }
        for (name, identity, port) in now.iter().filter(|one| !before.contains(one)) {
            self.changed.push((Arc::clone(name), Target { identity: *identity, address, port: *port }));
            self.by_name.entry(Arc::clone(name)).or_default().insert(address, (*identity, *port));
        }
    }
}

/// The ports that a pod has names for: of several with one name and protocol the first, as [`Pod::named_port`] has it.
fn named(pod: &Pod) -> impl Iterator<Item = (&str, Protocol, u16)> {
    let is_first = |(position, port): &(usize, &PodPort)| {
        let same = pod.ports.iter().position(|one| one.name == port.name && one.protocol == port.protocol);
        same == Some(*position) && !port.name.is_empty()
    };
    let ports = pod.ports.iter().enumerate().filter(is_first);
    ports.map(|(_, port)| (port.name.as_str(), port.protocol, port.port))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::name::PodName;
    use crate::object::Labels;
    use crate::pod::Phase;

    fn pod(ports: &[(&str, Protocol, u16)]) -> Pod {
        let port = |(name, protocol, port): &(&str, _, _)| PodPort {
            name: (*name).to_owned(),
            port: *port,
            protocol: *protocol,
        };
        Pod {
            name: PodName::parse("blue", "web").expect("a name"),
            uid: None,
            created: None,
            labels: Labels::new(),
            node: None,
            host_network: false,
            phase: Phase::Running,
            addresses: Vec::new(),
            ports: ports.iter().map(port).collect(),
            ready: None,
            terminating: false,
        }
    }

    fn name(name: &str) -> Name {
        (name.to_owned(), Protocol::Tcp)
    }

    #[test]
    fn only_what_differs_has_changed() {
        let mut ports = NamedPorts::default();
        let address = IpAddr::from([10, 0, 0, 1]);
        let two = pod(&[("web", Protocol::Tcp, 80), ("db", Protocol::Tcp, 5432), ("", Protocol::Tcp, 9)]);
        ports.set(address, Some((3, &two)));
        assert_eq!(ports.take_changed().len(), 2);
        ports.set(address, Some((3, &Pod { ready: Some(true), terminating: true, ..two.clone() })));
        assert!(ports.take_changed().is_empty(), "it has the same ports and labels");
        let moved = pod(&[("web", Protocol::Tcp, 81), ("db", Protocol::Tcp, 5432)]);
        ports.set(address, Some((3, &moved)));
        let changed: Vec<(String, u16)> =
            ports.take_changed().into_iter().map(|(name, target)| (name.0.clone(), target.port)).collect();
        assert_eq!(changed, [("web".to_owned(), 80), ("web".to_owned(), 81)]);
        ports.set(address, Some((4, &moved)));
        assert_eq!(ports.take_changed().len(), 4, "both names are of another identity");
        ports.set(address, None);
        assert_eq!(ports.take_changed().len(), 2);
        assert!(ports.by_name.is_empty() && ports.of_address.is_empty(), "nothing stays behind");
    }

    #[test]
    fn the_first_port_of_a_name_and_protocol_counts() {
        let mut ports = NamedPorts::default();
        let several = pod(&[("web", Protocol::Tcp, 80), ("web", Protocol::Udp, 81), ("web", Protocol::Tcp, 82)]);
        ports.set(IpAddr::from([10, 0, 0, 1]), Some((0, &several)));
        let found =
            |protocol| ports.targets(&("web".to_owned(), protocol)).map(|target| target.port).collect::<Vec<_>>();
        assert_eq!((found(Protocol::Tcp), found(Protocol::Udp), found(Protocol::Sctp)), (vec![80], vec![81], vec![]));
    }

    proptest! {
        /// Against the pods themselves, and what came and went against what there is.
        #[test]
        fn targets_are_those_of_the_pods_there_are(
            steps in proptest::collection::vec(
                (0..4u8, proptest::option::of((0..3u32, proptest::collection::vec((0..3usize, 80..82u16), 0..3)))), 0..40)
        ) {
            const NAMES: [&str; 3] = ["web", "db", ""];
            let mut ports = NamedPorts::default();
            let mut pods: BTreeMap<IpAddr, (u32, Pod)> = BTreeMap::new();
            for (address, owner) in steps {
                let address = IpAddr::from([10, 0, 0, address]);
                let before: Vec<Vec<(u32, IpAddr, u16)>> = NAMES.iter().map(|text| all(&ports, text)).collect();
                let owner = owner.map(|(identity, written)| {
                    let written: Vec<_> =
                        written.into_iter().map(|(at, port)| (NAMES[at], Protocol::Tcp, port)).collect();
                    (identity, pod(&written))
                });
                ports.set(address, owner.as_ref().map(|(identity, pod)| (*identity, pod)));
                match owner {
                    Some(owner) => drop(pods.insert(address, owner)),
                    None => drop(pods.remove(&address)),
                }
                let changed = ports.take_changed();
                for (text, before) in NAMES.iter().zip(before) {
                    let now = all(&ports, text);
                    let expected: Vec<_> = pods.iter().filter_map(|(address, (identity, pod))| {
                        Some((*identity, *address, pod.named_port(text, Protocol::Tcp)?))
                    }).collect();
                    prop_assert_eq!(&now, &expected);
                    let noted = changed.iter().any(|(one, _)| one.0 == *text);
                    prop_assert_eq!(now != before, noted, "{}", text);
                }
            }
        }
    }

    fn all(ports: &NamedPorts, text: &str) -> Vec<(u32, IpAddr, u16)> {
        ports.targets(&name(text)).map(|target| (target.identity, target.address, target.port)).collect()
    }
}
