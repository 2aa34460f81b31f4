//! Scenario files: those built in, and every way to write one wrong.

use std::fs;

use super::file::parse;
use super::*;
use crate::peers::Family;

const GOOD: &str = r#"
name = "mine"
title = "Mine"
why = "Because."
topology = "node"
peers = ["direct", "sluice"]
[[measure]]
kind = "tcp"
"#;

fn refused(text: &str) -> String {
    parse("mine.toml", text).expect_err(text).to_string()
}

/// The good one with one line in place of another.
fn with(line: &str, instead: &str) -> String {
    assert!(GOOD.contains(line), "{line}");
    GOOD.replace(line, instead)
}

#[test]
fn every_file_of_the_directory_is_built_in_and_named_after_its_scenario() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("scenarios");
    let mut names: Vec<String> = fs::read_dir(directory)
        .expect("the directory is there")
        .map(|entry| entry.expect("readable").file_name().into_string().expect("plain text"))
        .collect();
    names.sort();
    assert_eq!(names, builtin::FILES.iter().map(|(name, _)| *name).collect::<Vec<_>>());
    let scenarios = all(None).expect("the built-in ones are right");
    assert_eq!(scenarios.len(), names.len());
    for scenario in &scenarios {
        assert!(names.contains(&format!("{}.toml", scenario.name)), "{}", scenario.name);
        assert!(!scenario.cases.is_empty() && !scenario.title.is_empty() && !scenario.why.is_empty());
    }
}

#[test]
fn lists_multiply_into_cases_and_plans() {
    let text = with(
        "[[measure]]\nkind = \"tcp\"",
        "services = [1, 10]\nfamily = [\"v4\", \"v6\"]\n[[measure]]\nkind = \"udp\"\nrates = [1000, 0]\nsizes = [84]\n",
    );
    let scenario = parse("mine.toml", &text).expect("well-formed");
    assert_eq!(scenario.cases.iter().map(|case| case.topology.services).collect::<Vec<_>>(), [1, 10]);
    let loads: Vec<_> = scenario.cases[0].plans.iter().map(|plan| (plan.load.family, plan.load.rate)).collect();
    assert_eq!(loads, [(Family::V4, 1000), (Family::V4, 0), (Family::V6, 1000), (Family::V6, 0)]);
    assert_eq!(scenario.cases[1].topology.to_string(), "two pods on a node, 10 Services");
}

#[test]
fn the_smallest_frames_go_over_ipv4_alone() {
    let text = with(
        "[[measure]]\nkind = \"tcp\"",
        "family = [\"v4\", \"v6\"]\n[[measure]]\nkind = \"udp\"\nsizes = [64, 100]\n",
    );
    let plans = parse("mine.toml", &text).expect("well-formed").cases.remove(0).plans;
    let sizes: Vec<_> = plans.iter().map(|plan| (plan.load.family, plan.load.size)).collect();
    assert_eq!(sizes, [(Family::V4, 64), (Family::V4, 100), (Family::V6, 100)]);
}

#[test]
fn a_wrong_key_is_refused_with_file_line_and_key() {
    let text = refused(&with("why", "whi"));
    assert!(text.starts_with("mine.toml: line 4, `whi = \"Because.\"`: unknown field `whi`"), "{text}");
    let text = refused(&with("kind = \"tcp\"", "kind = \"tcp\"\nspeed = 1"));
    assert!(text.contains("line 9, `speed = 1`: unknown field `speed`"), "{text}");
}

