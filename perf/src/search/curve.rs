//! What a search found, and at which loads latency is looked at.

use serde::{Deserialize, Serialize};

/// One trial of a search.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(crate) struct Point {
    /// Packets a second that were offered.
    pub(crate) rate: u64,
    /// The part of them that was lost, from 0 to 1.
    pub(crate) loss: f64,
    /// Whether that is within what the search allowed.
    pub(crate) carried: bool,
}

/// What came of a search.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Found {
    /// The highest rate that was carried, in packets a second; none when not even the lowest was.
    pub(crate) rate: Option<u64>,
    /// Whether two trials at that rate were within bounds, and none was not.
    pub(crate) confirmed: bool,
    /// Every trial, in their order.
    pub(crate) points: Vec<Point>,
}

/// The parts of the rate found at which latency is looked at. At none of it there is a packet now and then.
const PARTS: [f64; 4] = [0.0, 0.1, 0.5, 0.9];

/// Packets a second that are next to no load.
const IDLE: u64 = 1_000;

impl Found {
    /// Rates at which latency is looked at, each with the part of the rate found that it is.
    pub(crate) fn loads(&self) -> Vec<(f64, u64)> {
        let rate = self.rate.unwrap_or(0) as f64;
        PARTS
            .map(|part| (part, ((rate * part) as u64).max(IDLE.min(rate as u64))))
            .into_iter()
            .filter(|(_, rate)| *rate > 0)
            .collect()
    }

    /// The loss curve: each rate once, rising, with the mean of its trials' losses.
    pub(crate) fn curve(&self) -> Vec<(u64, f64)> {
        let mut rates: Vec<u64> = self.points.iter().map(|point| point.rate).collect();
        rates.sort_unstable();
        rates.dedup();
        let mean = |rate: u64| {
            let losses: Vec<f64> =
                self.points.iter().filter(|point| point.rate == rate).map(|point| point.loss).collect();
            losses.iter().sum::<f64>() / losses.len() as f64
        };
        rates.into_iter().map(|rate| (rate, mean(rate))).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(rate: Option<u64>, points: &[(u64, f64)]) -> Found {
        let point = |&(rate, loss): &(u64, f64)| Point { rate, loss, carried: loss == 0.0 };
        Found { rate, confirmed: true, points: points.iter().map(point).collect() }
    }

    #[test]
    fn latency_is_looked_at_below_the_rate_found() {
        let loads = found(Some(1_000_000), &[]).loads();
        assert_eq!(loads, [(0.0, 1_000), (0.1, 100_000), (0.5, 500_000), (0.9, 900_000)]);
        assert!(found(Some(100), &[]).loads().iter().all(|(_, rate)| (1..=100).contains(rate)));
        assert_eq!(found(None, &[]).loads(), []);
    }

    #[test]
    fn a_rate_that_was_tried_twice_is_one_point_of_the_curve() {
        let curve = found(Some(10), &[(100, 0.5), (10, 0.0), (50, 0.2), (100, 0.7)]).curve();
        assert_eq!(curve.iter().map(|(rate, _)| *rate).collect::<Vec<_>>(), [10, 50, 100]);
        assert!((curve[2].1 - 0.6).abs() < 1e-9);
    }
}
