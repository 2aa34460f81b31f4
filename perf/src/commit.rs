//! Which sources a program was built from, as far as that can be told.

use std::path::Path;
use std::process::Command;

/// Digits of a commit that tell it from others.
const DIGITS: &str = "--short=12";

/// The commit of the source tree that this program lies in, with `-dirty` where something in it is changed; `unknown` for a
/// program that was installed.
pub(crate) fn of_this_program() -> String {
    let program = std::env::current_exe().ok();
    program.as_deref().and_then(Path::parent).and_then(of).unwrap_or_else(|| "unknown".to_owned())
}

fn of(directory: &Path) -> Option<String> {
    let git = |arguments: &[&str]| {
        let output = Command::new("git").arg("-C").arg(directory).args(arguments).output().ok()?;
        output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
    };
    let tree = git(&["rev-parse", "--show-toplevel"])?;
    // Somebody else's repository says nothing about this program.
    Path::new(&tree).join("perf/scenarios").is_dir().then_some(())?;
    let commit = git(&["rev-parse", DIGITS, "HEAD"])?;
    let changed = !git(&["status", "--porcelain", "--untracked-files=no"])?.is_empty();
    Some(if changed { format!("{commit}-dirty") } else { commit })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn outside_of_the_sources_it_is_not_known() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        assert_eq!(of(directory.path()), None);
    }
}
