//! What the text of a file must hold to: where `unsafe` may stand, what a pure crate may name, length, names.

use std::collections::BTreeSet;

use crate::layers::{PURE_FOLDERS, UNSAFE_FOLDERS};
use crate::text::{code_only, line_of, tokens};
use crate::tree::{Files, name, within};
use crate::violation::Violation;

/// A source file is shorter than this, tests inside it included.
const LINE_LIMIT: usize = 600;

/// Names that say a thing belongs nowhere. A folder or a source file is named for what it holds.
const EMPTY_NAMES: &[&str] =
    &["util", "utils", "common", "commons", "manager", "managers", "helper", "helpers", "misc", "shared"];

/// What gives a pure crate the clock, the outside world or the log without any dependency. As a path's last parts.
const IMPURE: &[&str] = &[
    "std::fs",
    "std::io",
    "std::env",
    "std::process",
    "Instant::now",
    "SystemTime::now",
    "TcpStream",
    "TcpListener",
    "UdpSocket",
    "UnixStream",
    "println!",
    "eprintln!",
    "print!",
    "eprint!",
];

/// Every breach in `files`.
pub(crate) fn check(files: &Files) -> Vec<Violation> {
    let mut found = Vec::new();
    for folder in PURE_FOLDERS {
        let file = format!("{folder}/src/lib.rs");
        let forbids = |text: &String| code_only(text).lines().any(|line| line.trim() == "#![forbid(unsafe_code)]");
        if !files.get(&file).is_some_and(forbids) {
            found.push(Violation::UnsafeNotForbidden { file });
        }
    }
    for (path, text) in files.iter().filter(|(path, _)| is_source(path)) {
        let lines = text.lines().count();
        if lines >= LINE_LIMIT {
            found.push(Violation::LongFile { file: path.clone(), lines, limit: LINE_LIMIT });
        }
        if path.ends_with(".rs") {
            found.extend(check_rust(path, text));
        }
    }
    found.extend(empty_names(files));
    found
}

fn is_source(path: &str) -> bool {
    [".rs", ".c", ".h", ".sh"].iter().any(|ending| path.ends_with(ending))
}

fn check_rust(path: &str, text: &str) -> Vec<Violation> {
    let code = code_only(text);
    let words = tokens(&code);
    let mut found = Vec::new();
    if !UNSAFE_FOLDERS.iter().any(|folder| within(path, folder)) {
        let holds = words.iter().filter(|(_, word)| *word == "unsafe");
        found.extend(holds.map(|(at, _)| Violation::UnsafeCode { file: path.to_owned(), line: line_of(text, *at) }));
    }
    // Tests of a pure crate may do what they like; they stand in `tests/`, or behind cfg(test) where only println! and
    // its like are of use, and those say nothing that an assertion could not.
    if PURE_FOLDERS.iter().any(|folder| within(path, &format!("{folder}/src"))) {
        for &name in IMPURE {
            let pattern = tokens(name);
            let starts = words
                .windows(pattern.len())
                .filter(|window| window.iter().zip(&pattern).all(|((_, word), (_, wanted))| word == wanted));
            found.extend(starts.map(|window| Violation::ImpureName {
                file: path.to_owned(),
                line: line_of(text, window[0].0),
                name,
            }));
        }
    }
    found
}

/// Each folder or source file once, however many files are below it.
fn empty_names(files: &Files) -> Vec<Violation> {
    let mut seen = BTreeSet::new();
    for path in files.keys() {
        for (end, _) in path.match_indices('/') {
            seen.insert(&path[..end]);
        }
        if is_source(path) {
            seen.insert(path);
        }
    }
    let judged = seen.into_iter().map(|path| (path, name(path).split('.').next().unwrap_or_default()));
    judged
        .filter(|(_, name)| EMPTY_NAMES.contains(name))
        .map(|(path, name)| Violation::EmptyName { path: path.to_owned(), name: name.to_owned() })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A tree that passes, with `extra` on top.
    fn files(extra: &[(&str, &str)]) -> Files {
        let pure = PURE_FOLDERS
            .iter()
            .map(|folder| (format!("{folder}/src/lib.rs"), "//! What it is.\n#![forbid(unsafe_code)]\n".to_owned()));
        pure.chain(extra.iter().map(|(path, text)| ((*path).to_owned(), (*text).to_owned()))).collect()
    }

    #[test]
    fn a_tree_in_order_passes() {
        let unsafe_word = "//! unsafe\n#![deny(unsafe_code)]\nfn f() { g(\"unsafe\") } // unsafe";
        let extra = [
            ("vswitch/xsk/src/umem.rs", "unsafe fn f() {}"),
            ("vswitch/worker/src/lib.rs", unsafe_word),
            ("vswitch/wire/src/ipv4.rs", "use std::net::Ipv4Addr;"),
            ("docs/common.md", "words"),
        ];
        assert_eq!(check(&files(&extra)), []);
    }

    #[test]
    fn a_pure_crate_must_forbid_unsafe_and_not_only_in_a_comment() {
        let found = check(&files(&[("vswitch/path/src/lib.rs", "// #![forbid(unsafe_code)]\n")]));
        assert_eq!(found, [Violation::UnsafeNotForbidden { file: "vswitch/path/src/lib.rs".into() }]);
    }

    #[test]
    fn unsafe_elsewhere_is_named_with_its_line() {
        let found = check(&files(&[("perf/src/main.rs", "fn f() {\n    unsafe { g() }\n}")]));
        assert_eq!(found, [Violation::UnsafeCode { file: "perf/src/main.rs".into(), line: 2 }]);
    }

    #[test]
    fn a_pure_crate_reads_no_clock_and_no_file() {
        let text = "fn f() {\n let t = std::time::Instant::now();\n std::fs::read(p);\n}";
        let at = |line, name| Violation::ImpureName { file: "vswitch/path/src/walk.rs".into(), line, name };
        assert_eq!(check(&files(&[("vswitch/path/src/walk.rs", text)])), [at(3, "std::fs"), at(2, "Instant::now")]);
    }

    #[test]
    fn length_counts_at_the_limit() {
        let file = "vswitch/host/src/veth.rs";
        assert_eq!(check(&files(&[(file, &"\n".repeat(LINE_LIMIT - 1))])), []);
        let found = check(&files(&[(file, &"\n".repeat(LINE_LIMIT))]));
        assert_eq!(found, [Violation::LongFile { file: file.into(), lines: LINE_LIMIT, limit: LINE_LIMIT }]);
    }

    #[test]
    fn names_that_say_nothing_are_refused_for_folders_and_sources() {
        let extra = [("perf/src/util/a.rs", ""), ("perf/src/util/b.rs", ""), ("perf/src/helpers.rs", "")];
        let name = |path: &str, name: &str| Violation::EmptyName { path: path.into(), name: name.into() };
        assert_eq!(check(&files(&extra)), [name("perf/src/helpers.rs", "helpers"), name("perf/src/util", "util")]);
    }
}
