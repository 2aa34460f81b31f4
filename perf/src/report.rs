//! Tables for a person, JSON for everybody else.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use comfy_table::{CellAlignment, Table, presets};
use serde::Serialize;
use serde_json::Value;

use crate::generators::ping::Pinged;
use crate::generators::pingpong::Latency;
use crate::measure::UdpRun;
use crate::series::Series;
use crate::stats::Spread;

/// Prints a heading and a table below it; the first column is text, the others are figures.
pub(crate) fn table<const N: usize>(heading: &str, columns: [&str; N], rows: impl IntoIterator<Item = [String; N]>) {
    wide_table(heading, columns.to_vec(), rows.into_iter().map(Vec::from));
}

/// The same for a number of columns that is not known beforehand.
pub(crate) fn wide_table(heading: &str, columns: Vec<&str>, rows: impl IntoIterator<Item = Vec<String>>) {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_header(columns);
    for row in rows {
        table.add_row(row);
    }
    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    println!("\n{heading}\n{table}");
}

/// Prints a heading and a table of text below it.
pub(crate) fn text_table<const N: usize>(
    heading: &str,
    columns: [&str; N],
    rows: impl IntoIterator<Item = [String; N]>,
) {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_header(columns.to_vec());
    for row in rows {
        table.add_row(row.to_vec());
    }
    println!("\n{heading}\n{table}");
}

/// Prints what became of pings.
pub(crate) fn pings(heading: &str, results: &[(String, Pinged)]) {
    let rows = results.iter().map(|(what, Pinged { sent, answered, p50, max })| {
        [what.clone(), format!("{answered}/{sent}"), format!("{p50:.0}"), format!("{max:.0}")]
    });
    table(heading, ["FROM AND TO", "ANSWERED", "P50 us", "MAX us"], rows);
}

/// Prints rates of TCP, medians over the rounds.
pub(crate) fn tcp(heading: &str, series: &[Series<'_, f64>]) {
    let rows = series.iter().map(|one| {
        let rate = spread_cell(one.spread(|gbits| *gbits));
        [one.path.name().to_owned(), one.family.to_string(), one.cores.to_string(), rate]
    });
    table(heading, ["PATH", "IP", "CORES", "Gbit/s"], rows);
}

/// The cells of a latency row: medians over the rounds, the largest of all, every sample.
pub(crate) fn latency_row(series: &Series<'_, Latency>) -> [String; 6] {
    let spread = |figure: fn(&Latency) -> f64| spread_cell(series.spread(figure));
    let max = series.rounds.iter().map(|round| round.max).fold(0.0, f64::max);
    let samples: u64 = series.rounds.iter().map(|round| round.samples).sum();
    let (p50, p99) = (spread(|round| round.p50), spread(|round| round.p99));
    [series.path.name().to_owned(), series.cores.to_string(), p50, p99, format!("{max:.0}"), samples.to_string()]
}

/// The headings of a latency table, in microseconds.
pub(crate) const LATENCY_COLUMNS: [&str; 6] = ["PATH", "CORES", "P50 us", "P99 us", "MAX us", "SAMPLES"];

/// The cells of a row of UDP rounds at the rate the sender can: medians over the rounds, every drop at the socket.
pub(crate) fn udp_series_row(series: &Series<'_, UdpRun>) -> [String; 6] {
    let spread = |figure: fn(&UdpRun) -> f64| spread_cell(series.spread(figure));
    let (sent, received) = (spread(|run| run.offered / 1000.0), spread(|run| run.received / 1000.0));
    let socket_drops: u64 = series.rounds.iter().map(|run| run.socket_drops).sum();
    let (name, cores) = (series.path.name().to_owned(), series.cores.to_string());
    [name, cores, sent, received, spread(UdpRun::loss_percent), socket_drops.to_string()]
}

/// The headings of a table of UDP rounds, in thousands of packets a second.
pub(crate) const UDP_SERIES_COLUMNS: [&str; 6] =
    ["PATH", "CORES", "SENT kpps", "RECEIVED kpps", "LOST %", "SOCKET FULL"];

/// The cells of a UDP row.
pub(crate) fn udp_row(name: &str, udp: &UdpRun) -> [String; 6] {
    let loss = format!("{:.2} %", udp.loss_percent());
    [name.to_owned(), kilo(udp.asked as f64), kilo(udp.offered), kilo(udp.received), loss, udp.socket_drops.to_string()]
}

/// The headings of a UDP table, in thousands of packets a second.
pub(crate) const UDP_COLUMNS: [&str; 6] = ["PATH", "ASKED kpps", "SENT kpps", "RECEIVED kpps", "LOST", "SOCKET FULL"];

fn kilo(rate: f64) -> String {
    format!("{:.1}", rate / 1000.0)
}

/// A median with the range it lies in.
pub(crate) fn spread_cell(spread: Option<Spread>) -> String {
    spread.map_or("-".to_owned(), |Spread { median, min, max }| format!("{median:.2} ({min:.2} to {max:.2})"))
}

/// What the agent says of itself at the end of a measurement.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct AgentReport {
    /// Its status document.
    pub(crate) status: Value,
    /// Packets that never came to the switch, by the kernel's counters.
    pub(crate) kernel_losses: BTreeMap<String, u64>,
}

/// What a reader of the figures wants to know of the agent, by the keys of its status document.
const AGENT_KEYS: [&str; 6] = ["xdpMode", "superFrames", "podMtu", "features", "hugePages", "generation"];

/// The agent's own words: what it runs with, and what it dropped.
pub(crate) fn agent(status: &AgentReport) {
    let AgentReport { status, kernel_losses } = status;
    println!("\nAgent");
    for key in AGENT_KEYS {
        if let Some(value) = status.get(key) {
            println!("  {key}: {}", pairs(value));
        }
    }
    println!("  drops: {}", dropped(&status["drops"]));
    let before = kernel_losses.iter().map(|(name, count)| format!("{name} {count}")).collect::<Vec<_>>().join(", ");
    println!("  lost in the kernel before the switch: {}", if before.is_empty() { "none" } else { &before });
}

/// Drops by reason, those that happened.
pub(crate) fn dropped(drops: &Value) -> String {
    let counts = drops.as_object().into_iter().flatten();
    let happened = counts.filter(|(_, count)| count.as_u64().is_some_and(|count| count > 0));
    let text = happened.map(|(reason, count)| format!("{reason} {count}")).collect::<Vec<_>>().join(", ");
    if text.is_empty() { "none".to_owned() } else { text }
}

/// A plain value, or names with values.
fn pairs(value: &Value) -> String {
    let plain = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let Some(fields) = value.as_object() else { return plain(value) };
    fields.iter().map(|(name, value)| format!("{name}={}", plain(value))).collect::<Vec<_>>().join(" ")
}

/// Writes the results as JSON, for the one who asked for that.
pub(crate) fn write_json<T: Serialize>(results: &T, file: Option<&Path>) -> Result<()> {
    let Some(file) = file else { return Ok(()) };
    let mut text = serde_json::to_string_pretty(results)?;
    text.push('\n');
    fs::write(file, text).with_context(|| format!("cannot write {}", file.display()))?;
    println!("\nresults written to {}", file.display());
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn only_drops_that_happened_are_named() {
        assert_eq!(dropped(&json!({"malformed": 0, "ttl_expired": 2})), "ttl_expired 2");
        assert_eq!(dropped(&json!({"malformed": 0})), "none");
        assert_eq!(dropped(&Value::Null), "none");
    }
}
