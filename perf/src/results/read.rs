//! Reading what an earlier run wrote.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail};
use serde_json::Value;

use super::{Document, SCHEMA};

/// Reads a file of results.
///
/// # Errors
/// The file is not there, is no JSON, is not of this form, or is of another version of it.
pub(crate) fn read(file: &Path) -> Result<Document> {
    let name = file.display();
    let text = fs::read_to_string(file).with_context(|| format!("cannot read {name}"))?;
    parse(&text).with_context(|| format!("{name} holds no results that this program can read"))
}

fn parse(text: &str) -> Result<Document> {
    let value: Value = serde_json::from_str(text).context("it is no JSON")?;
    match value["schema"].as_str() {
        Some(SCHEMA) => {}
        Some(other) => bail!("its schema is {other}, and this program reads {SCHEMA}; use the program that wrote it"),
        None => bail!("it has no field `schema`; `sluice-perf run --json FILE` writes such files"),
    }
    serde_json::from_value(value).context("it does not keep to its schema")
}

#[cfg(test)]
pub(crate) mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::machine::Machine;
    use crate::peers::{Cores, Family};
    use crate::results::{CaseResult, FigureOf, ScenarioResult, Series, Trial};
    use crate::run::{Better, Load};
    use crate::scenario::{Comparison, Encapsulation, Place, Target, Topology};

    /// A series of TCP with these values, that of the warm-up first.
    pub(crate) fn series(peer: &str, values: &[f64]) -> Series {
        let trial = |(number, value): (u32, &f64)| Trial {
            number,
            at_seconds: f64::from(number),
            figures: BTreeMap::from([("gbits".to_owned(), *value)]),
            packets: None,
            steal_percent: 0.0,
            busy_percent: BTreeMap::from([(0, 99.0), (1, 40.0)]),
            invalid: Vec::new(),
        };
        Series {
            measure: "tcp".to_owned(),
            title: "TCP, one flow, IPv4".to_owned(),
            load: Load { family: Family::V4, rate: 0, size: 0, flows: 1 },
            peer: peer.to_owned(),
            cores: Cores { client: 0, server: 0, switch: None },
            trials: (0..).zip(values).map(trial).collect(),
            summary: BTreeMap::new(),
            notes: Vec::new(),
        }
    }

    /// A document of one scenario with such series.
    pub(crate) fn document(peers: &[(&str, &[f64])]) -> Document {
        let gbits = FigureOf {
            name: "gbits".to_owned(),
            label: "payload".to_owned(),
            unit: "Gbit/s".to_owned(),
            better: Better::Higher,
        };
        let concluded = |(peer, values): &(&str, &[f64])| {
            let mut series = series(peer, values);
            series.conclude(std::slice::from_ref(&gbits));
            series
        };
        let topology =
            Topology { place: Place::Node, encapsulation: Encapsulation::Vxlan, services: 0, policies: 0, pods: 2 };
        let case = CaseResult {
            what: topology.to_string(),
            topology,
            series: peers.iter().map(concluded).collect(),
            agents: BTreeMap::new(),
        };
        let target = Target {
            measure: "tcp".to_owned(),
            figure: "gbits".to_owned(),
            peer: "sluice".to_owned(),
            against: Some("direct".to_owned()),
            comparison: Comparison::Ratio,
            must: Some(0.5),
            aim: Some(1.0),
        };
        let scenario = ScenarioResult {
            name: "mine".to_owned(),
            title: "Mine & <yours>".to_owned(),
            why: "Because.".to_owned(),
            cases: vec![case],
            targets: vec![target],
        };
        Document {
            schema: SCHEMA.to_owned(),
            version: "0.1.0".to_owned(),
            commit: "0123456789ab".to_owned(),
            command_line: vec!["sluice-perf".to_owned(), "run".to_owned(), "mine".to_owned()],
            started: "2026-11-23T00:00:00Z".to_owned(),
            took_seconds: 12.0,
            seconds: 1.0,
            trials: 4,
            complete: true,
            machine: Machine::look(None, None).expect("this one"),
            measures: BTreeMap::from([("tcp".to_owned(), vec![gbits])]),
            scenarios: vec![scenario],
            not_measured: vec!["bridge: <not> installed".to_owned()],
        }
    }

    #[test]
    fn what_is_written_is_read_again() {
        let document = document(&[("direct", &[0.0, 10.0, 11.0]), ("sluice", &[0.0, 6.0, 7.0])]);
        let text = serde_json::to_string(&document).expect("plain data");
        assert_eq!(parse(&text).expect("well-formed"), document);
    }

    /// Names of all fields, at any depth; maps whose keys are names of things are not gone into.
    fn fields(value: &Value, into: &mut Vec<String>) {
        match value {
            Value::Object(map) => {
                for (key, value) in map {
                    into.push(key.clone());
                    if !["measures", "mitigations", "agents", "busyPercent", "figures", "summary", "wakeUp", "drops"]
                        .contains(&key.as_str())
                    {
                        fields(value, into);
                    }
                }
            }
            Value::Array(list) => list.iter().for_each(|value| fields(value, into)),
            _ => {}
        }
    }

    #[test]
    fn every_field_and_measure_is_described() {
        let described = include_str!("../../../docs/harness.md");
        let document = document(&[("direct", &[0.0, 10.0])]);
        let mut names = Vec::new();
        fields(&serde_json::to_value(&document).expect("plain data"), &mut names);
        names.extend(crate::run::measures().iter().map(|measure| measure.name().to_owned()));
        for name in names {
            assert!(
                described.contains(&format!("`{name}`")) || described.contains(&format!("`{name}[]`")),
                "docs/harness.md: {name}"
            );
        }
    }

    #[test]
    fn a_core_that_is_busy_is_named() {
        assert_eq!(series("direct", &[0.0, 10.0]).busy(), "0: 99, 1: 40");
        assert_eq!(series("direct", &[]).busy(), "");
    }

    #[test]
    fn what_is_no_result_is_refused_with_the_reason() {
        let good = serde_json::to_value(document(&[])).expect("plain data");
        let with = |key: &str, value: Value| {
            let mut changed = good.clone();
            changed[key] = value;
            changed.to_string()
        };
        for (text, expected) in [
            (String::new(), "it is no JSON"),
            ("[1]".to_owned(), "no field `schema`"),
            (with("schema", "sluice-perf/99".into()), "its schema is sluice-perf/99"),
            (with("trials", "many".into()), "does not keep to its schema"),
            (with("more", 1.into()), "unknown field `more`"),
        ] {
            let error = format!("{:#}", parse(&text).expect_err(&text));
            assert!(error.contains(expected), "{error}");
        }
        let error = read(Path::new("/nowhere.json")).expect_err("no file").to_string();
        assert_eq!(error, "cannot read /nowhere.json");
    }
}
