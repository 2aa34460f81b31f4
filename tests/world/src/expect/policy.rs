//! NetworkPolicies: whether a packet may go from where it is to where it goes.

use std::net::IpAddr;

use crate::cluster::{Cluster, Labels, Operator, Peer, Policy, PolicyPort, PortName, Protocol, Rule, Selector, Way};
use crate::traffic::{Content, Flow, From};

/// One packet as policies see it: after a Service has chosen, before the source is masqueraded.
struct Judged<'c> {
    cluster: &'c Cluster,
    source: IpAddr,
    destination: IpAddr,
    content: Content,
    port: u16,
}

/// Whether the flow may reach this destination; if not, the name of the reason.
///
/// # Errors
/// The name under which it is counted.
pub fn permits(cluster: &Cluster, flow: &Flow, destination: IpAddr, port: u16) -> Result<(), &'static str> {
    let own_node = cluster.addresses_of_node(0);
    if own_node.contains(&flow.source) || own_node.contains(&destination) || flow.source == destination {
        return Ok(());
    }
    let judged = Judged { cluster, source: flow.source, destination, content: flow.content, port };
    if let From::Pod(pod) = flow.from
        && !judged.passes(pod, Way::Egress)
    {
        return Err("policy_egress");
    }
    match cluster.pod_at(destination) {
        Some(pod) if cluster.is_attached(pod) && flow.from == From::Pod(pod) => Ok(()),
        Some(pod) if cluster.is_attached(pod) && !judged.passes(pod, Way::Ingress) => Err("policy_ingress"),
        _ => Ok(()),
    }
}

impl Judged<'_> {
    fn passes(&self, subject: usize, way: Way) -> bool {
        let mut isolated = false;
        for policy in &self.cluster.policies {
            if !selects(policy, self.cluster, subject) || !is_about(policy, way) {
                continue;
            }
            isolated = true;
            let rules = if way == Way::Ingress { &policy.ingress } else { &policy.egress };
            if rules.iter().flatten().any(|rule| self.matches(policy, rule, way)) {
                return true;
            }
        }
        !isolated
    }

    fn matches(&self, policy: &Policy, rule: &Rule, way: Way) -> bool {
        let other = if way == Way::Ingress { self.source } else { self.destination };
        let peer = rule.peers.is_empty() || rule.peers.iter().any(|peer| self.is_peer(policy, peer, other));
        let port = rule.ports.is_empty() || rule.ports.iter().any(|port| self.is_port(port));
        peer && port
    }

    fn is_peer(&self, policy: &Policy, peer: &Peer, address: IpAddr) -> bool {
        match peer {
            Peer::Block { cidr, except } => {
                cidr.contains(&address) && !except.iter().any(|network| network.contains(&address))
            }
            Peer::Pods { namespaces, pods } => {
                let Some(pod) = self.cluster.pod_at(address).map(|pod| &self.cluster.pods[pod]) else { return false };
                let in_namespace = match namespaces {
                    None => pod.namespace == policy.namespace,
                    Some(selector) => holds(selector, &namespace_labels(self.cluster, pod.namespace)),
                };
                in_namespace && pods.as_ref().is_none_or(|selector| holds(selector, &pod.labels))
            }
        }
    }

    fn is_port(&self, port: &PolicyPort) -> bool {
        let Content::Transport(protocol) = self.content else { return false };
        if port.protocol.unwrap_or(Protocol::Tcp) != protocol {
            return false;
        }
        match &port.port {
            None => true,
            Some(PortName::Number(number)) => self.port == *number,
            Some(PortName::Range(first, last)) => (*first..=*last).contains(&self.port),
            Some(PortName::Name(name)) => {
                let Some(pod) = self.cluster.pod_at(self.destination) else { return false };
                let ports = &self.cluster.pods[pod].ports;
                ports.iter().any(|it| (&it.name, it.protocol, it.port) == (name, protocol, self.port))
            }
        }
    }
}

fn selects(policy: &Policy, cluster: &Cluster, subject: usize) -> bool {
    let pod = &cluster.pods[subject];
    pod.namespace == policy.namespace && holds(&policy.subject, &pod.labels)
}

fn is_about(policy: &Policy, way: Way) -> bool {
    match &policy.types {
        Some(types) => types.contains(&way),
        // As the API server fills it in (SetDefaults_NetworkPolicy): an empty list of rules is no section.
        None => way == Way::Ingress || policy.egress.as_ref().is_some_and(|rules| !rules.is_empty()),
    }
}

fn namespace_labels(cluster: &Cluster, namespace: usize) -> Labels {
    let mut labels = cluster.namespaces[namespace].labels.clone();
    labels.insert("kubernetes.io/metadata.name".to_owned(), format!("ns{namespace}"));
    labels
}

fn holds(selector: &Selector, labels: &Labels) -> bool {
    let by_labels = selector.labels.iter().all(|(key, value)| labels.get(key) == Some(value));
    let by_expressions = selector.expressions.iter().all(|it| {
        let value = labels.get(&it.key);
        match &it.operator {
            Operator::In(values) => value.is_some_and(|value| values.contains(value)),
            Operator::NotIn(values) => value.is_none_or(|value| !values.contains(value)),
            Operator::Exists => value.is_some(),
            Operator::DoesNotExist => value.is_none(),
        }
    });
    by_labels && by_expressions
}
