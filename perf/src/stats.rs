//! Medians and spread of a few trials, and whether two sets of trials differ.

use serde::{Deserialize, Serialize};

/// What several trials of one measure gave.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(crate) struct Spread {
    /// The middle one, or the mean of the two in the middle.
    pub(crate) median: f64,
    /// The smallest.
    pub(crate) min: f64,
    /// The largest.
    pub(crate) max: f64,
}

/// Median, smallest and largest; none of nothing.
pub(crate) fn spread(values: impl IntoIterator<Item = f64>) -> Option<Spread> {
    let sorted = sorted(values);
    Some(Spread { median: quantile(&sorted, 0.5)?, min: *sorted.first()?, max: *sorted.last()? })
}

/// In rising order.
pub(crate) fn sorted(values: impl IntoIterator<Item = f64>) -> Vec<f64> {
    let mut sorted: Vec<f64> = values.into_iter().collect();
    sorted.sort_by(f64::total_cmp);
    sorted
}

/// The value that this part of all is below, between two neighbours in proportion (Hyndman and Fan's seventh definition).
pub(crate) fn quantile(sorted: &[f64], part: f64) -> Option<f64> {
    let place = part.clamp(0.0, 1.0) * sorted.len().checked_sub(1)? as f64;
    let (below, above) = (sorted.get(place.floor() as usize)?, sorted.get(place.ceil() as usize)?);
    Some(below + (above - below) * place.fract())
}

/// More ways to share out the ranks than this are not counted one by one.
const MOST_WAYS: f64 = 200_000.0;

/// The Mann-Whitney test: how probable it is that two sets of values of one distribution differ at least so much in their
/// ranks, in either direction. Exact, ties included, up to ten against ten; by the normal distribution above. None for an
/// empty set.
pub(crate) fn mann_whitney(one: &[f64], other: &[f64]) -> Option<f64> {
    if one.is_empty() || other.is_empty() {
        return None;
    }
    let ranks = ranks(one, other);
    let (count, total) = (one.len(), ranks.len());
    let expected = count as f64 * (total as f64 + 1.0) / 2.0;
    let distance = (ranks[..count].iter().sum::<f64>() - expected).abs();
    if ways(total, count) <= MOST_WAYS {
        return Some(exact(&ranks, count, expected, distance));
    }
    // The variance of the rank sum among `total` ranks with ties.
    let mean = (total as f64 + 1.0) / 2.0;
    let scatter = ranks.iter().map(|rank| (rank - mean).powi(2)).sum::<f64>() / (total as f64 - 1.0);
    let variance = count as f64 * (total - count) as f64 / total as f64 * scatter;
    if variance == 0.0 {
        return Some(1.0);
    }
    // Less a half, since rank sums are whole and the normal distribution is not.
    Some((2.0 * above((distance - 0.5).max(0.0) / variance.sqrt())).min(1.0))
}

/// The ranks of all values, those of `one` first; equal values share their ranks.
fn ranks(one: &[f64], other: &[f64]) -> Vec<f64> {
    let all: Vec<f64> = one.iter().chain(other).copied().collect();
    let rank = |value: &f64| {
        let less = all.iter().filter(|other| *other < value).count();
        let equal = all.iter().filter(|other| *other == value).count();
        less as f64 + (equal as f64 + 1.0) / 2.0
    };
    all.iter().map(rank).collect()
}

/// In how many ways `count` of `total` can be chosen.
fn ways(total: usize, count: usize) -> f64 {
    (0..count).fold(1.0, |ways, i| ways * (total - i) as f64 / (i + 1) as f64)
}

/// The part of all choices of `count` ranks whose sum is at least `distance` from what is expected.
fn exact(ranks: &[f64], count: usize, expected: f64, distance: f64) -> f64 {
    fn walk(ranks: &[f64], count: usize, sum: f64, visit: &mut impl FnMut(f64)) {
        if count == 0 {
            return visit(sum);
        }
        for (i, rank) in ranks.iter().enumerate().take(ranks.len() + 1 - count) {
            walk(&ranks[i + 1..], count - 1, sum + rank, visit);
        }
    }
    let (mut all, mut far) = (0u64, 0u64);
    walk(ranks, count, 0.0, &mut |sum| {
        all += 1;
        far += u64::from((sum - expected).abs() >= distance - 1e-9);
    });
    far as f64 / all.max(1) as f64
}

/// The part of the normal distribution above `z`, to 1.2e-7 (Numerical Recipes, erfcc).
fn above(z: f64) -> f64 {
    let x = z / std::f64::consts::SQRT_2;
    let t = 1.0 / (1.0 + 0.5 * x.abs());
    let terms = [
        -1.265_512_23,
        1.000_023_68,
        0.374_091_96,
        0.096_784_18,
        -0.186_288_06,
        0.278_868_07,
        -1.135_203_98,
        1.488_515_87,
        -0.822_152_23,
        0.170_872_77,
    ];
    let sum = terms.iter().rev().fold(0.0, |sum, term| sum * t + term);
    let erfc = t * (-x * x + sum).exp();
    if x >= 0.0 { erfc / 2.0 } else { 1.0 - erfc / 2.0 }
}

