//! A cluster of real components, with Sluice installed from deploy/, and what applications expect of it.
//!
//! All scenes are on one cluster, in the order below, the most telling first, since making one takes longer than most of them. A scene
//! leaves nothing behind but what it says. `cargo test -p sluice-cluster --test suite -- WORD` plays those with WORD in their names.
//! `SLUICE_CLUSTER_SECONDS` in the environment bounds the time: once so many have passed, no further scene begins, and those that are
//! not played are named.

#![forbid(unsafe_code)]

/// The scenes of a file, by their names.
macro_rules! scenes {
    ($($scene:ident),* $(,)?) => { &[$((stringify!($scene), $scene)),*] };
}

mod bandwidth;
mod figures;
mod ingress;
mod names;
mod pod;
mod pods;
mod policies;
mod removal;
mod restarts;
mod scene;
mod services;
mod town;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use sluice_cluster::Cluster;

/// A scene and its name.
type Scene = (&'static str, fn(&mut Cluster));

/// Seconds after which no scene begins.
const BOUND: &str = "SLUICE_CLUSTER_SECONDS";

fn main() -> ExitCode {
    let began = Instant::now();
    let Some(bound) = bound() else {
        println!("{BOUND} is to be a number of seconds");
        return ExitCode::FAILURE;
    };
    let chosen = chosen();
    if chosen.is_empty() {
        println!("no scene has that in its name");
        return ExitCode::SUCCESS;
    }
    let over = || bound.is_some_and(|bound| began.elapsed() >= bound);
    let mut cluster = (!over()).then(up);
    let (mut played, mut failed, mut left) = (0, Vec::new(), Vec::new());
    for (name, scene) in chosen {
        let Some(cluster) = cluster.as_mut().filter(|_| !over()) else {
            println!("scene {name} ... not played: no time left");
            left.push(name);
            continue;
        };
        let began = Instant::now();
        let outcome = catch_unwind(AssertUnwindSafe(|| scene(cluster)));
        let word = if outcome.is_ok() { "ok" } else { "FAILED" };
        println!("scene {name} ... {word} ({:.1} s)", began.elapsed().as_secs_f64());
        played += 1;
        if outcome.is_err() {
            println!("{}", cluster.account());
            failed.push(name);
            if let Err(error) = cluster.control_plane_mut().come_back() {
                println!("{error}");
            }
        }
    }
    drop(cluster);
    println!(
        "{played} scenes played in {:.0} s, {} of them failed {failed:?}",
        began.elapsed().as_secs_f64(),
        failed.len()
    );
    if !left.is_empty() {
        println!("{} scenes NOT PLAYED, which says nothing of what they show: {left:?}", left.len());
    }
    if failed.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// The time that there is: `Some(None)` when it is not bounded; none when that cannot be read.
fn bound() -> Option<Option<Duration>> {
    match std::env::var(BOUND) {
        Err(_) => Some(None),
        Ok(text) if text.is_empty() => Some(None),
        // What a script has computed may be negative: then there is none left.
        Ok(text) => text.trim().parse().ok().map(|left: i64| Some(Duration::from_secs(left.try_into().unwrap_or(0)))),
    }
}

/// The scenes whose names have one of the words given; without words, all but those that only take figures.
fn chosen() -> Vec<Scene> {
    let words: Vec<String> = std::env::args().skip(1).filter(|word| !word.starts_with('-')).collect();
    let suite = [
        pods::REACH,
        restarts::SLUICES,
        services::SCENES,
        policies::SCENES,
        ingress::SCENES,
        restarts::AWAY_FOR_LONG,
        names::SCENES,
        pods::OPERATORS,
        bandwidth::SCENES,
        restarts::OTHERS,
        pods::MANY,
        removal::SCENES,
    ];
    let mut scenes = suite.concat();
    if !words.is_empty() {
        scenes.extend(figures::SCENES);
        scenes.retain(|(name, _)| words.iter().any(|word| name.contains(word)));
    }
    scenes
}

fn up() -> Cluster {
    let name = "cluster".parse().expect("a name");
    let began = Instant::now();
    let cluster = Cluster::up(&name).unwrap_or_else(|error| panic!("{error}"));
    println!("cluster up in {:.1} s", began.elapsed().as_secs_f64());
    let began = Instant::now();
    cluster.install().unwrap_or_else(|error| panic!("{error}"));
    println!("installed in {:.1} s", began.elapsed().as_secs_f64());
    cluster
}
