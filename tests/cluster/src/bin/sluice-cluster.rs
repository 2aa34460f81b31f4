//! A cluster by hand.
//!
//! ```text
//! sluice-cluster up          brings it up with Sluice installed; says how to use it; takes it down at the end of standard input
//! sluice-cluster up --bare   without Sluice
//! sluice-cluster down        takes down what is up or was left behind by a crash
//! ```

use std::io::Read;
use std::process::ExitCode;
use std::time::Instant;

use sluice_cluster::{Cluster, ClusterError, down};
use sluice_lab::LabName;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let done = match words.as_slice() {
        ["up"] => up(true),
        ["up", "--bare"] => up(false),
        ["down"] => name().and_then(|name| down(&name)),
        _ => {
            eprintln!("sluice-cluster up [--bare] | down");
            return ExitCode::FAILURE;
        }
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("sluice-cluster: {error}");
            ExitCode::FAILURE
        }
    }
}

fn name() -> Result<LabName, ClusterError> {
    Ok("byhand".parse()?)
}

fn up(whole: bool) -> Result<(), ClusterError> {
    let name = name()?;
    let began = Instant::now();
    let cluster = Cluster::up(&name)?;
    println!("up in {:.1} s", began.elapsed().as_secs_f64());
    let kubectl = cluster.kubectl().command(&[]);
    let words: Vec<String> = kubectl.get_args().map(|word| word.to_string_lossy().into_owned()).collect();
    let program = kubectl.get_program().to_string_lossy();
    println!("kubectl: ip netns exec {} {program} {}", name.host_netns("api"), words.join(" "));
    for node in cluster.nodes() {
        let command = node.machine().command("sh");
        let words: Vec<String> = command.get_args().map(|word| word.to_string_lossy().into_owned()).collect();
        println!("{}: nsenter {}", node.name(), words.join(" "));
    }
    if whole {
        let began = Instant::now();
        if let Err(error) = cluster.install() {
            println!("not installed: {error}");
        }
        println!("installed in {:.1} s", began.elapsed().as_secs_f64());
    }
    println!("the end of standard input takes it down");
    let _ = std::io::stdin().read_to_end(&mut Vec::new());
    Ok(())
}
