//! Writes one right frame of each kind into a directory, as inputs of the fuzz target `parse`: two bytes that say how
//! much longer the chain is than its first buffer, then the buffer. `cargo run -p sluice-packets --example seeds DIR`

use std::path::PathBuf;
use std::process::ExitCode;

fn main() -> ExitCode {
    let Some(directory) = std::env::args_os().nth(1).map(PathBuf::from) else {
        eprintln!("give the directory to write to, as in tests/fuzz/corpus/parse");
        return ExitCode::FAILURE;
    };
    for (name, frame) in sluice_packets::samples::one_of_each() {
        let path = directory.join(name);
        if let Err(error) = std::fs::write(&path, [&[0, 0][..], &frame].concat()) {
            eprintln!("cannot write {}: {error}", path.display());
            return ExitCode::FAILURE;
        }
    }
    ExitCode::SUCCESS
}
