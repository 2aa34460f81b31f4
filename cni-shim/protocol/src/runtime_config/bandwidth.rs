//! The capability `bandwidth`: how much a container may receive and send.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::field;
use crate::config::{ConfigError, invalid};

const KEY: &str = "runtimeConfig.bandwidth";

/// Limits of one container.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Bandwidth {
    /// What it receives.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ingress: Option<Rate>,
    /// What it sends.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub egress: Option<Rate>,
}

/// One direction's limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Rate {
    /// Bits a second, from 1.
    pub bits_per_second: u64,
    /// Bits at once, from 1.
    pub burst_bits: u64,
}

/// A direction whose rate and burst are 0 or not there has no limit: containerd writes the other one so.
pub(super) fn read(given: Option<&Value>) -> Result<Option<Bandwidth>, ConfigError> {
    let Some(given) = given else { return Ok(None) };
    let bandwidth = Bandwidth {
        ingress: rate(given, "ingressRate", "ingressBurst")?,
        egress: rate(given, "egressRate", "egressBurst")?,
    };
    if bandwidth.ingress.is_none() && bandwidth.egress.is_none() {
        return Err(invalid(KEY, "an object with an ingressRate or an egressRate above 0", given));
    }
    Ok(Some(bandwidth))
}

fn rate(given: &Value, rate: &str, burst: &str) -> Result<Option<Rate>, ConfigError> {
    let keys = given.as_object().ok_or_else(|| invalid(KEY, "an object", given))?;
    let number = |name: &str| match field(keys, name) {
        None => Ok(0),
        Some(value) => value.as_u64().ok_or_else(|| invalid(KEY, "an object of whole numbers from 0 to 2^64-1", given)),
    };
    match (number(rate)?, number(burst)?) {
        (0, 0) => Ok(None),
        (0, _) | (_, 0) => Err(invalid(KEY, "an object with each rate and its burst above 0", given)),
        (bits_per_second, burst_bits) => Ok(Some(Rate { bits_per_second, burst_bits })),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn each_direction_is_read_by_itself() {
        let ingress = Rate { bits_per_second: 1_000_000, burst_bits: u64::MAX };
        for given in [
            json!({"ingressRate": 1_000_000, "ingressBurst": u64::MAX}),
            json!({"IngressRate": 1_000_000, "IngressBurst": u64::MAX, "EgressRate": 0, "EgressBurst": 0}),
        ] {
            let wanted = Bandwidth { ingress: Some(ingress), egress: None };
            assert_eq!(read(Some(&given)).expect("good"), Some(wanted), "{given}");
        }
        assert_eq!(read(None).expect("good"), None);
    }

    #[test]
    fn zero_and_more_than_64_bits_are_refused() {
        let beyond: Value =
            serde_json::from_str(r#"{"ingressRate": 18446744073709551616, "ingressBurst": 1}"#).expect("JSON");
        for given in [
            beyond,
            json!(5),
            json!({}),
            json!({"ingressRate": 0, "ingressBurst": 0}),
            json!({"ingressRate": 0, "ingressBurst": 1}),
            json!({"egressRate": 1}),
            json!({"egressRate": 1, "egressBurst": 0}),
            json!({"egressRate": -1, "egressBurst": 1}),
            json!({"egressRate": "1M", "egressBurst": 1}),
            json!({"egressRate": 1.5, "egressBurst": 1}),
        ] {
            let refused = read(Some(&given)).expect_err("it makes no sense");
            assert!(refused.code() == 7 && refused.to_string().contains("bandwidth"), "{given}: {refused}");
        }
    }
}
