//! The seeded hash of tuples.

use crate::tuple::Key;

/// Four words drawn from one seed. Who does not know them cannot choose tuples that fall into one bucket.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Secrets([u64; 4]);

impl Secrets {
    /// By SplitMix64 (Steele, Lea, Flood: "Fast splittable pseudorandom number generators", 2014).
    pub(crate) fn of(seed: u64) -> Secrets {
        let mut state = seed;
        Secrets([(); 4].map(|()| {
            state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mut word = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            word ^ (word >> 31)
        }))
    }

    /// Folded multiplications as in wyhash and rapidhash.
    #[inline]
    pub(crate) fn hash(&self, key: &Key) -> u64 {
        let [a, b, c, d] = self.0;
        let mixed = match *key {
            Key::V4 { addresses, ports, protocol } => return self.hash_v4(addresses, ports, protocol),
            Key::V6 { addresses: [w, x, y, z], ports, protocol } => {
                fold(fold(w ^ a, x ^ b) ^ y, z ^ c) ^ fold(rest(ports, protocol) ^ a, d)
            }
        };
        fold(mixed ^ c, d | 1)
    }

    /// The same for the words of an IPv4 key.
    #[inline(always)]
    pub(crate) fn hash_v4(&self, addresses: u64, ports: u32, protocol: u8) -> u64 {
        let [a, b, c, d] = self.0;
        fold(fold(addresses ^ a, rest(ports, protocol) ^ b) ^ c, d | 1)
    }
}

#[inline(always)]
const fn rest(ports: u32, protocol: u8) -> u64 {
    (ports as u64) << 8 | protocol as u64
}

#[inline]
fn fold(a: u64, b: u64) -> u64 {
    let wide = u128::from(a) * u128::from(b);
    (wide >> 64) as u64 ^ wide as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Tuples as they come: one server, clients in sequence, ports in sequence.
    fn keys() -> impl Iterator<Item = Key> {
        (0..40_u64).flat_map(|client| {
            (0..500_u32).map(move |port| Key::V4 {
                addresses: (0x0a00_0100 + client) << 32 | 0x0a60_0001,
                ports: (40_000 + port) << 16 | 80,
                protocol: 6,
            })
        })
    }

    #[test]
    fn sequences_of_tuples_spread_over_the_buckets() {
        for seed in [0, 1, 0xdead_beef] {
            let secrets = Secrets::of(seed);
            let mut load = vec![0_u32; 2857];
            for key in keys() {
                load[(((secrets.hash(&key) >> 32) * 2857) >> 32) as usize] += 1;
            }
            // 20,000 into 2857 buckets: 7 on average; a Poisson variable of mean 7 exceeds 26 once in 10^8.
            assert!(load.iter().all(|&count| count < 27), "seed {seed}: {:?}", load.iter().max());
        }
    }

    #[test]
    fn another_seed_is_another_hash() {
        let key = keys().next().expect("there are keys");
        assert_ne!(Secrets::of(1).hash(&key), Secrets::of(2).hash(&key));
    }
}