/// Resamples of an interval, and the part of them outside it on each side.
const RESAMPLES: usize = 4000;
const TAIL: f64 = 0.025;

/// In which range the ratio of the medians of `other` to `one` lies, with 95 % confidence by the bootstrap: both sets are drawn
/// anew from themselves. The draws follow from a fixed seed. None for an empty set or a median of nothing.
pub(crate) fn ratio_interval(one: &[f64], other: &[f64]) -> Option<(f64, f64)> {
    let mut state = 0x5eed_u64;
    let mut draw = |from: &[f64]| {
        let drawn = (0..from.len()).map(|_| from[(split_mix(&mut state) % from.len() as u64) as usize]);
        quantile(&sorted(drawn), 0.5)
    };
    let mut ratios = Vec::with_capacity(RESAMPLES);
    for _ in 0..RESAMPLES {
        let (below, over) = (draw(one)?, draw(other)?);
        if below <= 0.0 {
            return None;
        }
        ratios.push(over / below);
    }
    let ratios = sorted(ratios);
    Some((quantile(&ratios, TAIL)?, quantile(&ratios, 1.0 - TAIL)?))
}

/// The next of a row of numbers that look random (Steele, Lea and Flood, SplitMix).
fn split_mix(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut z = *state;
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_in_the_middle() {
        assert_eq!(spread([3.0, 1.0, 2.0]), Some(Spread { median: 2.0, min: 1.0, max: 3.0 }));
        assert_eq!(spread([4.0, 1.0]).map(|spread| spread.median), Some(2.5));
        assert_eq!(spread([]), None);
        assert_eq!(quantile(&[1.0, 2.0, 3.0, 4.0], 0.25), Some(1.75));
        assert_eq!(quantile(&[7.0], 0.9), Some(7.0));
    }

    #[test]
    fn sets_that_do_not_overlap_differ_as_far_as_their_number_can_tell() {
        let one = [1.0, 2.0, 3.0, 4.0, 5.0];
        let other = [6.0, 7.0, 8.0, 9.0, 10.0];
        // Two of the 252 ways to choose five of ten ranks.
        assert!((mann_whitney(&one, &other).expect("not empty") - 2.0 / 252.0).abs() < 1e-12);
        assert!((mann_whitney(&other, &one).expect("not empty") - 2.0 / 252.0).abs() < 1e-12);
        // Three against three can say no more than one in ten.
        assert!((mann_whitney(&one[..3], &other[..3]).expect("not empty") - 0.1).abs() < 1e-12);
        assert_eq!(mann_whitney(&one, &[]), None);
    }

    #[test]
    fn equal_sets_do_not_differ() {
        assert_eq!(mann_whitney(&[1.0, 2.0, 3.0], &[1.0, 2.0, 3.0]), Some(1.0));
        assert_eq!(mann_whitney(&[5.0; 30], &[5.0; 30]), Some(1.0));
    }

    #[test]
    fn a_published_example_comes_out() {
        // U = 4 for 8 against 5: p = 0.0186 (Siegel and Castellan's tables give 0.009 on one side).
        let one = [10.0, 11.0, 12.0, 13.0, 14.0, 15.0, 16.0, 17.0];
        let other = [1.0, 2.0, 3.0, 4.0, 14.5];
        let p = mann_whitney(&one, &other).expect("not empty");
        assert!((0.01..0.03).contains(&p), "{p}");
    }

    #[test]
    fn the_normal_distribution_takes_over_without_a_step() {
        let one: Vec<f64> = (0..12).map(f64::from).collect();
        let other: Vec<f64> = (0..12).map(|value| f64::from(value) + 4.5).collect();
        let p = mann_whitney(&one, &other).expect("not empty");
        assert!((0.01..0.06).contains(&p), "{p}");
        assert!((above(1.959_964) - 0.025).abs() < 1e-6 && (above(-1.0) - 0.841_344_7).abs() < 1e-6);
    }

    #[test]
    fn the_interval_of_a_ratio_holds_the_ratio() {
        let one = [10.0, 10.5, 9.5, 10.2, 9.8];
        let other = [20.0, 21.0, 19.0, 20.4, 19.6];
        let (low, high) = ratio_interval(&one, &other).expect("not empty");
        assert!(low > 1.7 && low < 2.0 && high > 2.0 && high < 2.3, "{low} {high}");
        assert_eq!(ratio_interval(&one, &other), Some((low, high)), "the draws are the same each time");
        assert_eq!(ratio_interval(&[0.0], &[1.0]), None);
        assert_eq!(ratio_interval(&[], &[1.0]), None);
    }
}
