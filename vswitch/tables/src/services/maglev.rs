//! Maglev's table (Eisenbud et al., "Maglev: A Fast and Reliable Software Network Load Balancer", NSDI 2016, section
//! 3.4): each backend has its own order of preference over the table's places, and they take places in turn.

use std::net::IpAddr;

use super::Backend;
use super::backends::scaled;

/// Places a backend gets at least, as long as the cap allows: the paper's figure for an imbalance within 1 %.
const PLACES_A_BACKEND: usize = 100;

/// Sizes of tables: the largest prime below each power of two. A prime makes every step a walk over all places. The
/// last is the cap: 10 485 backends have their hundred places, more have fewer.
const SIZES: [usize; 14] =
    [127, 251, 509, 1021, 2039, 4093, 8191, 16_381, 32_749, 65_521, 131_071, 262_139, 524_287, 1_048_573];

/// Positions of backends by place. Up to 65 536 backends take two bytes a place.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Places {
    Narrow(Box<[u16]>),
    Wide(Box<[u32]>),
}

/// One table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Maglev(Places);

impl Maglev {
    /// Fills a table for `backends`, which must be ordered alike on every node for the nodes to agree.
    pub(super) fn new(backends: &[Backend]) -> Self {
        let places = fill(backends, size_for(backends.len()));
        let narrow: Result<Box<[u16]>, _> = places.iter().map(|&place| u16::try_from(place)).collect();
        Self(narrow.map_or_else(|_| Places::Wide(places.into()), Places::Narrow))
    }

    /// Position of the backend for `hash`.
    #[inline]
    pub(super) fn position(&self, hash: u64) -> usize {
        match &self.0 {
            Places::Narrow(places) => places.get(scaled(hash, places.len())).map_or(0, |&place| usize::from(place)),
            Places::Wide(places) => places.get(scaled(hash, places.len())).map_or(0, |&place| place as usize),
        }
    }
}

/// The table's size for `backends`. Crossing a step moves most hashes once; doubling keeps the memory within twice what
/// is needed.
pub(super) fn size_for(backends: usize) -> usize {
    let wanted = backends.saturating_mul(PLACES_A_BACKEND);
    SIZES.into_iter().find(|&size| size >= wanted).unwrap_or(SIZES[SIZES.len() - 1])
}

#[allow(clippy::cast_possible_truncation, reason = "places and positions are below the table's size")]
fn fill(backends: &[Backend], size: usize) -> Vec<u32> {
    const FREE: u32 = u32::MAX;
    let mut places = vec![FREE; size];
    if backends.is_empty() {
        return places;
    }
    let mut walks: Vec<Walk> = backends.iter().map(|backend| Walk::of(backend, size as u64)).collect();
    let mut taken = 0;
    loop {
        for (position, walk) in walks.iter_mut().enumerate() {
            let place = loop {
                let place = walk.step(size as u64);
                if places[place] == FREE {
                    break place;
                }
            };
            places[place] = position as u32;
            taken += 1;
            if taken == size {
                return places;
            }
        }
    }
}

/// A backend's order of preference: `offset`, `offset + skip`, `offset + 2 * skip` and so on, modulo the size.
struct Walk {
    next: u64,
    skip: u64,
}

impl Walk {
    fn of(backend: &Backend, size: u64) -> Self {
        let hash = fingerprint(backend);
        Self { next: mixed(hash ^ OFFSET) % size, skip: mixed(hash ^ SKIP) % (size - 1) + 1 }
    }

    #[allow(clippy::cast_possible_truncation, reason = "a place is below the table's size")]
    fn step(&mut self, size: u64) -> usize {
        let place = self.next;
        self.next += self.skip;
        if self.next >= size {
            self.next -= size;
        }
        place as usize
    }
}

/// What tells a backend's offset from its skip: the first digits of e and pi. Fixed, because all nodes must agree.
const OFFSET: u64 = 0x2718_2818_2845_9045;
const SKIP: u64 = 0x3141_5926_5358_9793;

#[allow(clippy::cast_possible_truncation, reason = "both halves are taken")]
fn fingerprint(backend: &Backend) -> u64 {
    let address = match backend.address {
        IpAddr::V4(v4) => u128::from(u32::from(v4)),
        IpAddr::V6(v6) => u128::from(v6),
    };
    let low = mixed(address as u64 ^ u64::from(backend.port).rotate_right(16));
    mixed(low ^ (address >> 64) as u64)
}

