//! A cluster of real components, with Sluice installed from deploy/, and what applications expect of it.
//!
//! All scenes are on one cluster, in the order below, since making one takes longer than any of them. A scene leaves nothing behind
//! but what it says. `cargo test -p sluice-cluster --test suite -- WORD` plays those with WORD in their names.

#![forbid(unsafe_code)]

/// The scenes of a file, by their names.
macro_rules! scenes {
    ($($scene:ident),* $(,)?) => { &[$((stringify!($scene), $scene)),*] };
}

mod ingress;
mod names;
mod pods;
mod policies;
mod restarts;
mod scene;
mod services;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;
use std::time::Instant;

use sluice_cluster::Cluster;

/// A scene and its name.
type Scene = (&'static str, fn(&mut Cluster));

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).filter(|word| !word.starts_with('-')).collect();
    let scenes: Vec<Scene> =
        [pods::SCENES, services::SCENES, policies::SCENES, names::SCENES, ingress::SCENES, restarts::SCENES].concat();
    let chosen = scenes.iter().filter(|(name, _)| words.is_empty() || words.iter().any(|word| name.contains(word)));
    let chosen: Vec<&Scene> = chosen.collect();
    if chosen.is_empty() {
        println!("no scene has {words:?} in its name");
        return ExitCode::SUCCESS;
    }
    let name = "cluster".parse().expect("a name");
    let began = Instant::now();
    let mut cluster = Cluster::up(&name).unwrap_or_else(|error| panic!("{error}"));
    println!("cluster up in {:.1} s", began.elapsed().as_secs_f64());
    let began = Instant::now();
    cluster.install().unwrap_or_else(|error| panic!("{error}"));
    println!("installed in {:.1} s", began.elapsed().as_secs_f64());
    let mut failed = Vec::new();
    for (name, scene) in chosen {
        let began = Instant::now();
        let outcome = catch_unwind(AssertUnwindSafe(|| scene(&mut cluster)));
        let word = if outcome.is_ok() { "ok" } else { "FAILED" };
        println!("scene {name} ... {word} ({:.1} s)", began.elapsed().as_secs_f64());
        if outcome.is_err() {
            println!("{}", cluster.account());
            failed.push(*name);
        }
    }
    drop(cluster);
    println!("{} failed {failed:?}", failed.len());
    if failed.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
