//! Shows that every source file is reached from a target of its package, so that no test module lies there undeclared.

use std::collections::BTreeSet;

use crate::text::{code_only, tokens};
use crate::tree::{Files, folder, name, within};
use crate::violation::Violation;

/// One target of a package: a library, a program, a test, an example, a bench or a build script.
#[derive(Debug, Clone)]
pub(crate) struct Target {
    /// Name of the package.
    pub(crate) package: String,
    /// The package's folder from the root.
    pub(crate) folder: String,
    /// Name of the target.
    pub(crate) name: String,
    /// The target's first file, from the root.
    pub(crate) entry: String,
    /// A test target with `test = false`.
    pub(crate) disabled_test: bool,
}

/// Files that no target reaches or no package owns, and test targets that are switched off.
pub(crate) fn check(targets: &[Target], files: &Files) -> Vec<Violation> {
    let mut reached = BTreeSet::new();
    for target in targets {
        follow(&target.entry, true, files, &mut reached);
    }
    let switched_off = targets
        .iter()
        .filter(|target| target.disabled_test)
        .map(|target| Violation::DisabledTarget { package: target.package.clone(), target: target.name.clone() });
    let missed = files.keys().filter(|path| path.ends_with(".rs") && !reached.contains(path.as_str())).map(|path| {
        let owned = targets.iter().any(|target| within(path, &target.folder));
        let file = path.clone();
        if owned { Violation::UnreachedFile { file } } else { Violation::UnownedFile { file } }
    });
    switched_off.chain(missed).collect()
}

/// Marks `file` and every module and include below it.
fn follow(file: &str, entry: bool, files: &Files, reached: &mut BTreeSet<String>) {
    let Some(text) = files.get(file) else { return };
    if !reached.insert(file.to_owned()) {
        return;
    }
    for child in children(file, entry, text) {
        for candidate in child.candidates {
            follow(&candidate, child.as_entry, files, reached);
        }
    }
}

/// A file that another names.
struct Child {
    /// The places where it may lie.
    candidates: Vec<String>,
    /// Whether its own modules lie beside it rather than in a folder of its name.
    as_entry: bool,
}

/// The files that `text`, the content of `file`, declares as modules or includes.
fn children(file: &str, entry: bool, text: &str) -> Vec<Child> {
    let code = code_only(text);
    let words = tokens(&code);
    let word = |index: usize| words.get(index).map_or("", |(_, word)| *word);
    let beside = folder(file);
    let own = if entry || name(file) == "mod.rs" { beside.to_owned() } else { file.trim_end_matches(".rs").to_owned() };
    // Modules written out in the file: each with the depth of braces it ends at.
    let mut inline: Vec<(usize, &str)> = Vec::new();
    let mut depth = 0usize;
    let mut path_attribute = None;
    let mut found = Vec::new();
    for (index, &(_, this)) in words.iter().enumerate() {
        // Where the sign before a blanked string ends, to read the string from the text itself.
        let literal = |sign: usize| words.get(sign).and_then(|(at, sign)| string_after(text, at + sign.len()));
        match this {
            "{" => depth += 1,
            "}" => {
                depth = depth.saturating_sub(1);
                inline.pop_if(|(end, _)| *end == depth);
            }
            "path" if word(index.wrapping_sub(1)) == "[" && word(index + 1) == "=" => {
                path_attribute = literal(index + 1);
            }
            "include" if word(index + 1) == "!" => {
                let named = literal(index + 2).map(|path| vec![join(beside, &path)]);
                found.extend(named.map(|candidates| Child { candidates, as_entry: true }));
            }
            "mod" if word(index + 2) == "{" => inline.push((depth, word(index + 1))),
            "mod" if word(index + 2) == ";" => {
                let under = inline.iter().fold(own.clone(), |path, (_, name)| join(&path, name));
                let name = word(index + 1);
                found.push(match path_attribute.take() {
                    Some(path) => Child { candidates: vec![join(beside, &path)], as_entry: true },
                    None => Child {
                        candidates: vec![join(&under, &format!("{name}.rs")), join(&under, &format!("{name}/mod.rs"))],
                        as_entry: false,
                    },
                });
            }
            _ => {}
        }
    }
    found
}

/// The string literal that follows `offset` after nothing but white space.
fn string_after(text: &str, offset: usize) -> Option<String> {
    let rest = text.get(offset..)?.trim_start().strip_prefix('"')?;
    rest.split_once('"').map(|(inside, _)| inside.to_owned())
}

/// Joins two paths written with `/`, resolving `.` and `..`.
fn join(base: &str, path: &str) -> String {
    let mut parts: Vec<&str> = base.split('/').filter(|part| !part.is_empty()).collect();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop();
            }
            part => parts.push(part),
        }
    }
    parts.join("/")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(entry: &str) -> Target {
        Target {
            package: "sluice-a".into(),
            folder: "a".into(),
            name: "a".into(),
            entry: entry.into(),
            disabled_test: false,
        }
    }

    fn files(of: &[(&str, &str)]) -> Files {
        of.iter().map(|(path, text)| ((*path).to_owned(), (*text).to_owned())).collect()
    }

    fn unreached(file: &str) -> Violation {
        Violation::UnreachedFile { file: file.into() }
    }

    #[test]
    fn modules_are_followed_through_every_way_to_declare_them() {
        let files = files(&[
            ("a/src/lib.rs", "mod b;\npub(crate) mod c;\n#[path = \"odd/name.rs\"]\nmod d;\nmod e { mod f; }\nmod g;"),
            ("a/src/b.rs", "#[cfg(test)]\nmod tests;\ninclude!(\"../shape.rs\");"),
            ("a/src/b/tests.rs", ""),
            ("a/src/c/mod.rs", "mod h;"),
            ("a/src/c/h.rs", ""),
            ("a/src/odd/name.rs", ""),
            ("a/src/e/f.rs", ""),
            ("a/src/g.rs", ""),
            ("a/shape.rs", ""),
        ]);
        assert_eq!(check(&[target("a/src/lib.rs")], &files), []);
    }

    #[test]
    fn an_undeclared_module_is_found_also_when_a_comment_declares_it() {
        let files = files(&[("a/tests/all.rs", "// mod lost;\n"), ("a/tests/lost.rs", "")]);
        assert_eq!(check(&[target("a/tests/all.rs")], &files), [unreached("a/tests/lost.rs")]);
    }

    #[test]
    fn modules_after_a_written_out_one_lie_beside_it() {
        let files = files(&[("a/src/lib.rs", "mod e { fn f() {} }\nmod g;"), ("a/src/e/g.rs", "")]);
        assert_eq!(check(&[target("a/src/lib.rs")], &files), [unreached("a/src/e/g.rs")]);
    }

    #[test]
    fn a_file_of_no_package_and_a_disabled_test_are_found() {
        let off = Target { disabled_test: true, ..target("a/tests/all.rs") };
        let files = files(&[("a/tests/all.rs", ""), ("tests/loose.rs", "")]);
        assert_eq!(
            check(&[off], &files),
            [
                Violation::DisabledTarget { package: "sluice-a".into(), target: "a".into() },
                Violation::UnownedFile { file: "tests/loose.rs".into() },
            ]
        );
    }
}
