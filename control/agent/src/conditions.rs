//! What the own Node says of this daemon: whether its network works, and whether its pods get addresses.

use std::time::{Duration, Instant};

use sluice_source::kube::NodeCondition;

use crate::agent::Agent;
use crate::ipam::IpamError;
use crate::readiness::Condition;

/// What keeps the daemon from serving for no longer than this is not told: it repairs much by itself, and a start takes its time.
/// The node's taint would come and go with it.
const GRACE: Duration = Duration::from_secs(10);

/// Since when the daemon cannot serve.
#[derive(Debug, Default)]
pub(crate) struct Unserving {
    since: Option<Instant>,
}

impl Unserving {
    /// `NetworkUnavailable`, as it should be for these reasons not to be ready; `None`: as it is. A daemon that is being stopped
    /// changes nothing: the next one goes on where it was.
    fn network(&mut self, stopping: bool, reasons: &[String], now: Instant) -> Option<NodeCondition> {
        if stopping {
            return None;
        }
        let condition =
            |holds, reason, message| Some(NodeCondition { kind: "NetworkUnavailable", holds, reason, message });
        if reasons.is_empty() {
            self.since = None;
            return condition(false, "SluiceIsUp", "sluiced serves the pods of this node".to_owned());
        }
        let since = *self.since.get_or_insert(now);
        let long = now.saturating_duration_since(since) >= GRACE;
        if long { condition(true, "SluiceIsNotReady", reasons.join("; ")) } else { None }
    }
}

/// `SluiceAddressesExhausted`.
fn addresses(exhausted: &[IpamError]) -> NodeCondition {
    let (holds, reason, message) = match exhausted {
        [] => (false, "AddressesFree", "every new pod of this node gets its addresses".to_owned()),
        full => (true, "NoAddressFree", full.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")),
    };
    NodeCondition { kind: "SluiceAddressesExhausted", holds, reason, message }
}

impl Agent {
    /// Tells the API how this node's network fares.
    pub(crate) fn tell_conditions(&self, unserving: &mut Unserving) {
        let Some(api) = self.api.get() else { return };
        let stopping = self.readiness.is_unmet(Condition::Running);
        let network = unserving.network(stopping, &self.readiness.reasons(), Instant::now());
        // Without podCIDRs there is nothing that could be used up.
        let known = !self.ledger.has_networks(&[]);
        let addresses = known.then(|| addresses(&self.ledger.exhausted()));
        api.reporter.publish_conditions(network.into_iter().chain(addresses).collect());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_network_is_unavailable_once_the_daemon_cannot_serve_for_a_while_and_available_at_once() {
        let (mut unserving, start) = (Unserving::default(), Instant::now());
        let down = ["the uplink is gone".to_owned(), "the socket is not open".to_owned()];
        let mut at = |after: Duration, reasons: &[String]| unserving.network(false, reasons, start + after);
        assert_eq!(at(Duration::ZERO, &down), None, "it may be over soon");
        assert_eq!(at(GRACE / 2, &down), None);
        let told = at(GRACE, &down).expect("it is not");
        assert_eq!((told.kind, told.holds, told.reason), ("NetworkUnavailable", true, "SluiceIsNotReady"));
        assert_eq!(told.message, "the uplink is gone; the socket is not open");
        let told = at(GRACE, &[]).expect("it is over");
        assert_eq!((told.kind, told.holds, told.reason), ("NetworkUnavailable", false, "SluiceIsUp"));
        assert_eq!(at(GRACE * 2, &down), None, "and begins anew");
    }

    #[test]
    fn a_daemon_that_is_stopped_says_nothing_of_its_network() {
        let (mut unserving, start) = (Unserving::default(), Instant::now());
        assert_eq!(unserving.network(true, &["it is being stopped".to_owned()], start), None);
        assert_eq!(unserving.network(true, &["it is being stopped".to_owned()], start + 2 * GRACE), None);
    }

    #[test]
    fn a_family_without_an_address_is_a_condition_that_is_set_and_cleared() {
        let full = IpamError::Full { networks: vec!["10.1.0.0/29".parse().unwrap()], in_use: 5 };
        let told = addresses(std::slice::from_ref(&full));
        assert_eq!((told.kind, told.holds, told.reason), ("SluiceAddressesExhausted", true, "NoAddressFree"));
        assert_eq!(told.message, full.to_string());
        let told = addresses(&[]);
        assert_eq!((told.kind, told.holds, told.reason), ("SluiceAddressesExhausted", false, "AddressesFree"));
    }
}
