//! From numbers to places.

use crate::run::short;

/// An axis from one number to another, over so many units.
#[derive(Debug, Clone, Copy)]
pub(super) struct Axis {
    low: f64,
    high: f64,
    from: f64,
    to: f64,
    logarithmic: bool,
}

impl Axis {
    /// From nothing to `high`, in proportion.
    pub(super) fn linear(high: f64, from: f64, to: f64) -> Self {
        let step = step(high);
        let high = if high > 0.0 { (high / step).ceil() * step } else { 1.0 };
        Self { low: 0.0, high, from, to, logarithmic: false }
    }

    /// Whole decades that hold all of these numbers; those that are not above nothing are left out.
    pub(super) fn logarithmic(values: impl Iterator<Item = f64>, from: f64, to: f64) -> Self {
        let (low, high) = values
            .filter(|value| *value > 0.0)
            .fold((f64::INFINITY, 0.0_f64), |(low, high), value| (low.min(value), high.max(value)));
        let (low, high) = if low.is_finite() { (low.log10().floor(), high.log10().ceil()) } else { (0.0, 1.0) };
        Self { low, high: high.max(low + 1.0), from, to, logarithmic: true }
    }

    /// Where a number is; what is beyond an end is at it.
    pub(super) fn at(&self, value: f64) -> f64 {
        let value = if self.logarithmic { value.max(f64::MIN_POSITIVE).log10() } else { value };
        let part = ((value - self.low) / (self.high - self.low)).clamp(0.0, 1.0);
        self.from + part * (self.to - self.from)
    }

    /// Numbers to be written at the axis, with their places.
    pub(super) fn ticks(&self) -> Vec<(f64, String)> {
        let values: Vec<f64> = if self.logarithmic {
            (self.low as i32..=self.high as i32).map(|decade| 10f64.powi(decade)).collect()
        } else {
            let step = step(self.high);
            (0..=(self.high / step).round() as u32).map(|tick| f64::from(tick) * step).collect()
        };
        values.into_iter().map(|value| (self.at(value), tick(value))).collect()
    }

    /// Numbers between decades, which get a thin line.
    pub(super) fn between(&self) -> Vec<f64> {
        if !self.logarithmic {
            return Vec::new();
        }
        let decades = self.low as i32..self.high as i32;
        decades.flat_map(|decade| [2.0, 5.0].map(|part| self.at(part * 10f64.powi(decade)))).collect()
    }
}

/// 1, 2 or 5 times a power of ten, so that three to six of them make `high`.
fn step(high: f64) -> f64 {
    if high <= 0.0 {
        return 1.0;
    }
    let power = 10f64.powf((high / 5.0).log10().floor());
    let part = high / 5.0 / power;
    power
        * if part <= 1.0 {
            1.0
        } else if part <= 2.0 {
            2.0
        } else if part <= 5.0 {
            5.0
        } else {
            10.0
        }
}

/// A number at an axis, without digits that say nothing.
fn tick(value: f64) -> String {
    match value {
        value if value >= 1e6 => format!("{}M", short_whole(value / 1e6)),
        value if value >= 1e4 => format!("{}k", short_whole(value / 1e3)),
        value => short_whole(value),
    }
}

fn short_whole(value: f64) -> String {
    if value.fract().abs() < 1e-9 { format!("{value:.0}") } else { short(value).trim_end_matches('0').to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(axis: &Axis) -> Vec<String> {
        axis.ticks().into_iter().map(|(_, label)| label).collect()
    }

    #[test]
    fn a_linear_axis_ends_at_a_round_number() {
        let axis = Axis::linear(9.3, 0.0, 100.0);
        assert_eq!(labels(&axis), ["0", "2", "4", "6", "8", "10"]);
        assert_eq!((axis.at(0.0), axis.at(5.0), axis.at(50.0)), (0.0, 50.0, 100.0));
        assert_eq!(labels(&Axis::linear(0.0, 0.0, 1.0)).len(), 6);
        assert_eq!(labels(&Axis::linear(130_000.0, 0.0, 1.0)).last().map(String::as_str), Some("150k"));
        assert_eq!(labels(&Axis::linear(0.7, 0.0, 1.0)), ["0", "0.2", "0.4", "0.6", "0.8"]);
    }

    #[test]
    fn a_logarithmic_axis_has_whole_decades() {
        let axis = Axis::logarithmic([7.0, 0.0, 4200.0].into_iter(), 100.0, 0.0);
        assert_eq!(labels(&axis), ["1", "10", "100", "1000", "10k"]);
        assert_eq!((axis.at(1.0), axis.at(100.0), axis.at(0.0)), (100.0, 50.0, 100.0));
        assert_eq!(axis.between().len(), 8);
        assert_eq!(labels(&Axis::logarithmic(std::iter::empty(), 0.0, 1.0)), ["1", "10"]);
    }
}
