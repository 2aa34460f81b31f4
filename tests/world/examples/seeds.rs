//! Writes a few inputs for one of the fuzz targets of the path into a directory.
//! `cargo run -p sluice-world --example seeds TARGET DIR`

use std::path::PathBuf;
use std::process::ExitCode;

use sluice_world::{any_bytes, samples};

/// Headroom and room behind, as a worker gives a packet to the path.
const ROOM: u8 = 16 | 32;
/// How many scripts, and how much longer each is than the one before, in bytes.
const SCRIPTS: u64 = 12;
const LONGER: u64 = 48;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [target, directory] = &arguments[..] else {
        eprintln!("give the fuzz target and the directory to write to, as in: cluster tests/fuzz/corpus/cluster");
        return ExitCode::FAILURE;
    };
    let inputs = match &target[..] {
        "path" => frames(),
        "decapsulation" | "quotes" | "fragments" | "cluster" | "shortcut" | "worker" => scripts(),
        other => {
            eprintln!(
                "{other} is no target of the path: give path, decapsulation, quotes, fragments, cluster, shortcut or worker"
            );
            return ExitCode::FAILURE;
        }
    };
    for (name, input) in inputs {
        let path = PathBuf::from(directory).join(name);
        if let Err(error) = std::fs::write(&path, input) {
            eprintln!("cannot write {}: {error}", path.display());
            return ExitCode::FAILURE;
        }
    }
    ExitCode::SUCCESS
}

/// One right frame of each kind.
fn frames() -> Vec<(String, Vec<u8>)> {
    let kinds = samples::every_kind().into_iter();
    kinds.map(|(name, frame)| (name, any_bytes::encode(samples::SENDER, ROOM, &frame))).collect()
}

/// Bytes of any kind, which make scripts of many steps; the same ones every time.
fn scripts() -> Vec<(String, Vec<u8>)> {
    let mut state = 1_u64;
    let mut byte = || {
        // Knuth's MMIX generator; the upper bits are the good ones.
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 56) as u8
    };
    (1..=SCRIPTS).map(|at| (format!("script-{at}"), (0..at * LONGER).map(|_| byte()).collect())).collect()
}
