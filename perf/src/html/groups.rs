//! Which series belong into one plot.

use crate::peers::Family;
use crate::results::{CaseResult, Document, FigureOf, Series};

/// One measure of a case with the same kind of packets, over all peers and rates.
pub(super) struct Group<'d> {
    /// In the order of the results.
    pub(super) series: Vec<&'d Series>,
    pub(super) figures: &'d [FigureOf],
}

/// How a group is shown best.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Percentiles of a time.
    Latency,
    /// What is lost at rising rates.
    Loss,
    /// One figure.
    Bars,
}

impl<'d> Group<'d> {
    /// The groups of a case.
    pub(super) fn of(document: &'d Document, case: &'d CaseResult) -> Vec<Self> {
        let key = |series: &'d Series| -> (&'d str, Family, u32, u32) {
            (&series.measure, series.load.family, series.load.size, series.load.flows)
        };
        let mut groups: Vec<Self> = Vec::new();
        for series in &case.series {
            let known = groups.iter_mut().find(|group| group.series.first().is_some_and(|one| key(one) == key(series)));
            match known {
                Some(group) => group.series.push(series),
                None => {
                    let figures = document.measures.get(&series.measure).map(Vec::as_slice).unwrap_or_default();
                    groups.push(Self { series: vec![series], figures });
                }
            }
        }
        groups
    }

    pub(super) fn kind(&self) -> Kind {
        let rates = self.distinct(|series| series.load.rate).len();
        let telling = self.figures.first().map(|figure| figure.unit.as_str());
        if rates > 1 && self.figures.iter().any(|figure| figure.name == "loss") {
            Kind::Loss
        } else if telling == Some("us") {
            Kind::Latency
        } else {
            Kind::Bars
        }
    }

    /// The series of each title, in order.
    pub(super) fn by_title(&self) -> Vec<(&'d str, Vec<&'d Series>)> {
        let titles = self.distinct(|series| series.title.as_str());
        let of = |title| (title, self.series.iter().filter(|series| series.title == title).copied().collect());
        titles.into_iter().map(of).collect()
    }

    /// The peers, in order.
    pub(super) fn peers(&self) -> Vec<&'d str> {
        self.distinct(|series| series.peer.as_str())
    }

    fn distinct<T: PartialEq>(&self, of: impl Fn(&'d Series) -> T) -> Vec<T> {
        let mut found = Vec::new();
        for series in &self.series {
            let value = of(series);
            if !found.contains(&value) {
                found.push(value);
            }
        }
        found
    }
}

/// Colours are one a peer over all of the page.
pub(super) struct Colours<'d>(Vec<&'d str>);

/// As many as the style has.
const COLOURS: usize = 8;

impl<'d> Colours<'d> {
    pub(super) fn of(document: &'d Document) -> Self {
        let mut peers: Vec<&str> = Vec::new();
        for series in document.scenarios.iter().flat_map(|one| &one.cases).flat_map(|case| &case.series) {
            if !peers.contains(&series.peer.as_str()) {
                peers.push(&series.peer);
            }
        }
        Self(peers)
    }

    pub(super) fn of_peer(&self, peer: &str) -> usize {
        self.0.iter().position(|known| *known == peer).unwrap_or(0) % COLOURS
    }

    /// For a legend.
    pub(super) fn with<'p>(&self, peers: &[&'p str]) -> Vec<(usize, &'p str)> {
        peers.iter().map(|peer| (self.of_peer(peer), *peer)).collect()
    }
}
