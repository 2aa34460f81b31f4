//! One measure on several paths, a round on each in turn, so that what happens to the machine meanwhile happens to all.

use anyhow::Result;
use serde::Serialize;

use crate::args::PathKind;
use crate::peers::{Cores, Family, Path};
use crate::stats::{Spread, spread};

/// What the rounds on one path gave.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Series<'p, T> {
    /// What is between the two pods.
    pub(crate) path: PathKind,
    /// Who ran where.
    pub(crate) cores: Cores,
    /// The IP version.
    pub(crate) family: Family,
    /// What each round gave, in their order.
    pub(crate) rounds: Vec<T>,
    #[serde(skip)]
    over: &'p Path,
}

impl<'p, T> Series<'p, T> {
    /// One without rounds.
    pub(crate) fn over(path: &'p Path, family: Family) -> Self {
        Self { path: path.kind, cores: path.cores, family, rounds: Vec::new(), over: path }
    }

    /// One without rounds for every path and IP version.
    pub(crate) fn over_each(paths: impl IntoIterator<Item = &'p Path> + Clone, families: &[Family]) -> Vec<Self> {
        let of = |family: &Family| paths.clone().into_iter().map(|path| Self::over(path, *family)).collect::<Vec<_>>();
        families.iter().flat_map(of).collect()
    }

    /// Median and range of one figure over the rounds.
    pub(crate) fn spread(&self, figure: impl Fn(&T) -> f64) -> Option<Spread> {
        spread(self.rounds.iter().map(figure))
    }
}

/// Adds rounds to all: A B C, A B C.
pub(crate) fn interleave<T>(
    series: &mut [Series<'_, T>],
    rounds: u32,
    mut measure: impl FnMut(&Path, Family) -> Result<T>,
) -> Result<()> {
    for _ in 0..rounds {
        for one in series.iter_mut() {
            one.rounds.push(measure(one.over, one.family)?);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, Ipv6Addr};

    use sluice_host::Netns;

    use super::*;

    fn path(kind: PathKind) -> Path {
        let here = || Netns::current().expect("we are in one");
        Path {
            kind,
            cores: Cores::of(kind, 0, 1),
            client: here(),
            server: here(),
            interface: "lo",
            server_v4: Ipv4Addr::LOCALHOST.into(),
            server_v6: Ipv6Addr::LOCALHOST.into(),
        }
    }

    #[test]
    fn rounds_go_over_all_paths_in_turn() {
        let paths = [path(PathKind::Direct), path(PathKind::Sluice)];
        let mut series = Series::over_each(&paths, &[Family::V4, Family::V6]);
        let mut order = Vec::new();
        interleave(&mut series, 2, |path, family| {
            order.push((path.kind.name(), path.server_address(family).is_ipv6()));
            Ok(order.len() as f64)
        })
        .expect("nothing fails");
        let round = [("direct", false), ("sluice", false), ("direct", true), ("sluice", true)];
        assert_eq!(order, [round, round].concat());
        assert_eq!(series[1].rounds, [2.0, 6.0]);
        assert_eq!(series[1].spread(|value| *value), Some(Spread { median: 4.0, min: 2.0, max: 6.0 }));
    }

    #[test]
    fn where_the_ends_ran_is_in_the_json() {
        let path = path(PathKind::DirectTwoCores);
        let mut series = Series::over(&path, Family::V6);
        series.rounds.push(1);
        let expected = serde_json::json!({
            "path": "direct-2",
            "cores": {"client": 0, "server": 1, "switch": null},
            "family": "v6",
            "rounds": [1],
        });
        assert_eq!(serde_json::to_value(&series).expect("plain data"), expected);
    }
}
