//! `sluice status`: the agent's status document, readable.

use std::process::ExitCode;

use anyhow::{Result, bail};
use serde_json::Value;
use sluice_cni_protocol::{Client, Request, Response};

use crate::args::StatusArgs;
use crate::table;

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
/// It shows what is there instead of asking for fields by name, so a newer agent's additions are seen too. Counters
/// that are zero are left out.
fn render(status: &Value) -> String {
    let Some(fields) = status.as_object() else { return format!("{status}\n") };
    let mut text = String::new();
    for (name, value) in fields.iter().filter(|(_, value)| !value.is_object() && !is_table(value)) {
        text.push_str(&format!("{name}: {}\n", cell(value)));
    }
    for (name, value) in fields {
        if let Some(rows) = value.as_array().filter(|_| is_table(value)) {
            text.push_str(&format!("\n{name}\n{}\n", rows_table(rows)));
        } else if let Some(group) = value.as_object() {
            text.push_str(&format!("\n{name}\n{}", group_lines(group)));
        }
    }
    text
}

fn is_table(value: &Value) -> bool {
    value.as_array().is_some_and(|rows| rows.iter().any(Value::is_object))
}

/// Objects with much the same keys, one a row.
fn rows_table(rows: &[Value]) -> comfy_table::Table {
    let mut columns: Vec<&String> = Vec::new();
    for key in rows.iter().filter_map(Value::as_object).flat_map(|row| row.keys()) {
        if !columns.contains(&key) {
            columns.push(key);
        }
    }
    let mut table = table::new([]);
    table.set_header(&columns);
    for row in rows {
        table.add_row(columns.iter().map(|column| row.get(column.as_str()).map(cell).unwrap_or_default()));
    }
    table
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
            "ports": [{"id": 1, "addresses": ["10.0.0.1", "fd00::1"]}, {"id": 2, "pod": "demo/web"}],
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
}
