//! Session affinity: which backend a client of a Service was given last.
//!
//! Sets of four entries, a line each. An entry is read under its version (a seqlock, see [`crate::record`] for the
//! argument) and written under the lock of its set. Where a set is full, the entry unused for longest makes room: a table
//! too small forgets, it does not refuse.
//!
//! ```text
//! word 0  version 32 (odd: being written) | last use 32     words 3, 4  backend's address
//! word 1, 2  client's address                               word 5      service
//! word 6  backend's port 16 << 16 | families 2: bit 0 client IPv6, bit 1 backend IPv6, bit 2 in use
//! word 7  in the first entry of a set: its lock
//! ```

use core::fmt;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::atomic::{Ordering, fence, wait_a_little};
use crate::hash::Secrets;
use crate::layout::Line;
use crate::memory::Memory;
use crate::tuple::Key;
use crate::{TICKS_PER_SECOND, Tick};

/// Entries of a set.
const WAYS: usize = 4;

const VERSION: usize = 0;
const CLIENT: usize = 1;
const BACKEND: usize = 3;
const SERVICE: usize = 5;
const KIND: usize = 6;
const LOCK: usize = 7;

const CLIENT_V6: u64 = 1;
const BACKEND_V6: u64 = 2;
const IN_USE: u64 = 4;

/// Which backend a client of a Service was given last: fixed size, shared by the workers.
pub struct Affinity {
    memory: Memory,
    /// A power of two, less one.
    sets: usize,
    secrets: Secrets,
}

impl fmt::Debug for Affinity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Affinity").field("entries", &((self.sets + 1) * WAYS)).finish_non_exhaustive()
    }
}

/// A client of a Service, as words.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Who {
    client: [u64; 2],
    client_v6: bool,
    service: u64,
}

/// A consistent copy of an entry.
#[derive(Clone, Copy)]
struct Entry {
    who: Who,
    in_use: bool,
    backend: (IpAddr, u16),
    last: Tick,
}

impl Affinity {
    /// Room for about `entries` clients, 64 bytes each; at least four, at most 2^24. Nobody who does not know `seed` can
    /// choose addresses that push out another's entry.
    ///
    /// # Panics
    /// If the allocator has no memory for it.
    #[must_use]
    pub fn new(entries: u32, seed: u64) -> Affinity {
        let sets = (entries.clamp(WAYS as u32, 1 << 24) as usize).div_ceil(WAYS).next_power_of_two();
        Affinity { memory: Memory::zeroed(sets * WAYS), sets: sets - 1, secrets: Secrets::of(seed) }
    }

    /// The backend that the client was given, if that was no more than `timeout` seconds before `now`.
    #[must_use]
    pub fn find(&self, client: IpAddr, service: u64, now: Tick, timeout: u32) -> Option<(IpAddr, u16)> {
        let who = Who::of(client, service);
        let entry = self.set(who).iter().map(read).find(|entry| entry.in_use && entry.who == who)?;
        let idle = u64::try_from(now.since(entry.last)).unwrap_or(0);
        (idle <= u64::from(timeout) * u64::from(TICKS_PER_SECOND)).then_some(entry.backend)
    }

    /// Keeps the client's backend, or renews it: call it for each new connection, so that the timeout counts from the last.
    pub fn put(&self, client: IpAddr, service: u64, backend: (IpAddr, u16), now: Tick) {
        let who = Who::of(client, service);
        let set = self.set(who);
        locked(set, || {
            let entries = || set.iter().map(|line| (line, read(line)));
            let own = entries().find(|(_, entry)| entry.in_use && entry.who == who);
            let place = own.or_else(|| {
                // An empty one, else the one unused for longest.
                entries().max_by_key(|(_, entry)| if entry.in_use { now.since(entry.last) } else { i32::MAX })
            });
            if let Some((line, _)) = place {
                write(line, &Entry { who, in_use: true, backend, last: now });
            }
        });
    }

    /// Forgets the client's backend: it is gone.
    pub fn forget(&self, client: IpAddr, service: u64) {
        let who = Who::of(client, service);
        let set = self.set(who);
        locked(set, || {
            for line in set {
                let entry = read(line);
                if entry.in_use && entry.who == who {
                    write(line, &Entry { in_use: false, ..entry });
                }
            }
        });
    }

    fn set(&self, who: Who) -> &[Line] {
        let [high, low] = who.client;
        let key = Key::V6 { addresses: [high, low, who.service, 0], ports: 0, protocol: who.client_v6.into() };
        let first = ((self.secrets.hash(&key) >> 32) as usize & self.sets) * WAYS;
        self.memory.lines().get(first..first + WAYS).unwrap_or_default()
    }
}

impl Who {
    fn of(client: IpAddr, service: u64) -> Who {
        let (client, client_v6) = words(client);
        Who { client, client_v6, service }
    }
}

fn words(address: IpAddr) -> ([u64; 2], bool) {
    match address {
        IpAddr::V4(address) => ([0, address.to_bits().into()], false),
        IpAddr::V6(address) => ([(address.to_bits() >> 64) as u64, address.to_bits() as u64], true),
    }
}

fn address(words: [u64; 2], v6: bool) -> IpAddr {
    let [high, low] = words;
    if v6 {
        Ipv6Addr::from_bits(u128::from(high) << 64 | u128::from(low)).into()
    } else {
        Ipv4Addr::from_bits(low as u32).into()
    }
}

