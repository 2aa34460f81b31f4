//! Addresses are given once, cool off, and come back.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;

fn nets(texts: &[&str]) -> Vec<IpNet> {
    texts.iter().map(|text| text.parse().unwrap()).collect()
}

fn ipam(texts: &[&str]) -> Ipam {
    Ipam::new(&nets(texts)).unwrap()
}

fn now() -> Instant {
    Instant::now()
}

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn texts(addresses: &[IpAddr]) -> Vec<String> {
    addresses.iter().map(ToString::to_string).collect()
}

#[test]
fn one_address_of_each_family_behind_the_nodes_own() {
    let mut both = ipam(&["fd00:1::/64", "10.1.0.0/24"]);
    assert_eq!(texts(&both.allocate(&[], now()).unwrap()), ["10.1.0.2", "fd00:1::2"]);
    assert_eq!(texts(&both.allocate(&[], now()).unwrap()), ["10.1.0.3", "fd00:1::3"]);
    assert_eq!(texts(&ipam(&["fd00:1::/64"]).allocate(&[], now()).unwrap()), ["fd00:1::2"]);
}

#[test]
fn a_full_range_names_the_networks_and_gives_nothing() {
    let mut ipam = ipam(&["10.1.0.0/29", "10.2.0.0/30", "fd00:1::/64"]);
    // Five in the /29 (six usable, one the node's) and one in the /30.
    let given: Vec<String> = (0..6).map(|_| ipam.allocate(&[], now()).unwrap()[0].to_string()).collect();
    assert_eq!(given, ["10.1.0.2", "10.1.0.3", "10.1.0.4", "10.1.0.5", "10.1.0.6", "10.2.0.2"]);
    let refused = ipam.allocate(&[], now()).unwrap_err();
    assert_eq!(refused, IpamError::Full { networks: nets(&["10.1.0.0/29", "10.2.0.0/30"]), in_use: 6 });
    assert!(refused.to_string().contains("10.1.0.0/29, 10.2.0.0/30: all 6 are in use"), "{refused}");
    assert_eq!(ipam.usage(now())[2].in_use, 6, "the refused pod must not keep an address of the other family");
}

#[test]
fn a_released_address_cools_until_no_other_is_free() {
    let mut ipam = ipam(&["10.1.0.0/29", "10.2.0.0/30"]);
    for _ in 0..2 {
        ipam.allocate(&[], now()).unwrap();
    }
    assert!(ipam.release(ip("10.1.0.3"), now()) && ipam.release(ip("10.1.0.2"), now()));
    let given: Vec<String> = (0..6).map(|_| ipam.allocate(&[], now()).unwrap()[0].to_string()).collect();
    assert_eq!(given, ["10.1.0.4", "10.1.0.5", "10.1.0.6", "10.2.0.2", "10.1.0.3", "10.1.0.2"]);
}

#[test]
fn an_address_is_given_before_it_has_cooled_off_only_for_want_of_another_and_that_is_counted() {
    let (mut ipam, start) = (ipam(&["10.1.0.0/29"]), now());
    let at = |seconds| start + Duration::from_secs(seconds);
    let given = |ipam: &mut Ipam, seconds| ipam.allocate(&[], at(seconds)).unwrap()[0].to_string();
    for _ in 0..5 {
        given(&mut ipam, 0);
    }
    assert!(ipam.release(ip("10.1.0.4"), at(10)) && ipam.release(ip("10.1.0.3"), at(100)));
    assert_eq!(
        (ipam.usage(at(100))[0].cooling, ipam.usage(at(130))[0].cooling, ipam.usage(at(220))[0].cooling),
        (2, 1, 0)
    );
    assert_eq!((given(&mut ipam, 130).as_str(), ipam.early()), ("10.1.0.4", 0), "it has cooled off");
    assert_eq!((given(&mut ipam, 219).as_str(), ipam.early()), ("10.1.0.3", 1), "a second early");
    ipam.release(ip("10.1.0.3"), at(219));
    ipam.allocate(&[ip("10.1.0.3")], at(219)).unwrap();
    assert_eq!(ipam.early(), 1, "it was asked for");
}

#[test]
fn releasing_twice_or_a_stranger_changes_nothing() {
    let mut ipam = ipam(&["10.1.0.0/24"]);
    ipam.allocate(&[], now()).unwrap();
    assert!(ipam.release(ip("10.1.0.2"), now()));
    for stranger in ["10.1.0.2", "10.1.0.1", "10.9.9.9", "fd00::1", "::a01:2"] {
        assert!(!ipam.release(ip(stranger), now()), "{stranger}");
    }
    assert_eq!(texts(&ipam.cooling()), ["10.1.0.2"]);
}

