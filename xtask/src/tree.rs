//! The files of the checkout.

use std::collections::BTreeMap;
use std::fs;

use anyhow::{Context, Result};
use cargo_metadata::camino::Utf8Path;

/// The text of each file by its path from the root, written with `/`.
pub(crate) type Files = BTreeMap<String, String>;

/// Folders that hold what was made and not what was written.
const NOT_OURS: &[&str] = &["target", ".git", "corpus", "artifacts"];

/// Reads every text file under `root`. What is not UTF-8 is left out: no rule speaks of it.
pub(crate) fn read(root: &Utf8Path) -> Result<Files> {
    let mut files = Files::new();
    walk(root, root, &mut files)?;
    Ok(files)
}

fn walk(root: &Utf8Path, folder: &Utf8Path, files: &mut Files) -> Result<()> {
    for entry in folder.read_dir_utf8().with_context(|| format!("listing {folder}"))? {
        let entry = entry.with_context(|| format!("listing {folder}"))?;
        let kind = entry.file_type().with_context(|| format!("looking at {}", entry.path()))?;
        if NOT_OURS.contains(&entry.file_name()) {
            continue;
        }
        if kind.is_dir() {
            walk(root, entry.path(), files)?;
        } else if kind.is_file() {
            let bytes = fs::read(entry.path()).with_context(|| format!("reading {}", entry.path()))?;
            if let Ok(text) = String::from_utf8(bytes) {
                let path = entry.path().strip_prefix(root).unwrap_or(entry.path());
                files.insert(path.to_string(), text);
            }
        }
    }
    Ok(())
}

/// The folder part of a path; empty at the root.
pub(crate) fn folder(path: &str) -> &str {
    path.rsplit_once('/').map_or("", |(folder, _)| folder)
}

/// The last part of a path.
pub(crate) fn name(path: &str) -> &str {
    path.rsplit_once('/').map_or(path, |(_, name)| name)
}

/// Whether `path` lies in `folder` or below it.
pub(crate) fn within(path: &str, folder: &str) -> bool {
    folder.is_empty() || path.strip_prefix(folder).is_some_and(|rest| rest.starts_with('/'))
}