/// Runs `work` as the only writer of the set.
fn locked(set: &[Line], work: impl FnOnce()) {
    let Some(lock) = set.first().map(|line| &line[LOCK]) else { return };
    while lock.compare_exchange(0, 1, Ordering::Acquire, Ordering::Relaxed).is_err() {
        wait_a_little();
    }
    work();
    lock.store(0, Ordering::Release);
}

fn read(line: &Line) -> Entry {
    loop {
        let version = line[VERSION].load(Ordering::Acquire);
        if version >> 32 & 1 == 1 {
            wait_a_little();
            continue;
        }
        let word = |at: usize| line[at].load(Ordering::Relaxed);
        let kind = word(KIND);
        let who =
            Who { client: [word(CLIENT), word(CLIENT + 1)], client_v6: kind & CLIENT_V6 != 0, service: word(SERVICE) };
        let backend = (address([word(BACKEND), word(BACKEND + 1)], kind & BACKEND_V6 != 0), (kind >> 16) as u16);
        fence(Ordering::Acquire);
        if line[VERSION].load(Ordering::Relaxed) == version {
            return Entry { who, in_use: kind & IN_USE != 0, backend, last: Tick(version as u32) };
        }
    }
}

/// Under the lock of the set.
fn write(line: &Line, entry: &Entry) {
    let version = (line[VERSION].load(Ordering::Relaxed) >> 32) as u32;
    line[VERSION].store(u64::from(version.wrapping_add(1)) << 32, Ordering::Relaxed);
    fence(Ordering::Release);
    let (backend, backend_v6) = words(entry.backend.0);
    let set = |at: usize, value: u64| line[at].store(value, Ordering::Relaxed);
    set(CLIENT, entry.who.client[0]);
    set(CLIENT + 1, entry.who.client[1]);
    set(BACKEND, backend[0]);
    set(BACKEND + 1, backend[1]);
    set(SERVICE, entry.who.service);
    let flag = |on: bool, bit: u64| if on { bit } else { 0 };
    let families = flag(entry.who.client_v6, CLIENT_V6) | flag(backend_v6, BACKEND_V6);
    set(KIND, u64::from(entry.backend.1) << 16 | families | flag(entry.in_use, IN_USE));
    let done = u64::from(version.wrapping_add(2)) << 32 | u64::from(entry.last.0);
    line[VERSION].store(done, Ordering::Release);
}

#[cfg(all(test, not(feature = "loom")))]
mod tests {
    use super::*;

    fn v4(number: u32) -> IpAddr {
        Ipv4Addr::from_bits(0x0a00_0000 | number).into()
    }

    fn v6(number: u32) -> IpAddr {
        Ipv6Addr::from_bits(0xfd00 << 112 | u128::from(number)).into()
    }

    #[test]
    fn a_client_comes_back_to_its_backend_until_the_timeout() {
        let affinity = Affinity::new(100, 7);
        for (client, backend) in [(v4(1), (v4(900), 80)), (v6(1), (v6(900), 8080)), (v4(2), (v6(901), 65535))] {
            affinity.put(client, 5, backend, Tick(100));
            assert_eq!(affinity.find(client, 5, Tick(100 + 16 * 10), 10), Some(backend));
            assert_eq!(affinity.find(client, 5, Tick(101 + 16 * 10), 10), None);
            assert_eq!(affinity.find(client, 6, Tick(100), 10), None, "another Service");
            affinity.put(client, 5, backend, Tick(200));
            assert_eq!(affinity.find(client, 5, Tick(200 + 16 * 10), 10), Some(backend), "renewed");
        }
    }

    #[test]
    fn a_new_choice_replaces_the_old_and_a_forgotten_one_is_gone() {
        let affinity = Affinity::new(100, 7);
        affinity.put(v4(1), 5, (v4(900), 80), Tick(0));
        affinity.put(v4(1), 5, (v4(901), 81), Tick(1));
        assert_eq!(affinity.find(v4(1), 5, Tick(1), 10), Some((v4(901), 81)));
        affinity.forget(v4(1), 5);
        assert_eq!(affinity.find(v4(1), 5, Tick(1), 10), None);
        affinity.forget(v4(1), 5);
    }

    #[test]
    fn in_a_full_set_the_entry_unused_for_longest_makes_room() {
        let affinity = Affinity::new(4, 7);
        for client in 0..4 {
            affinity.put(v4(client), 5, (v4(900), 80), Tick(client));
        }
        affinity.put(v4(0), 5, (v4(900), 80), Tick(10));
        affinity.put(v4(4), 5, (v4(900), 80), Tick(11));
        let known: Vec<u32> = (0..5).filter(|&it| affinity.find(v4(it), 5, Tick(11), 10).is_some()).collect();
        assert_eq!(known, [0, 2, 3, 4]);
    }

    #[test]
    fn an_ipv4_client_is_not_the_ipv6_client_of_the_same_bits() {
        let affinity = Affinity::new(4, 7);
        affinity.put(v4(1), 5, (v4(900), 80), Tick(0));
        let mapped = Ipv6Addr::from_bits(0x0a00_0001).into();
        assert_eq!(affinity.find(mapped, 5, Tick(0), 10), None);
    }
}
