//! How many packets a second a path carries: the highest rate whose loss is within bounds.
//!
//! The search is a bisection between a rate that was seen to be carried and one that was seen not to be, as RFC 2544 section 26.1
//! asks, with what MLRsearch (draft-ietf-bmwg-mlrsearch) adds to it: the first trials are at the rate that can be offered and at
//! what came through then, as a path's capacity is seldom far from that; a rate counts only when a second trial at the end
//! confirms it, else the search goes on below; and the number of trials is bounded.

mod curve;

pub(crate) use curve::{Found, Point};

use anyhow::Result;

/// What is searched for, and how closely.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Goal {
    /// The rates between which it is, in packets a second. More than the highest is never asked for.
    pub(crate) lowest: u64,
    pub(crate) highest: u64,
    /// The part of the packets that may be lost, from 0 to 1.
    pub(crate) loss: f64,
    /// The search ends when bounds are no further apart than this part of the upper one.
    pub(crate) precision: f64,
    /// Trials at most, those that confirm among them.
    pub(crate) trials: u32,
}

impl Goal {
    /// The non-drop rate: no packet is lost.
    pub(crate) fn ndr(lowest: u64, highest: u64) -> Self {
        Self { lowest, highest, loss: 0.0, precision: 0.02, trials: 16 }
    }

    /// The partial drop rate: at most 0.5 % are lost.
    pub(crate) fn pdr(lowest: u64, highest: u64) -> Self {
        Self { loss: 0.005, ..Self::ndr(lowest, highest) }
    }
}

/// Trials at the end that only confirm.
const RESERVED: usize = 3;

/// The bounds, and what is known.
struct Search<'t> {
    goal: Goal,
    trial: &'t mut dyn FnMut(u64) -> Result<f64>,
    points: Vec<Point>,
    /// The highest rate that was carried and not refuted since; 0 for none.
    below: u64,
    /// The lowest rate that was not carried, above what the goal allows at first.
    above: u64,
}

/// Searches. `trial` offers a rate, in packets a second, and tells which part of the packets was lost, from 0 to 1.
///
/// # Errors
/// Those of `trial`.
pub(crate) fn search(goal: Goal, trial: &mut dyn FnMut(u64) -> Result<f64>) -> Result<Found> {
    let (lowest, highest) = (goal.lowest.max(1), goal.highest.max(goal.lowest.max(1)));
    let goal = Goal { lowest, highest, ..goal };
    let mut search = Search { goal, trial, points: Vec::new(), below: 0, above: highest.saturating_add(1) };
    let rate = search.run()?;
    let confirmed = rate.is_some_and(|rate| search.passes(rate) >= 2 && search.fails(rate) == 0);
    Ok(Found { rate, confirmed, points: search.points })
}

impl Search<'_> {
    fn run(&mut self) -> Result<Option<u64>> {
        self.probe(self.goal.highest)?;
        if let Some(came) = self.came_through() {
            self.probe(came)?;
        }
        while self.is_left() {
            match self.next().filter(|_| !self.is_late()) {
                Some(rate) => self.probe(rate)?,
                None if self.below == 0 || self.passes(self.below) >= 2 => break,
                // A second look: one trial that went well may have been luck.
                None => self.probe(self.below)?,
            }
        }
        Ok((self.below > 0).then_some(self.below))
    }

    fn is_left(&self) -> bool {
        self.points.len() < self.goal.trials as usize
    }

    /// True when what is left is needed to confirm a rate: that and, should it fail, the one below it.
    fn is_late(&self) -> bool {
        self.below > 0 && self.points.len() + RESERVED >= self.goal.trials as usize
    }

    /// The rate at which packets came when the highest was offered, a little lower.
    fn came_through(&self) -> Option<u64> {
        let first = self.points.first()?;
        let came = first.rate as f64 * (1.0 - first.loss) * (1.0 - self.goal.precision);
        let came = (came as u64).max(self.goal.lowest);
        (self.is_left() && came < self.above && came > self.below).then_some(came)
    }

    /// Between the bounds; none when they are close enough, or the lowest rate is not carried either.
    fn next(&self) -> Option<u64> {
        let gap = self.above.saturating_sub(self.below.max(self.goal.lowest));
        if self.below == 0 {
            // Nothing was carried yet: halve, so that a low rate is found in few trials.
            let half = (self.above / 2).max(self.goal.lowest);
            return (half < self.above).then_some(half);
        }
        let close = (self.above as f64 * self.goal.precision).max(1.0);
        // Far apart, bounds have a middle by their ratio: what is carried is nearer the lower one as a rule.
        let middle = if self.above / 4 > self.below { geometric(self.below, self.above) } else { self.below + gap / 2 };
        (gap as f64 > close).then_some(middle)
    }

    fn probe(&mut self, rate: u64) -> Result<()> {
        let loss = (self.trial)(rate)?;
        let carried = loss <= self.goal.loss;
        self.points.push(Point { rate, loss, carried });
        if carried {
            self.below = self.below.max(rate);
        } else {
            self.above = self.above.min(rate);
        }
        if self.below >= self.above {
            // A rate that was carried once and once not is not carried, nor is what is above.
            let kept = self.points.iter().filter(|point| point.carried && point.rate < self.above);
            self.below = kept.map(|point| point.rate).max().unwrap_or(0);
        }
        Ok(())
    }

    fn passes(&self, rate: u64) -> usize {
        self.points.iter().filter(|point| point.rate == rate && point.carried).count()
    }

    fn fails(&self, rate: u64) -> usize {
        self.points.iter().filter(|point| point.rate == rate && !point.carried).count()
    }
}

fn geometric(low: u64, high: u64) -> u64 {
    ((low as f64 * high as f64).sqrt() as u64).clamp(low + 1, high - 1)
}

#[cfg(test)]
mod tests;
