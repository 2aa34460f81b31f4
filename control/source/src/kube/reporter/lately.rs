//! What was told lately, and how much may be told now.

use std::collections::{HashMap, VecDeque};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::{Duration, Instant};

use crate::kube::reporter::ObjectFault;

/// Faults that are remembered as told.
const REMEMBERED: usize = 4096;
/// The time for which a number of Events is allowed.
const MINUTE: Duration = Duration::from_secs(60);

/// What is to be done about a fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum News {
    /// It is to be told.
    Tell,
    /// It was told not long ago.
    Told,
    /// More are remembered than there is room for; it is told once some of these are forgotten.
    NoRoom,
}

/// Faults told lately.
#[derive(Debug, Default)]
pub(crate) struct Lately {
    told: HashMap<u64, Instant>,
}

impl Lately {
    /// Whether a fault is to be told: not when it was told within `repeat`, nor when too many are remembered. If so it counts
    /// as told from now on.
    pub(crate) fn news(&mut self, fault: &ObjectFault, now: Instant, repeat: Duration) -> News {
        let hash = hash(fault);
        if self.told.get(&hash).is_some_and(|at| now.duration_since(*at) < repeat) {
            return News::Told;
        }
        if self.told.len() >= REMEMBERED {
            self.told.retain(|_, at| now.duration_since(*at) < repeat);
        }
        if self.told.len() >= REMEMBERED {
            return News::NoRoom;
        }
        self.told.insert(hash, now);
        News::Tell
    }

    /// The fault could not be told after all.
    pub(crate) fn forget(&mut self, fault: &ObjectFault) {
        self.told.remove(&hash(fault));
    }
}

fn hash(fault: &ObjectFault) -> u64 {
    let mut hasher = DefaultHasher::new();
    fault.hash(&mut hasher);
    hasher.finish()
}

/// Times of the Events of the last minute.
#[derive(Debug)]
pub(crate) struct Quota {
    limit: usize,
    written: VecDeque<Instant>,
}

impl Quota {
    pub(crate) fn new(per_minute: u32) -> Quota {
        Quota { limit: usize::try_from(per_minute.max(1)).unwrap_or(usize::MAX), written: VecDeque::new() }
    }

    /// Takes one: how long to wait until it may be used.
    pub(crate) fn take(&mut self, now: Instant) -> Duration {
        while self.written.front().is_some_and(|at| now.duration_since(*at) >= MINUTE) {
            self.written.pop_front();
        }
        let wait = match self.written.len().checked_sub(self.limit).and_then(|full| self.written.get(full)) {
            Some(at) => (*at + MINUTE).duration_since(now),
            None => Duration::ZERO,
        };
        self.written.push_back(now + wait);
        wait
    }
}

#[cfg(test)]
mod tests {
    use sluice_model::{Kind, Subject};

    use super::*;

    fn fault(name: &str) -> ObjectFault {
        let subject = Subject { kind: Kind::Node, namespace: None, name: Some(name.to_owned()) };
        ObjectFault { subject, reason: "Invalid", note: "a note".to_owned() }
    }

    #[test]
    fn the_same_fault_is_news_again_only_after_a_while() {
        let (mut lately, start, repeat) = (Lately::default(), Instant::now(), Duration::from_secs(10));
        assert_eq!(lately.news(&fault("a"), start, repeat), News::Tell);
        assert_eq!(lately.news(&fault("a"), start + Duration::from_secs(9), repeat), News::Told);
        assert_eq!(lately.news(&fault("b"), start, repeat), News::Tell);
        assert_eq!(lately.news(&fault("a"), start + Duration::from_secs(10), repeat), News::Tell);
        lately.forget(&fault("a"));
        assert_eq!(lately.news(&fault("a"), start + Duration::from_secs(11), repeat), News::Tell);
    }

    #[test]
    fn no_more_is_remembered_than_there_is_room_for_and_the_rest_is_not_taken_for_told() {
        let (mut lately, start, repeat) = (Lately::default(), Instant::now(), Duration::from_secs(10));
        let news: Vec<News> = (0..5000).map(|number| lately.news(&fault(&number.to_string()), start, repeat)).collect();
        assert!(news[..REMEMBERED].iter().all(|news| *news == News::Tell));
        assert!(news[REMEMBERED..].iter().all(|news| *news == News::NoRoom));
        assert_eq!(lately.news(&fault("0"), start, repeat), News::Told);
        assert_eq!(lately.news(&fault("later"), start + Duration::from_secs(10), repeat), News::Tell);
    }

    #[test]
    fn so_many_are_written_in_a_minute_and_no_more() {
        let (mut quota, start) = (Quota::new(2), Instant::now());
        let at = |seconds| start + Duration::from_secs(seconds);
        let waits =
            [quota.take(at(0)), quota.take(at(10)), quota.take(at(20)), quota.take(at(60)), quota.take(at(130))];
        assert_eq!(waits.map(|wait| wait.as_secs()), [0, 0, 40, 10, 0]);
    }
}
