//! Shows that the commands people and continuous integration type do run every test.

use std::collections::{BTreeMap, BTreeSet};

use crate::text::{code_only, line_of, tokens};
use crate::tree::{Files, within};
use crate::violation::Violation;

/// What continuous integration starts from.
const CI_SCRIPT: &str = ".ci/run";

/// What continuous integration has to call.
const CI_TARGETS: &[&str] = &["lint", "test", "test-e2e", "test-cluster"];

/// Ignored tests that no make target runs, and make targets that `.ci/run` leaves out.
///
/// `folders` gives the package of each package folder.
pub(crate) fn check(files: &Files, folders: &BTreeMap<String, String>) -> Vec<Violation> {
    let mut found = Vec::new();
    let ci = files.get(CI_SCRIPT).map(String::as_str).unwrap_or_default();
    for &target in CI_TARGETS {
        let called = commands(ci).iter().any(|words| words.windows(2).any(|pair| pair == ["make", target]));
        if !called {
            found.push(Violation::UncalledTarget { target, file: CI_SCRIPT });
        }
    }
    let commands = make_commands(files);
    for (path, text) in files.iter().filter(|(path, _)| path.ends_with(".rs")) {
        let Some(package) = owner(path, folders) else { continue };
        let code = code_only(text);
        let words = tokens(&code);
        let ignored = words.windows(3).find(|window| {
            let [(_, hash), (_, bracket), (_, word)] = window else { return false };
            (*hash, *bracket, *word) == ("#", "[", "ignore")
        });
        if let Some(window) = ignored
            && !commands.iter().any(|command| runs_ignored(command, package))
        {
            let line = line_of(text, window[0].0);
            found.push(Violation::UnrunIgnored { package: package.to_owned(), file: path.clone(), line });
        }
    }
    found
}

/// The package in whose folder the file lies; the innermost where folders nest.
fn owner<'a>(path: &str, folders: &'a BTreeMap<String, String>) -> Option<&'a str> {
    let holding = folders.iter().filter(|(folder, _)| within(path, folder));
    holding.max_by_key(|(folder, _)| folder.len()).map(|(_, package)| package.as_str())
}

/// The commands of the Makefile and of every script it names, directly or through another script.
fn make_commands(files: &Files) -> Vec<Vec<String>> {
    let mut found = Vec::new();
    let mut seen = BTreeSet::new();
    let mut open = vec!["Makefile"];
    while let Some(path) = open.pop() {
        let Some(text) = files.get(path) else { continue };
        if !seen.insert(path) {
            continue;
        }
        let lines = commands(text);
        for word in lines.iter().flatten() {
            let named = word.trim_start_matches(['@', '-']).trim_start_matches("./").trim_matches('"');
            if let Some((script, _)) = files.get_key_value(named) {
                open.push(script);
            }
        }
        found.extend(lines);
    }
    found
}

/// The words of each line, comments left out and continued lines joined.
fn commands(text: &str) -> Vec<Vec<String>> {
    let joined = text.replace("\\\n", " ");
    let lines = joined.lines().filter(|line| !line.trim_start().starts_with('#'));
    lines.map(|line| line.split_whitespace().map(str::to_owned).collect()).collect()
}

/// Whether the command runs the ignored tests of `package`.
fn runs_ignored(command: &[String], package: &str) -> bool {
    let has = |wanted: &str| command.iter().any(|word| word == wanted);
    let names = |flags: &[&str]| {
        command.windows(2).any(|pair| flags.contains(&pair[0].as_str()) && pair[1] == package)
            || flags.iter().any(|flag| has(&format!("{flag}={package}")))
    };
    let chosen = names(&["-p", "--package"]) || (has("--workspace") && !names(&["--exclude"]));
    has("test") && (has("--ignored") || has("--include-ignored")) && chosen
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wired(makefile: &str, script: &str) -> Vec<Violation> {
        let files: Files = [
            (".ci/run", "make lint\nstage test make test\nstage e2e make test-e2e\nstage cluster make test-cluster\n"),
            ("Makefile", makefile),
            ("setup/real-kernel", script),
            ("tests/netns/tests/ping.rs", "// #[ignore]\n#[test]\n#[ignore = \"needs root\"]\nfn ping() {}"),
        ]
        .map(|(path, text)| (path.to_owned(), text.to_owned()))
        .into();
        let folders = [("tests/netns", "sluice-netns"), ("", "whole")].map(|(a, b)| (a.to_owned(), b.to_owned()));
        check(&files, &folders.into())
    }

    fn unrun() -> Violation {
        Violation::UnrunIgnored { package: "sluice-netns".into(), file: "tests/netns/tests/ping.rs".into(), line: 3 }
    }

    #[test]
    fn an_ignored_test_that_the_makefile_runs_passes() {
        assert_eq!(wired("test:\n\tcargo test -p sluice-netns -- \\\n\t  --ignored\n", ""), []);
        assert_eq!(wired("test:\n\tcargo test --workspace -- --include-ignored\n", ""), []);
    }

    #[test]
    fn also_through_a_script() {
        assert_eq!(wired("test:\n\t@setup/real-kernel\n", "cargo test --package=sluice-netns -- --ignored"), []);
        assert_eq!(wired("test:\n\t@echo\n", "cargo test -p sluice-netns -- --ignored"), [unrun()]);
    }

    #[test]
    fn an_ignored_test_that_nothing_runs_is_found() {
        for line in [
            "cargo test -p sluice-netns",
            "cargo test -p sluice-host -- --ignored",
            "cargo test --workspace --exclude sluice-netns -- --ignored",
            "# cargo test -p sluice-netns -- --ignored",
        ] {
            assert_eq!(wired(&format!("test:\n\t{line}\n"), ""), [unrun()], "{line}");
        }
    }

    #[test]
    fn the_script_of_continuous_integration_calls_lint_and_test() {
        let files: Files =
            [(CI_SCRIPT.to_owned(), "make lint\n# make test\nmake test-e2e\nmake test-cluster\n".to_owned())].into();
        assert_eq!(check(&files, &BTreeMap::new()), [Violation::UncalledTarget { target: "test", file: CI_SCRIPT }]);
    }
}
