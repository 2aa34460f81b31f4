use super::*;

/// A path that carries up to `capacity` packets a second and loses what is above.
fn path(capacity: u64) -> impl FnMut(u64) -> Result<f64> {
    move |rate| Ok(if rate <= capacity { 0.0 } else { 1.0 - capacity as f64 / rate as f64 })
}

#[test]
fn what_a_path_carries_is_found_as_closely_as_was_asked() {
    for capacity in [1_000, 12_345, 99_000, 640_000, 1_499_999, 2_900_000] {
        let found = search(Goal::ndr(1_000, 3_000_000), &mut path(capacity)).expect("no trial fails");
        let rate = found.rate.expect("it carries something");
        assert!(rate <= capacity && rate as f64 >= capacity as f64 * 0.97, "{rate} of {capacity}: {found:?}");
        assert!(found.confirmed, "{found:?}");
        assert!(found.points.len() <= 16, "{}", found.points.len());
    }
}

#[test]
fn a_little_loss_may_be_allowed() {
    let mut trial = path(1_000_000);
    let ndr = search(Goal::ndr(1_000, 3_000_000), &mut trial).expect("no trial fails");
    let pdr = search(Goal { precision: 0.001, ..Goal::pdr(1_000, 3_000_000) }, &mut trial).expect("no trial fails");
    assert!(ndr.rate <= Some(1_000_000));
    assert!(pdr.rate.is_some_and(|rate| (1_000_001..=1_005_100).contains(&rate)), "{pdr:?}");
}

#[test]
fn where_nothing_is_ever_lost_the_highest_rate_is_the_answer_after_two_trials() {
    let found = search(Goal::ndr(1_000, 3_000_000), &mut |_| Ok(0.0)).expect("no trial fails");
    assert_eq!((found.rate, found.confirmed, found.points.len()), (Some(3_000_000), true, 2));
}

#[test]
fn where_something_is_always_lost_there_is_no_answer_and_an_end() {
    for loss in [0.01, 1.0] {
        let found = search(Goal::ndr(1_000, 3_000_000), &mut |_| Ok(loss)).expect("no trial fails");
        assert_eq!((found.rate, found.confirmed), (None, false));
        assert!(found.points.len() <= 16);
        assert!(found.points.iter().any(|point| point.rate == 1_000), "the lowest was tried: {found:?}");
    }
}

#[test]
fn a_rate_that_was_carried_by_luck_is_not_confirmed() {
    // Every third trial goes well at any rate; below 400,000 all do.
    let mut number = 0;
    let mut trial = |rate: u64| {
        number += 1;
        Ok(if rate <= 400_000 || number % 3 == 0 { 0.0 } else { 0.1 })
    };
    let found = search(Goal { trials: 30, ..Goal::ndr(1_000, 3_000_000) }, &mut trial).expect("no trial fails");
    let rate = found.rate.expect("it carries something");
    assert!(found.points.iter().all(|point| point.rate != rate || point.carried), "{found:?}");
    assert!(found.confirmed && rate <= 3_000_000, "{found:?}");
}

#[test]
fn trials_are_bounded_and_what_they_left_open_is_said() {
    let found = search(Goal { trials: 3, ..Goal::ndr(1, 3_000_000) }, &mut path(1_000)).expect("no trial fails");
    assert!(found.points.len() <= 3);
    let one = search(Goal { trials: 1, ..Goal::ndr(1, 1_000) }, &mut path(1_000)).expect("no trial fails");
    assert_eq!((one.rate, one.confirmed), (Some(1_000), false));
}

#[test]
fn trials_are_kept_for_a_second_look() {
    let found =
        search(Goal { trials: 8, precision: 1e-6, ..Goal::ndr(1, 3_000_000) }, &mut path(640_123)).expect("it goes");
    assert!(found.confirmed && found.points.len() <= 8, "{found:?}");
}

#[test]
fn bounds_that_are_one_or_upside_down_do_no_harm() {
    let one = search(Goal::ndr(5_000, 5_000), &mut path(9_000)).expect("no trial fails");
    assert_eq!(one.rate, Some(5_000));
    let turned = search(Goal::ndr(5_000, 10), &mut path(9_000)).expect("no trial fails");
    assert_eq!(turned.rate, Some(5_000));
    let zero = search(Goal::ndr(0, 0), &mut path(0)).expect("no trial fails");
    assert_eq!(zero.rate, None);
}

#[test]
fn a_trial_that_fails_ends_the_search() {
    let failed = search(Goal::ndr(1, 10), &mut |_| anyhow::bail!("the sink is gone"));
    assert_eq!(failed.map_err(|error| error.to_string()), Err("the sink is gone".to_owned()));
}

proptest::proptest! {
    #[test]
    fn whatever_trials_say_it_ends_and_the_answer_was_tried_and_carried(
        losses in proptest::collection::vec(0.0_f64..=1.0, 1..20),
        lossless in proptest::collection::vec(proptest::bool::ANY, 1..20),
        lowest in 0_u64..5_000_000,
        highest in 0_u64..5_000_000,
        trials in 1_u32..20,
    ) {
        let mut number = 0;
        let mut trial = |_: u64| {
            number += 1;
            Ok(if lossless[number % lossless.len()] { 0.0 } else { losses[number % losses.len()] })
        };
        let found = search(Goal { trials, ..Goal::ndr(lowest, highest) }, &mut trial).expect("no trial fails");
        proptest::prop_assert!(found.points.len() <= trials as usize);
        proptest::prop_assert!(!found.points.is_empty());
        let (low, high) = (lowest.max(1), highest.max(lowest.max(1)));
        proptest::prop_assert!(found.points.iter().all(|point| (low..=high).contains(&point.rate)));
        if let Some(rate) = found.rate {
            let lowest_lost = found.points.iter().filter(|point| !point.carried).map(|point| point.rate).min();
            proptest::prop_assert!(found.points.iter().any(|point| point.rate == rate && point.carried));
            proptest::prop_assert!(lowest_lost.is_none_or(|lost| rate < lost));
        }
    }
}
