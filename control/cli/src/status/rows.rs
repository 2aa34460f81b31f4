//! Lists of the status as tables that fit on a terminal.

use comfy_table::{ColumnConstraint, ContentArrangement, Table};
use serde_json::Value;

use super::cell;
use crate::table;

/// Columns of a terminal that people use beside something else. Longer cells are wrapped.
const WIDTH: u16 = 120;

/// Characters of a container's id: as many as other tools show.
const CONTAINER_ID: usize = 12;

/// The columns of lists with more than fit, each a path in the row; nested objects are not counted as one.
const CHOSEN: [(&str, &[&str]); 3] = [
    (
        "attachments",
        &["pod", "ifname", "addresses", "port", "policies", "ingress", "egress", "hostVeth", "phase", "containerId"],
    ),
    ("ports", &["id", "pod", "device", "worker", "rx_packets", "rx_bytes", "tx_packets", "tx_bytes", "frames_held"]),
    ("watches", &["kind", "state", "since", "objects", "faulty", "lists", "failures", "lastFailure"]),
];

/// Columns that only some clusters have anything in: shown where a row has.
const RARE: [&str; 2] = ["ingress", "egress"];

/// Objects with much the same keys, one a row. What an object in a row has is in columns of its own.
pub(super) fn table(name: &str, rows: &[Value]) -> Table {
    let rows: Vec<_> = rows.iter().map(flat).collect();
    let mut columns: Vec<&str> = Vec::new();
    match CHOSEN.iter().find(|(list, _)| *list == name) {
        Some((_, chosen)) => columns.extend(*chosen),
        None => {
            for (key, _) in rows.iter().flatten() {
                if !columns.contains(key) {
                    columns.push(key);
                }
            }
        }
    }
    let told = |column: &str| rows.iter().flatten().any(|(key, value)| *key == column && !value.is_null());
    columns.retain(|column| !RARE.contains(column) || told(column));
    let mut table = fitting();
    table.set_header(columns.iter().map(|column| column.replace('_', " ")));
    for row in &rows {
        table.add_row(columns.iter().map(|column| text(column, row)));
    }
    // Names give way, numbers do not.
    if name == "ports" {
        table.column_iter_mut().enumerate().filter(|(at, _)| columns[*at] != "pod").for_each(|(_, column)| {
            column.set_constraint(ColumnConstraint::ContentWidth);
        });
    }
    table
}

/// The counters of ports that the table has no column for and that are not zero; `None` when there are none.
pub(super) fn remainder(name: &str, rows: &[Value]) -> Option<Table> {
    let (_, chosen) = CHOSEN.iter().find(|(list, _)| *list == name)?;
    let mut table = fitting();
    table.set_header(["id", "counters"]);
    for row in rows {
        let counters = row.get("counters").and_then(Value::as_object).into_iter().flatten();
        let other = counters.filter(|(key, value)| !chosen.contains(&key.as_str()) && value.as_u64() != Some(0));
        let other: Vec<String> = other.map(|(key, value)| format!("{key}={}", cell(value))).collect();
        if !other.is_empty() {
            table.add_row([row.get("id").map(cell).unwrap_or_default(), other.join(" ")]);
        }
    }
    (!table.is_empty()).then_some(table)
}

fn fitting() -> Table {
    let mut table = table::new([]);
    table.set_content_arrangement(ContentArrangement::Dynamic).set_width(WIDTH);
    table
}

/// The row's values, those of objects in it in their place.
fn flat(row: &Value) -> Vec<(&str, &Value)> {
    let mut values = Vec::new();
    for (key, value) in row.as_object().into_iter().flatten() {
        match value.as_object() {
            Some(inner) => values.extend(inner.iter().map(|(key, value)| (key.as_str(), value))),
            None => values.push((key.as_str(), value)),
        }
    }
    values
}

fn text(column: &str, row: &[(&str, &Value)]) -> String {
    let value = |wanted: &str| row.iter().find(|(key, _)| *key == wanted).map(|(_, value)| *value);
    match (column, value(column)) {
        // A port without a pod is the host's.
        ("pod", None | Some(Value::Null)) => value("kind").map(cell).unwrap_or_default(),
        ("ingress" | "egress", Some(Value::Object(limit))) => bits(limit.get("bitsPerSecond")),
        ("ingress" | "egress", _) => String::new(),
        ("containerId", Some(Value::String(id))) => id.chars().take(CONTAINER_ID).collect(),
        (_, value) => value.map(cell).unwrap_or_default(),
    }
}

/// Bits a second in the greatest unit that leaves none of them out.
fn bits(value: Option<&Value>) -> String {
    let bits = value.and_then(Value::as_u64).unwrap_or_default();
    let units = [(1_000_000_000, "Gbit/s"), (1_000_000, "Mbit/s"), (1000, "kbit/s")];
    match units.iter().find(|(unit, _)| bits > 0 && bits.is_multiple_of(*unit)) {
        Some((unit, name)) => format!("{} {name}", bits / unit),
        None => format!("{bits} bit/s"),
    }
}