#[test]
fn requested_addresses_are_given_or_refused_with_the_reason() {
    let mut ipam = ipam(&["10.1.0.0/24", "fd00:1::/64"]);
    assert_eq!(texts(&ipam.allocate(&[ip("10.1.0.9")], now()).unwrap()), ["10.1.0.9", "fd00:1::2"]);
    assert_eq!(texts(&ipam.allocate(&[ip("fd00:1::9"), ip("10.1.0.8")], now()).unwrap()), ["10.1.0.8", "fd00:1::9"]);
    assert_eq!(ipam.allocate(&[ip("10.1.0.9")], now()), Err(IpamError::InUse(ip("10.1.0.9"))));
    for reserved in ["10.1.0.0", "10.1.0.1", "10.1.0.255", "fd00:1::", "fd00:1::1"] {
        assert!(matches!(ipam.allocate(&[ip(reserved)], now()), Err(IpamError::Reserved { .. })), "{reserved}");
    }
    assert!(matches!(ipam.allocate(&[ip("10.2.0.9")], now()), Err(IpamError::Outside { .. })));
    let two = ipam.allocate(&[ip("10.1.0.20"), ip("10.1.0.21")], now());
    assert_eq!(two, Err(IpamError::TwoOfFamily(ip("10.1.0.20"), ip("10.1.0.21"))));
    assert_eq!(ipam.allocate(&[ip("10.1.0.20")], now()).unwrap()[0], ip("10.1.0.20"), "a refusal keeps nothing");
    ipam.release(ip("10.1.0.20"), now());
    assert_eq!(ipam.allocate(&[ip("10.1.0.20")], now()).unwrap()[0], ip("10.1.0.20"), "asked for, it need not cool");
}

#[test]
fn what_was_in_use_or_cooling_stays_so_over_a_restart() {
    let mut ipam = ipam(&["10.1.0.0/29"]);
    for used in ["10.1.0.2", "10.1.0.4"] {
        ipam.restore(ip(used)).unwrap();
    }
    for cooling in ["10.1.0.5", "10.1.0.3", "10.1.0.2", "10.7.0.1"] {
        ipam.cool(ip(cooling), now());
    }
    assert_eq!(ipam.restore(ip("10.1.0.2")), Err(IpamError::InUse(ip("10.1.0.2"))));
    assert!(matches!(ipam.restore(ip("10.7.0.1")), Err(IpamError::Outside { .. })));
    let given: Vec<String> = (0..3).map(|_| ipam.allocate(&[], now()).unwrap()[0].to_string()).collect();
    assert_eq!(given, ["10.1.0.6", "10.1.0.5", "10.1.0.3"]);
}

#[test]
fn an_endless_range_costs_what_is_used() {
    let mut ipam = ipam(&["fd00:1::/64"]);
    ipam.restore(ip("fd00:1::ffff:ffff:ffff:ffff")).unwrap();
    // Behind the last address the search begins again at the first.
    assert_eq!(texts(&ipam.allocate(&[], now()).unwrap()), ["fd00:1::2"]);
    for _ in 0..COOLING_LIMIT + 100 {
        let given = ipam.allocate(&[], now()).unwrap();
        ipam.release(given[0], now());
    }
    assert_eq!(ipam.usage(now())[0].cooling, COOLING_LIMIT as u128);
    assert_eq!(ipam.cooling().len(), STORED_LIMIT);
}

#[test]
fn networks_without_room_or_that_overlap_are_refused() {
    let refused = |texts: &[&str]| Ipam::new(&nets(texts)).unwrap_err();
    for small in ["10.0.0.0/31", "10.0.0.1/32", "fd00::/127", "fd00::1/128"] {
        assert_eq!(refused(&[small]), IpamError::TooSmall(small.parse().unwrap()), "{small}");
    }
    assert!(matches!(refused(&["10.0.0.0/24", "10.0.0.128/25"]), IpamError::Overlap(..)));
    assert!(matches!(refused(&["10.0.0.128/25", "10.0.0.0/24"]), IpamError::Overlap(..)));
    assert_eq!(ipam(&[]).allocate(&[], now()), Err(IpamError::NoNetworks));
    // The widest ranges there are do not overflow.
    assert!(Ipam::new(&nets(&["0.0.0.0/0", "::/0"])).unwrap().allocate(&[], now()).is_ok());
}

#[derive(Clone, Debug)]
enum Step {
    Allocate,
    Request(usize),
    Release(usize),
    Restart,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        4 => Just(Step::Allocate),
        1 => (0usize..40).prop_map(Step::Request),
        4 => (0usize..40).prop_map(Step::Release),
        1 => Just(Step::Restart),
    ];
    proptest::collection::vec(step, 0..120)
}

