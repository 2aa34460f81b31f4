//! Checks of the workspace that neither the compiler nor clippy makes.
//!
//! `cargo xtask deps` holds the boundaries between the crates (which may depend on which, where `unsafe` may stand, how
//! long a file may grow); `cargo xtask ci-wiring` shows that no source file and no test is left out of the build and
//! of `make test`, and that the tests which the promises name exist. Each rule is a pure function from facts to violations; only `workspace` and `tree` read the disk.

mod documents;
mod edges;
mod graph;
mod layers;
mod reach;
mod sources;
mod text;
mod tree;
mod violation;
mod wiring;
mod workspace;

use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};
use violation::Violation;

/// Checks of the workspace that neither the compiler nor clippy makes.
#[derive(Parser)]
struct Args {
    #[command(subcommand)]
    check: Check,
}

#[derive(Subcommand, Clone, Copy)]
enum Check {
    /// Holds the boundaries: edges between crates, where unsafe may stand, file lengths and names.
    Deps,
    /// Shows that every source file is built and every ignored test is run by a make target.
    CiWiring,
}

impl Check {
    fn run(self) -> Result<Vec<Violation>> {
        let workspace = workspace::Workspace::read()?;
        match self {
            Check::Deps => {
                let files = tree::read(&workspace.root)?;
                let mut found = edges::check(&workspace.graph);
                found.extend(sources::check(&files));
                found.extend(documents::unsafe_rows(&files));
                Ok(found)
            }
            Check::CiWiring => {
                let files = tree::read(&workspace.root)?;
                let mut found = reach::check(&workspace.targets, &files);
                found.extend(wiring::check(&files, &workspace.folders));
                found.extend(documents::promised_tests(&files));
                Ok(found)
            }
        }
    }

    fn name(self) -> &'static str {
        match self {
            Check::Deps => "deps",
            Check::CiWiring => "ci-wiring",
        }
    }
}

fn main() -> Result<ExitCode> {
    let Args { check } = Args::parse();
    let violations = check.run()?;
    for violation in &violations {
        eprintln!("{violation}");
    }
    if violations.is_empty() {
        println!("{}: no violations", check.name());
        return Ok(ExitCode::SUCCESS);
    }
    eprintln!("{}: {} violations", check.name(), violations.len());
    Ok(ExitCode::FAILURE)
}
