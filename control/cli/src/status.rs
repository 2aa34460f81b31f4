//! `sluice status`: the agent's status document, readable.

use std::process::ExitCode;

use anyhow::{Result, bail};
use serde_json::Value;
use sluice_cni_protocol::{Client, Request, Response};

use crate::args::StatusArgs;

mod rows;

pub(crate) fn run(args: &StatusArgs) -> Result<ExitCode> {
    let status = match Client::in_run_dir(&args.run_dir).call(Request::Status)? {
        Response::Ok(status) => status,
        Response::Error(error) => bail!("sluiced answers: {error}"),
    };
    if args.json {
        println!("{}", serde_json::to_string_pretty(&status)?);
    } else {
        print!("{}", render(&status));
    }
    Ok(ExitCode::SUCCESS)
}

/// The document as text: plain values first, then a table for each list, then a block for each group.
///
/// It shows what is there instead of asking for fields by name, so a newer agent's additions are seen too; only of lists
/// whose rows are too long for a terminal it shows the columns that are asked for most, and `--json` has the others.
/// Counters that are zero are left out.
fn render(status: &Value) -> String {
    let Some(fields) = status.as_object() else { return format!("{status}\n") };
    let mut text = String::new();
    for (name, value) in fields.iter().filter(|(_, value)| !value.is_object() && !is_table(value)) {
        text.push_str(&format!("{name}: {}\n", cell(value)));
    }
    for (name, value) in fields {
        if let Some(rows) = value.as_array().filter(|_| is_table(value)) {
            text.push_str(&format!("\n{name}\n{}\n", rows::table(name, rows)));
            text.extend(rows::remainder(name, rows).map(|rest| format!("\n{name}, other counters\n{rest}\n")));
        } else if let Some(group) = value.as_object() {
            text.push_str(&format!("\n{name}\n{}", group_lines(group)));
        }
    }
    text
}

fn is_table(value: &Value) -> bool {
    value.as_array().is_some_and(|rows| rows.iter().any(Value::is_object))
}

fn group_lines(group: &serde_json::Map<String, Value>) -> String {
    let shown: Vec<_> = group.iter().filter(|(_, value)| value.as_u64() != Some(0)).collect();
    if shown.is_empty() {
        return "  none\n".to_owned();
    }
    let width = shown.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
    shown.iter().map(|(name, value)| format!("  {name:width$}  {}\n", cell(value))).collect()
}

