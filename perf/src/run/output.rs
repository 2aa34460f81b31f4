//! Files of results: whole or not there.

use std::fs::{self, OpenOptions, Permissions};
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use tempfile::{Builder, NamedTempFile};

/// A file to be written at the end of a run, made sure of at its begin.
#[derive(Debug)]
pub(crate) struct Output {
    path: PathBuf,
    /// Beside the file, to be renamed over it; none for what is no plain file, such as a terminal.
    beside: Option<NamedTempFile>,
}

impl Output {
    /// Makes sure that the file can be written, before the time for a measurement is spent.
    pub(crate) fn prepare(path: &Path) -> Result<Self> {
        let refuse = || format!("cannot write {}", path.display());
        if fs::metadata(path).is_ok_and(|found| !found.is_file()) {
            OpenOptions::new().write(true).open(path).with_context(refuse)?;
            return Ok(Self { path: path.to_owned(), beside: None });
        }
        let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let beside = Builder::new()
            .prefix(".sluice-perf-")
            .permissions(Permissions::from_mode(0o644))
            .tempfile_in(directory)
            .with_context(refuse)?;
        Ok(Self { path: path.to_owned(), beside: Some(beside) })
    }

    /// Writes it; a file that was there before stays as it was when that fails.
    pub(crate) fn write(self, text: &str) -> Result<()> {
        let Self { path, beside } = self;
        let refuse = || format!("cannot write {}; what was there before is untouched", path.display());
        let Some(mut beside) = beside else {
            let mut file = OpenOptions::new().write(true).open(&path).with_context(refuse)?;
            return file.write_all(text.as_bytes()).with_context(refuse);
        };
        beside.write_all(text.as_bytes()).and_then(|()| beside.as_file().sync_all()).with_context(refuse)?;
        beside.persist(&path).map_err(|error| error.error).with_context(refuse)?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(directory: &Path) -> Vec<String> {
        let entries = fs::read_dir(directory).expect("readable");
        entries.map(|entry| entry.expect("readable").file_name().into_string().expect("plain text")).collect()
    }

    #[test]
    fn a_file_is_replaced_as_a_whole_and_nothing_is_left_beside_it() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let file = directory.path().join("results.json");
        fs::write(&file, "old").expect("writable");
        let output = Output::prepare(&file).expect("it can be written");
        assert_eq!(fs::read_to_string(&file).expect("readable"), "old");
        output.write("new").expect("there is room");
        assert_eq!(fs::read_to_string(&file).expect("readable"), "new");
        assert_eq!(names(directory.path()), ["results.json"]);
        drop(Output::prepare(&file).expect("it can be written"));
        assert_eq!(names(directory.path()), ["results.json"], "given up");
    }

    #[test]
    fn a_place_that_cannot_be_written_is_refused_beforehand() {
        let error = Output::prepare(Path::new("/nowhere/at/all.json")).expect_err("no such directory").to_string();
        assert_eq!(error, "cannot write /nowhere/at/all.json");
        Output::prepare(Path::new("/")).expect_err("a directory");
    }

    #[test]
    fn a_full_disk_is_an_error_that_names_the_file() {
        let output = Output::prepare(Path::new("/dev/full")).expect("a device, not a file to be renamed over");
        let error = format!("{:#}", output.write("text").expect_err("it is always full"));
        assert!(error.contains("/dev/full") && error.contains("No space left"), "{error}");
    }
}
