//! From what a runtime asks for by the capability `bandwidth` to the limits that the switch holds.

use serde_json::{Value, json};
use sluice_cni_protocol::{Bandwidth, Rate as Asked};
use sluice_path::Rate;
use sluice_worker::Limits;

/// Bursts from here on say nothing, 2^31-1 bits. The annotations `kubernetes.io/ingress-bandwidth` and `egress-bandwidth` tell runtimes a
/// rate alone, and the convention wants a burst with it, so kubelet gave this one, containerd gives 2^32-1 and CRI-O somewhat less than
/// eight times that: a pod limited to 10 Mbit/s would send half a gigabyte first (kubernetes/kubernetes issue 90838).
const UNSAID: u64 = i32::MAX as u64;

/// What the switch is to hold a pod to.
pub(crate) fn limits(asked: Option<Bandwidth>) -> Limits {
    let Some(Bandwidth { ingress, egress }) = asked else { return Limits::default() };
    Limits { ingress: ingress.map(rate), egress: egress.map(rate) }
}

/// Parts of a second whose worth of the rate a burst is at least. Packets over a limit are dropped and do not wait, so TCP stands still
/// for 200 ms or more after it has lost its last ones (`TCP_RTO_MIN`), and catches up with what was saved meanwhile. With a few packets'
/// worth it would get a hundredth of the rate.
const LEAST: u64 = 4;

/// A burst that says nothing is what the rate gives in a second.
fn rate(asked: Asked) -> Rate {
    let Asked { bits_per_second, burst_bits } = asked;
    let burst_bits = if burst_bits < UNSAID { burst_bits } else { burst_bits.min(bits_per_second) };
    Rate { bits_per_second, burst_bits: burst_bits.max(bits_per_second / LEAST) }
}

/// For the status: the limits in force, `null` for a pod without.
pub(crate) fn described(asked: Option<Bandwidth>) -> Value {
    let one = |rate: Option<Rate>| {
        rate.map(
            |Rate { bits_per_second, burst_bits }| json!({"bitsPerSecond": bits_per_second, "burstBits": burst_bits}),
        )
    };
    let Limits { ingress, egress } = limits(asked);
    if asked.is_some() { json!({"ingress": one(ingress), "egress": one(egress)}) } else { Value::Null }
}

/// For CHECK: what differs between what ADD was asked for, what the switch holds the pod to, and what is asked for now, if anything is:
/// runtimes may leave that out.
pub(crate) fn differences(kept: Option<Bandwidth>, held: Limits, asked: Option<Bandwidth>) -> Vec<String> {
    let mut found = Vec::new();
    if held != limits(kept) {
        found.push("the switch does not limit its bandwidth as ADD asked".to_owned());
    }
    if asked.is_some() && asked != kept {
        found.push("runtimeConfig.bandwidth is not what ADD was given".to_owned());
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(bits_per_second: u64, burst_bits: u64) -> Asked {
        Asked { bits_per_second, burst_bits }
    }

    #[test]
    fn a_burst_that_says_nothing_is_a_second_of_the_rate_and_none_is_less_than_a_quarter() {
        const MBIT: u64 = 1_000_000;
        for (given, burst) in [
            (asked(10 * MBIT, 1), 10 * MBIT / 4),
            (asked(1, 1), 1),
            (asked(10 * MBIT, 3 * MBIT), 3 * MBIT),
            (asked(10 * MBIT, 80 * MBIT), 80 * MBIT),
            (asked(10 * MBIT, (1 << 31) - 1), 10 * MBIT),
            (asked(10 * MBIT, (1 << 32) - 1), 10 * MBIT),
            (asked(10 * MBIT, u64::MAX), 10 * MBIT),
            (asked(10_000 * MBIT, (1 << 32) - 1), (1 << 32) - 1),
            (asked(100_000 * MBIT, (1 << 32) - 1), 25_000 * MBIT),
            (asked(u64::MAX, u64::MAX), u64::MAX),
        ] {
            let Rate { bits_per_second, burst_bits } = rate(given);
            assert_eq!((bits_per_second, burst_bits), (given.bits_per_second, burst), "{given:?}");
        }
    }

    #[test]
    fn a_direction_without_a_limit_has_none() {
        assert_eq!(limits(None), Limits::default());
        let of_one = Some(Bandwidth { ingress: None, egress: Some(asked(8, 9)) });
        let held = Limits { ingress: None, egress: Some(Rate { bits_per_second: 8, burst_bits: 9 }) };
        assert_eq!(limits(of_one), held);
        assert_eq!(described(None), Value::Null);
        assert_eq!(described(of_one), json!({"ingress": null, "egress": {"bitsPerSecond": 8, "burstBits": 9}}));
    }

    #[test]
    fn a_check_tells_limits_that_are_not_what_add_was_given() {
        let kept = Some(Bandwidth { ingress: Some(asked(8, 9)), egress: None });
        let other = Some(Bandwidth { ingress: Some(asked(8, 10)), egress: None });
        for asked in [None, kept] {
            assert_eq!(differences(kept, limits(kept), asked), Vec::<String>::new());
        }
        assert_eq!(differences(kept, limits(kept), other).len(), 1);
        assert_eq!(differences(None, limits(None), other).len(), 1);
        for held in [Limits::default(), limits(other)] {
            assert!(differences(kept, held, None)[0].contains("as ADD asked"));
        }
    }
}
