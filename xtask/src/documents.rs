//! Holds documents to the code they speak of: the tests that promises name, the modules with `unsafe`.

use crate::layers::UNSAFE_FOLDERS;
use crate::text::{code_only, tokens};
use crate::tree::{Files, within};
use crate::violation::Violation;

const PROMISES: &str = "docs/promises.md";
const UNSAFE: &str = "docs/unsafe.md";

/// The fuzz targets are no part of any program, so they need no row.
const WITHOUT_ROW: &str = "tests/fuzz";

/// Names `file.rs::function` in backquotes in `docs/promises.md` for which there is no such function.
pub(crate) fn promised_tests(files: &Files) -> Vec<Violation> {
    let text = files.get(PROMISES).map(String::as_str).unwrap_or_default();
    let names = text.split('`').skip(1).step_by(2).filter_map(|quoted| quoted.split_once(".rs::"));
    let missing = names.filter(|(stem, function)| {
        let file = files.get(&format!("{stem}.rs"));
        !file.is_some_and(|text| declares(text, function.rsplit("::").next().unwrap_or(function)))
    });
    missing.map(|(stem, function)| Violation::UnkeptPromise { test: format!("{stem}.rs::{function}") }).collect()
}

fn declares(text: &str, function: &str) -> bool {
    tokens(&code_only(text)).windows(2).any(|pair| pair[0].1 == "fn" && pair[1].1 == function)
}

/// Modules that hold `unsafe` and have no row in `docs/unsafe.md`.
pub(crate) fn unsafe_rows(files: &Files) -> Vec<Violation> {
    let table = files.get(UNSAFE).map(String::as_str).unwrap_or_default();
    let rust = files.iter().filter(|(path, _)| path.ends_with(".rs"));
    let may = rust.filter(|(path, _)| UNSAFE_FOLDERS.iter().any(|folder| within(path, folder)));
    let listed = may.filter(|(path, _)| !within(path, WITHOUT_ROW));
    let holding = listed.filter(|(_, text)| tokens(&code_only(text)).iter().any(|(_, word)| *word == "unsafe"));
    let unlisted = holding.filter(|(path, _)| !table.contains(&format!("| `{path}` |")));
    unlisted.map(|(path, _)| Violation::UnlistedUnsafe { file: path.clone() }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files(of: &[(&str, &str)]) -> Files {
        of.iter().map(|(path, text)| ((*path).to_owned(), (*text).to_owned())).collect()
    }

    #[test]
    fn a_promise_names_a_test_that_exists() {
        let promises = "| x | `a/b.rs::kept` | `a/b.rs::tests::kept` | `a/b.rs::broken` | `c.rs::gone` | `make test` |";
        let files = files(&[(PROMISES, promises), ("a/b.rs", "#[test]\nfn kept() {}\n// fn broken() {}")]);
        let broken = |test: &str| Violation::UnkeptPromise { test: test.into() };
        assert_eq!(promised_tests(&files), [broken("a/b.rs::broken"), broken("c.rs::gone")]);
    }

    #[test]
    fn a_module_with_unsafe_has_a_row() {
        let files = files(&[
            (UNSAFE, "| `vswitch/xsk/src/a.rs` | x |\nand vswitch/xsk/src/b.rs in passing"),
            ("vswitch/xsk/src/a.rs", "unsafe fn f() {}"),
            ("vswitch/xsk/src/b.rs", "unsafe fn f() {}"),
            ("vswitch/xsk/src/c.rs", "// unsafe"),
            ("tests/fuzz/targets/d.rs", "unsafe fn f() {}"),
        ]);
        assert_eq!(unsafe_rows(&files), [Violation::UnlistedUnsafe { file: "vswitch/xsk/src/b.rs".into() }]);
    }
}