/// The finalizer of splitmix64: every bit of the input reaches every bit of the result.
fn mixed(mut value: u64) -> u64 {
    value = value.wrapping_add(0x9e37_79b9_7f4a_7c15);
    value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}

#[cfg(test)]
mod tests {
    use super::{Maglev, Places, SIZES, mixed, size_for};
    use crate::services::{Backend, Backends, Choice};

    const KEYS: u64 = 20_000;

    fn backends(count: u16) -> Vec<Backend> {
        (0..count)
            .map(|number| Backend { address: [10, 0, (number >> 8) as u8, number as u8].into(), port: 80 })
            .collect()
    }

    fn chosen(set: &Backends) -> Vec<Backend> {
        (0..KEYS).map(|key| set.choose(mixed(key)).expect("a backend")).collect()
    }

    #[test]
    fn sizes_are_rising_primes() {
        assert!(SIZES.is_sorted());
        for size in SIZES {
            assert!((2..size).take_while(|by| by * by <= size).all(|by| size % by != 0), "{size}");
        }
    }

    #[test]
    fn the_size_follows_the_backends_up_to_the_cap() {
        assert_eq!(size_for(2), 251);
        assert_eq!(size_for(10), 1021);
        assert_eq!(size_for(10_485), 1_048_573);
        assert_eq!(size_for(100_000), 1_048_573);
    }

    #[test]
    fn every_backend_gets_its_share() {
        for count in [2, 3, 10, 100, 700] {
            let set = Backends::new(backends(count), Choice::Maglev);
            let mut places = vec![0_usize; usize::from(count)];
            let size = size_for(usize::from(count));
            for place in 0..size as u64 {
                // A hash in the middle of the place.
                let hash = ((u128::from(place) * 2 + 1) << 63) / size as u128;
                let backend = set.choose(u64::try_from(hash).expect("below 2^64")).expect("a backend");
                places[set.all().binary_search(&backend).expect("one of them")] += 1;
            }
            let (least, most) = (places.iter().min().expect("some"), places.iter().max().expect("some"));
            // They take places in turn, so none is more than one ahead.
            assert!(most - least <= 1, "{count} backends: {least} to {most}");
        }
    }

    #[test]
    fn few_connections_move_when_one_backend_goes() {
        for count in [8_u16, 40, 300] {
            let all = backends(count);
            let before = chosen(&Backends::new(all.clone(), Choice::Maglev));
            let gone = all[usize::from(count / 2)];
            let rest: Vec<Backend> = all.into_iter().filter(|backend| *backend != gone).collect();
            assert_eq!(size_for(rest.len()), size_for(rest.len() + 1), "the step is another matter");
            let after = chosen(&Backends::new(rest, Choice::Maglev));
            let moved = before.iter().zip(&after).filter(|(old, new)| **old != gone && old != new).count();
            assert!(moved * 100 < before.len() * 5, "{moved} of {} with {count} backends", before.len());
        }
    }

    #[test]
    fn the_order_given_is_of_no_matter() {
        let forward = Backends::new(backends(50), Choice::Maglev);
        let backward = Backends::new(backends(50).into_iter().rev().collect(), Choice::Maglev);
        assert_eq!(forward, backward);
    }

    #[test]
    fn random_choice_gives_each_its_share_and_none_where_there_is_none() {
        let set = Backends::new(backends(10), Choice::Random);
        let chosen = chosen(&set);
        for backend in set.all() {
            let share = chosen.iter().filter(|one| *one == backend).count();
            assert!((1800..2200).contains(&share), "{share} of {KEYS}");
        }
        assert_eq!(Backends::default().choose(7), None);
        let one = Backends::new(backends(1), Choice::Maglev);
        assert_eq!([0, u64::MAX].map(|hash| one.choose(hash)), [Some(backends(1)[0]); 2]);
    }

    #[test]
    fn more_backends_than_two_bytes_can_name_take_four() {
        let many: Vec<Backend> = (0..70_000_u32)
            .map(|number| Backend { address: (0x0a00_0000 + number).to_be_bytes().into(), port: 80 })
            .collect();
        let maglev = Maglev::new(&many);
        assert!(matches!(&maglev.0, Places::Wide(places) if places.len() == 1_048_573));
        let highest = (0..KEYS).map(|key| maglev.position(mixed(key))).max().expect("some");
        assert!((65_536..70_000).contains(&highest));
    }
}
