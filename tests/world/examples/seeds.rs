//! Writes one right frame of each kind into a directory, as inputs of the fuzz target `path`.
//! `cargo run -p sluice-world --example seeds DIR`

use std::path::PathBuf;
use std::process::ExitCode;

use sluice_world::{any_bytes, samples};

/// Headroom and room behind, as a worker gives a packet to the path.
const ROOM: u8 = 16 | 32;

fn main() -> ExitCode {
    let Some(directory) = std::env::args_os().nth(1).map(PathBuf::from) else {
        eprintln!("give the directory to write to, as in tests/fuzz/corpus/path");
        return ExitCode::FAILURE;
    };
    for (name, frame) in samples::every_kind() {
        let path = directory.join(name);
        if let Err(error) = std::fs::write(&path, any_bytes::encode(samples::SENDER, ROOM, &frame)) {
            eprintln!("cannot write {}: {error}", path.display());
            return ExitCode::FAILURE;
        }
    }
    ExitCode::SUCCESS
}