#[test]
fn what_cannot_be_a_scenario_is_refused_with_its_line() {
    for (line, instead, expected) in [
        ("name = \"mine\"", "name = \"My own\"", "line 2, `name = \"My own\"`: a scenario's name consists of"),
        ("topology = \"node\"", "topology = \"moon\"", "line 5, `topology = \"moon\"`: unknown variant `moon`"),
        (
            "\"sluice\"]",
            "\"sluise\"]",
            "line 6, `peers = [\"direct\", \"sluise\"]`: there is no peer sluise (did you mean sluice?)",
        ),
        ("\"sluice\"]", "\"direct\"]", "direct is there twice"),
        ("\"sluice\"]", "\"vxlan\"]", "vxlan cannot play two pods on a node"),
        ("\"sluice\"]", "\"sluice\"]\nservices = []", "line 7, `services = []`: the list is empty"),
        ("\"sluice\"]", "\"sluice\"]\nservices = [5, 5]", "5 is there twice"),
        ("\"sluice\"]", "\"sluice\"]\npods = [300]", "300 is not allowed, only 2 to 250"),
        ("\"sluice\"]", "\"sluice\"]\npolicies = [-1]", "line 7"),
        ("\"sluice\"]", "\"sluice\"]\npolicies = \"many\"", "line 7, `policies = \"many\"`: invalid type"),
        ("kind = \"tcp\"", "kind = \"pingpong\"", "there is no measure pingpong (did you mean ping-pong?)"),
        ("kind = \"tcp\"", "kind = \"tcp\"\nsizes = [64]", "line 9, `sizes = [64]`: measure tcp has no sizes"),
        ("kind = \"tcp\"", "kind = \"udp\"\nsizes = [70]", "70 is not allowed, only 64 or 84 to 1450"),
        ("kind = \"tcp\"", "kind = \"udp\"\nrates = [5]", "5 is not allowed, only 0 or 100 to 100000000"),
        ("[[measure]]\nkind = \"tcp\"", "family = [\"v6\"]\n[[measure]]\nkind = \"udp\"", "no room for IPv6"),
        ("[[measure]]\nkind = \"tcp\"", "measure = []", "it measures nothing"),
        ("[[measure]]\nkind = \"tcp\"", "", "missing field `measure`"),
        ("name = \"mine\"", "name = ", "line 2"),
        ("name = \"mine\"", "name = \"a\"\nname = \"b\"", "duplicate key"),
    ] {
        let text = refused(&with(line, instead));
        assert!(text.starts_with("mine.toml: line ") && text.contains(expected), "{instead}: {text}");
    }
}

#[test]
fn a_target_is_about_what_is_measured_here() {
    let target = |keys: &str| format!("{GOOD}[[target]]\n{keys}\n");
    let good = "measure = \"tcp\"\nfigure = \"gbits\"\npeer = \"sluice\"\nagainst = \"direct\"\nmust = 0.5";
    let targets = parse("mine.toml", &target(good)).expect("well-formed").targets;
    assert_eq!((targets[0].comparison, targets[0].must, targets[0].aim), (Comparison::Ratio, Some(0.5), None));
    for (line, instead, expected) in [
        ("measure = \"tcp\"", "measure = \"udp\"", "there is no measure here udp"),
        ("\"gbits\"", "\"gbit\"", "there is no figure gbit (did you mean gbits?)"),
        ("\"sluice\"", "\"bridge\"", "there is no peer here bridge"),
        ("against = \"direct\"\n", "", "need `against`"),
        ("must = 0.5", "comparison = \"value\"\nmust = 0.5", "is against nothing"),
        ("must = 0.5", "", "needs `must` or `aim`"),
    ] {
        let text = refused(&target(&good.replace(line, instead)));
        assert!(text.contains(expected), "{instead}: {text}");
    }
}

#[test]
fn an_unknown_scenario_is_refused_with_the_nearest() {
    let scenarios = all(None).expect("the built-in ones are right");
    let error = chosen(&scenarios, &["fundation".to_owned()]).expect_err("there is none").to_string();
    assert!(error.contains("no scenario fundation (did you mean foundation?)"), "{error}");
    let names = ["service".to_owned(), "connections".to_owned()];
    let found: Vec<_> = chosen(&scenarios, &names).expect("they are there").into_iter().map(|one| one.name).collect();
    assert_eq!(found, names);
}

#[test]
fn a_directory_of_one_s_own_takes_the_place_of_the_built_in_ones() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let nothing = all(Some(directory.path())).expect_err("nothing in it").to_string();
    assert!(nothing.contains("has no scenario"), "{nothing}");
    fs::write(directory.path().join("a.toml"), GOOD).expect("writable");
    fs::write(directory.path().join("notes.txt"), "nothing").expect("writable");
    let found = all(Some(directory.path())).expect("well-formed");
    assert_eq!(found.iter().map(|one| one.name.as_str()).collect::<Vec<_>>(), ["mine"]);
    fs::write(directory.path().join("b.toml"), GOOD).expect("writable");
    let twice = all(Some(directory.path())).expect_err("one name").to_string();
    assert!(twice.contains("two files call their scenario mine"), "{twice}");
    let none = all(Some(&directory.path().join("none"))).expect_err("no directory").to_string();
    assert!(none.contains("cannot read"), "{none}");
}
