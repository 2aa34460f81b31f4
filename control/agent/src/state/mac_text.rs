//! MAC addresses in the state file: six pairs of hexadecimal digits joined by colons.

use serde::de::Error;
use serde::{Deserialize, Deserializer, Serializer};

pub(super) fn serialize<S: Serializer>(mac: &[u8; 6], serializer: S) -> Result<S::Ok, S::Error> {
    let [a, b, c, d, e, f] = mac;
    serializer.collect_str(&format_args!("{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{f:02x}"))
}

pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<[u8; 6], D::Error> {
    let text = String::deserialize(deserializer)?;
    parse(&text).ok_or_else(|| D::Error::custom(format_args!("\"{text}\" is no MAC address")))
}

fn parse(text: &str) -> Option<[u8; 6]> {
    let mut mac = [0; 6];
    let mut pairs = text.split(':');
    for byte in &mut mac {
        let pair = pairs.next().filter(|pair| pair.len() == 2 && pair.bytes().all(|b| b.is_ascii_hexdigit()))?;
        *byte = u8::from_str_radix(pair, 16).ok()?;
    }
    pairs.next().is_none().then_some(mac)
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn only_six_pairs_are_a_mac() {
        assert_eq!(parse("02:00:00:00:0a:FF"), Some([2, 0, 0, 0, 10, 255]));
        for bad in ["", "02:00:00:00:00", "02:00:00:00:00:00:00", "2:0:0:0:0:0", "+2:00:00:00:00:00", "0200.0000.0000"]
        {
            assert_eq!(parse(bad), None, "{bad}");
        }
    }
}