/// A value in one cell.
fn cell(value: &Value) -> String {
    match value {
        Value::Null => "-".to_owned(),
        Value::String(text) => text.clone(),
        Value::Array(values) => values.iter().map(cell).collect::<Vec<_>>().join(" "),
        Value::Object(fields) => {
            let shown = fields.iter().filter(|(_, value)| value.as_u64() != Some(0));
            shown.map(|(name, value)| format!("{name}={}", cell(value))).collect::<Vec<_>>().join(" ")
        }
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn plain_values_lists_and_groups_are_shown_and_zero_counters_are_not() {
        let text = render(&json!({
            "node": "node-a",
            "generation": 7,
            "things": [{"id": 1, "addresses": ["10.0.0.1", "fd00::1"]}, {"id": 2, "pod": "demo/web"}],
            "drops": {"ttl_expired": 3, "malformed": 0},
            "features": {},
        }));
        assert!(text.contains("node: node-a\n") && text.contains("generation: 7\n"), "{text}");
        assert!(text.contains("10.0.0.1 fd00::1") && text.contains("demo/web"), "{text}");
        assert!(text.contains("ttl_expired") && !text.contains("malformed"), "{text}");
        assert!(text.contains("features\n  none\n"), "{text}");
    }

    #[test]
    fn a_document_of_another_shape_is_still_printed() {
        assert_eq!(render(&json!("odd")), "\"odd\"\n");
        assert_eq!(render(&json!({})), "");
    }

    /// Bytes that a port moves in a day at a gigabyte a second.
    const MANY: u64 = 98_765_432_109_876;

    /// A document as the agent writes it, with the longest values that it can have.
    fn full() -> Value {
        let counters = |n: u64| {
            let all = ["rx_packets", "rx_bytes", "tx_packets", "tx_bytes", "kernel_fill_ring_empty", "kicks"];
            all.map(|name| (name, json!(n))).into_iter().collect::<std::collections::BTreeMap<_, _>>()
        };
        let pod = format!("{}/{}", "n".repeat(63), "p".repeat(253));
        json!({
            "node": "n1",
            "attachments": [{
                "containerId": "0123456789abcdef".repeat(4), "ifname": "eth0", "pod": pod, "netns": "/run/netns/x",
                "addresses": ["10.244.100.200", "fd00:1234:5678:9abc:def0:1234:5678:9abc"], "mac": "0a:00:00:00:00:01",
                "hostVeth": "slu0123456789a", "port": 4095, "phase": "not served",
                "policies": 100_000, "rules": 1_000_000,
                "bandwidth": {"ingress": {"bitsPerSecond": 999_999_999_999_999_u64, "burstBits": 1}, "egress": null},
            }],
            "ports": [
                {"id": 0, "kind": "host", "pod": null, "device": "sluice_port", "worker": 0, "counters": counters(0)},
                {"id": 4095, "kind": "pod", "pod": pod, "device": "slu0123456789a", "worker": 63,
                    "counters": counters(MANY)},
            ],
            "watches": [{"kind": "NetworkPolicy", "state": "backing off", "since": "2026-11-22T17:40:00Z", "objects": 100_000,
                "faulty": 5_000, "resourceVersion": "18446744073709551615", "heard": "2026-11-22T17:40:00Z",
                "lists": 1_000, "events": MANY, "failures": 100_000,
                "lastFailure": format!("2026-11-22T17:40:00Z: {}", "the server hangs up; ".repeat(9))}],
            "workers": [{"core": 255, "generation": 1_000_000, "loop": {"turns": MANY, "busy_turns": MANY,
                "sleeps": MANY, "handed_over": MANY, "taken_over": MANY, "checksums_completed": MANY,
                "pool_frames": 256}}],
        })
    }

    #[test]
    fn what_costs_and_what_the_clock_did_is_told_in_words() {
        let text = render(&json!({
            "policies": {"inForce": 5000, "podsSelected": 1, "mostOnOnePod": 5000, "rulesOfThese": 9000, "pod": "demo/web"},
            "labels": {"limit": 64, "podsWithMore": 0, "most": 0, "pod": null},
            "clock": {"steps": 1, "latestStep": "2026-11-22T17:40:00Z: -3600 s", "changesFromTheFuture": 0},
            "attachments": [{"pod": "demo/web", "policies": 5000, "rules": 9000, "phase": "live"}],
        }));
        let words = text.split_whitespace().collect::<Vec<_>>().join(" ");
        for told in ["inForce 5000", "mostOnOnePod 5000", "pod demo/web", "rulesOfThese 9000", "steps 1", "-3600 s"] {
            assert!(words.contains(told), "{told}: {text}");
        }
        assert!(
            text.lines().any(|line| line.contains("demo/web") && line.contains("5000") && line.contains("live")),
            "{text}"
        );
        assert!(!words.contains("podsWithMore") && !words.contains("changesFromTheFuture"), "what is not: {text}");
    }

    #[test]
    fn tables_are_readable_on_120_columns() {
        let text = render(&full());
        assert!(text.lines().all(|line| line.chars().count() <= 120), "{text}");
        assert!(text.contains("0123456789ab") && !text.contains("0123456789abc "), "{text}");
    }

    #[test]
    fn limits_of_pods_are_shown_where_there_are_any() {
        let without = json!({"attachments": [{"pod": "demo/free", "bandwidth": null}]});
        assert!(!render(&without).contains("ingress"));
        let text = render(&json!({"attachments": [
            {"pod": "demo/free", "bandwidth": null},
            {"pod": "demo/slow", "bandwidth": {"ingress": {"bitsPerSecond": 10_000_000, "burstBits": 1}, "egress": null}},
            {"pod": "demo/slower", "bandwidth": {"ingress": null, "egress": {"bitsPerSecond": 1500, "burstBits": 1}}},
        ]}));
        let line = |pod: &str| text.lines().find(|line| line.contains(pod)).unwrap_or_default();
        assert!(line("demo/slow ").contains("10 Mbit/s") && line("demo/slower").contains("1500 bit/s"), "{text}");
        assert!(!line("demo/free").contains("bit/s") && text.contains("ingress"), "{text}");
    }

    #[test]
    fn every_port_has_its_traffic_and_whatever_else_it_counted() {
        let text = render(&full());
        let line = |start: &str| text.lines().find(|line| line.trim_start().starts_with(start)).unwrap_or_default();
        assert!(line("0 ").contains("host") && line("0 ").contains("sluice_port"), "{text}");
        assert!(line("4095").contains(&MANY.to_string()), "{text}");
        let (_, rest) = text.split_once("ports, other counters\n").unwrap();
        let rest: String = rest.split("\n\n").next().unwrap().split_whitespace().collect();
        assert!(rest.contains(&format!("kernel_fill_ring_empty={}kicks={}", MANY, MANY)), "{rest}");
        assert!(!rest.contains("rx_packets"), "{rest}");
    }
}
