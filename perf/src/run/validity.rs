//! When a trial means nothing. Such a trial is kept, with the reason.

use std::collections::BTreeMap;

use super::measure::{Outcome, Packets};
use crate::processors::Steal;

/// More steal than this spoils a trial. Ticks are 10 ms, and a tick or two may be an accident of counting.
const MOST_STEAL_PERCENT: f64 = 2.0;
const FEW_TICKS: u64 = 3;

/// Adds to the packets of an outcome what the peer dropped meanwhile, and gives every reason against the trial.
pub(super) fn check(
    outcome: &mut Outcome,
    before: &BTreeMap<String, u64>,
    after: &BTreeMap<String, u64>,
    steal: Steal,
) -> Vec<String> {
    let mut reasons = outcome.remarks.clone();
    if let Some(packets) = &mut outcome.packets {
        for (name, count) in grown(before, after) {
            *packets.drops.entry(name.clone()).or_default() += count;
        }
        packets.drops.retain(|_, count| *count > 0);
        reasons.extend(balance(packets.sent, packets.received, packets.drops.values().sum()));
    }
    if steal.percent() > MOST_STEAL_PERCENT && steal.ticks > FEW_TICKS {
        reasons.push(format!("{:.1} % steal: the hypervisor gave the time to others", steal.percent()));
    }
    reasons
}

/// Counters that are more than before, and by how much.
fn grown<'c>(
    before: &'c BTreeMap<String, u64>,
    after: &'c BTreeMap<String, u64>,
) -> impl Iterator<Item = (&'c String, u64)> {
    let since = |(name, now): (&'c String, &'c u64)| (name, now.saturating_sub(before.get(name).copied().unwrap_or(0)));
    after.iter().map(since).filter(|(_, count)| *count > 0)
}

/// True once nothing is missing that nobody has counted.
pub(super) fn explains(packets: &Packets, before: &BTreeMap<String, u64>, after: &BTreeMap<String, u64>) -> bool {
    let own: u64 = packets.drops.values().sum();
    let theirs: u64 = grown(before, after).map(|(_, count)| count).sum();
    packets.sent.saturating_sub(packets.received) <= own + theirs
}

/// Sent is received and what somebody counted as dropped. Counters are a peer's, not a flow's: drops of others' packets, such
/// as neighbour discovery, may be among them, so more drops than packets are missing is no fault.
fn balance(sent: u64, received: u64, dropped: u64) -> Option<String> {
    if received > sent {
        return Some(format!("{received} packets arrived of {sent} sent"));
    }
    let missing = sent - received;
    (missing > dropped).then(|| format!("{} of {sent} packets are missing and nobody dropped them", missing - dropped))
}

#[cfg(test)]
mod tests {
    use super::*;

    const CALM: Steal = Steal { ticks: 0, total: 200 };

    fn counts(counts: &[(&str, u64)]) -> BTreeMap<String, u64> {
        counts.iter().map(|(name, count)| ((*name).to_owned(), *count)).collect()
    }

    fn outcome(sent: u64, received: u64, socket: u64) -> Outcome {
        let packets = Packets { sent, received, drops: counts(&[("socket", socket)]) };
        Outcome { packets: Some(packets), ..Outcome::default() }
    }

    #[test]
    fn packets_that_nobody_dropped_make_a_trial_invalid() {
        let (before, after) = (counts(&[("ring", 10)]), counts(&[("ring", 13), ("other", 1)]));
        let mut whole = outcome(100, 94, 2);
        assert_eq!(check(&mut whole, &before, &after, CALM), [""; 0]);
        assert_eq!(whole.packets.expect("counted").drops, counts(&[("other", 1), ("ring", 3), ("socket", 2)]));
        let reasons = check(&mut outcome(100, 93, 2), &before, &after, CALM);
        assert_eq!(reasons, ["1 of 100 packets are missing and nobody dropped them"]);
        let reasons = check(&mut outcome(100, 101, 0), &before, &after, CALM);
        assert_eq!(reasons, ["101 packets arrived of 100 sent"]);
    }

    #[test]
    fn drops_of_others_are_no_fault() {
        let mut outcome = outcome(100, 100, 0);
        assert_eq!(check(&mut outcome, &counts(&[]), &counts(&[("ring", 5)]), CALM), [""; 0]);
    }

    #[test]
    fn steal_above_the_bound_makes_a_trial_invalid() {
        let reasons = |ticks, total| check(&mut Outcome::default(), &counts(&[]), &counts(&[]), Steal { ticks, total });
        assert_eq!(reasons(10, 200), ["5.0 % steal: the hypervisor gave the time to others"]);
        assert_eq!(reasons(3, 60), [""; 0], "a few ticks of a short trial");
        assert_eq!(reasons(10, 1000), [""; 0]);
        assert_eq!(reasons(0, 0), [""; 0]);
    }

    #[test]
    fn what_the_measure_itself_saw_is_a_reason() {
        let mut outcome = Outcome { remarks: vec!["the sender was slow".to_owned()], ..Outcome::default() };
        assert_eq!(check(&mut outcome, &counts(&[]), &counts(&[]), CALM), ["the sender was slow"]);
    }
}
