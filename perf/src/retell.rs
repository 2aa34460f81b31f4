//! `sluice-perf report`: results of an earlier run, printed again, or as a page.

use anyhow::Result;

use crate::args::ReportArgs;
use crate::run::Output;
use crate::{html, results, run};

/// Prints a file of results.
pub(crate) fn run(args: &ReportArgs) -> Result<()> {
    let document = results::read(&args.file)?;
    println!("{}, commit {}: {}", document.started, document.commit, document.command_line.join(" "));
    document.machine.introduce();
    run::print(&document);
    match &args.html {
        Some(file) => Output::prepare(file)?.write(&html::page(&document)),
        None => Ok(()),
    }
}
