//! Writes one right input of each kind into a directory, for one of the fuzz targets of the path.
//! `cargo run -p sluice-world --example seeds TARGET DIR`

use std::path::PathBuf;
use std::process::ExitCode;

use sluice_world::any_world::{Meaning, seeds};
use sluice_world::{any_bytes, samples};

/// Headroom and room behind, as a worker gives a packet to the path.
const ROOM: u8 = 16 | 32;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [target, directory] = &arguments[..] else {
        eprintln!("give the fuzz target and the directory to write to, as in: world tests/fuzz/corpus/world");
        return ExitCode::FAILURE;
    };
    let inputs = match &target[..] {
        "path" => {
            let kinds = samples::every_kind().into_iter();
            kinds.map(|(name, frame)| (name, any_bytes::encode(samples::SENDER, ROOM, &frame))).collect()
        }
        "world" => seeds(Meaning::Packets),
        "tunnel" => seeds(Meaning::Tunnelled),
        "quote" => seeds(Meaning::Quotes),
        "fragments" => seeds(Meaning::Fragments),
        other => {
            eprintln!("{other} is no target of the path: give path, world, tunnel, quote or fragments");
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