const SMALL: [&str; 4] = ["10.1.0.0/29", "10.2.0.0/30", "fd00:1::/125", "fd00:2::/126"];
/// Addresses for pods of one family in `SMALL`: 5 and 1 of IPv4; 6 and 2 of IPv6.
const ROOM: [usize; 2] = [6, 8];

/// All addresses for pods, worked out by hand and not by the code under test.
fn for_pods(family: usize) -> Vec<IpAddr> {
    let (wide, narrow): (Vec<String>, Vec<String>) = if family == 0 {
        ((2..=6).map(|n| format!("10.1.0.{n}")).collect(), vec!["10.2.0.2".into()])
    } else {
        ((2..=7).map(|n| format!("fd00:1::{n}")).collect(), (2..=3).map(|n| format!("fd00:2::{n}")).collect())
    };
    wide.iter().chain(&narrow).map(|text| ip(text)).collect()
}

/// What is in use and, oldest first, what was released and is free; a plain list each.
#[derive(Default)]
struct Oracle {
    pods: Vec<Vec<IpAddr>>,
    released: Vec<IpAddr>,
}

impl Oracle {
    fn used(&self) -> BTreeSet<IpAddr> {
        self.pods.iter().flatten().copied().collect()
    }

    /// Checks an allocation that had to be chosen, then notes it.
    fn give(&mut self, given: Vec<IpAddr>, requested: Option<IpAddr>) {
        let used = self.used();
        for address in &given {
            assert!(!used.contains(address), "{address} was in use");
            let all = for_pods(family(address));
            assert!(all.contains(address), "{address} is not for pods");
            if requested != Some(*address) && self.released.contains(address) {
                let untouched = all.iter().any(|other| !used.contains(other) && !self.released.contains(other));
                assert!(!untouched, "{address} cools and another was free");
                let oldest = self.released.iter().find(|other| family(other) == family(address));
                assert_eq!(oldest, Some(address));
            }
        }
        self.released.retain(|address| !given.contains(address));
        self.pods.push(given);
    }
}

proptest! {
    #[test]
    fn no_address_is_used_twice_and_all_come_back(steps in steps()) {
        let mut ipam = ipam(&SMALL);
        let mut oracle = Oracle::default();
        for step in steps {
            match step {
                Step::Allocate => match ipam.allocate(&[], now()) {
                    Ok(given) => {
                        prop_assert_eq!(given.len(), 2);
                        oracle.give(given, None);
                    }
                    Err(error) => {
                        let full = oracle.pods.len() >= ROOM[0];
                        prop_assert!(full && matches!(error, IpamError::Full { .. }), "{}", error);
                    }
                },
                Step::Request(pick) => {
                    let all = for_pods(pick % 2);
                    let wanted = all[pick % all.len()];
                    let was_used = oracle.used().contains(&wanted);
                    match ipam.allocate(&[wanted], now()) {
                        Ok(given) => {
                            prop_assert!(!was_used && given.contains(&wanted));
                            oracle.give(given, Some(wanted));
                        }
                        Err(IpamError::InUse(address)) => prop_assert!(was_used && address == wanted),
                        Err(error) => prop_assert!(oracle.pods.len() >= ROOM[0], "{}", error),
                    }
                }
                Step::Release(pick) if !oracle.pods.is_empty() => {
                    let gone = oracle.pods.swap_remove(pick % oracle.pods.len());
                    for address in gone {
                        prop_assert!(ipam.release(address, now()));
                        prop_assert!(!ipam.release(address, now()));
                        oracle.released.push(address);
                    }
                }
                Step::Release(_) => {}
                Step::Restart => {
                    let cooling = ipam.cooling();
                    prop_assert_eq!(&cooling, &oracle.released);
                    ipam = Ipam::new(&nets(&SMALL)).unwrap();
                    for address in oracle.used() {
                        ipam.restore(address).unwrap();
                    }
                    cooling.into_iter().for_each(|address| assert!(ipam.cool(address, now())));
                }
            }
            let in_use: u128 = ipam.usage(now()).iter().map(|usage| usage.in_use).sum();
            prop_assert_eq!(in_use, oracle.used().len() as u128);
        }
        for address in oracle.used() {
            prop_assert!(ipam.release(address, now()));
        }
        prop_assert!(ipam.usage(now()).iter().all(|usage| usage.in_use == 0));
        for _ in 0..ROOM[0] {
            prop_assert!(ipam.allocate(&[], now()).is_ok());
        }
        prop_assert!(ipam.allocate(&[], now()).is_err());
    }
}
