//! `sluice lab`.

use std::ffi::OsString;
use std::process::ExitCode;

use anyhow::Result;
use sluice_lab::{AgentSettings, Binaries, LabError, LabName, LabStatus, Stop, UpOptions};

use crate::args::{DownArgs, ExecArgs, LabCommand, LabStatusArgs, NodeArgs, OutsideArgs, UpArgs};
use crate::table;

/// What a shell answers for a command that is not there, and for one it may not run.
const NOT_FOUND: u8 = 127;
const NOT_RUNNABLE: u8 = 126;

pub(crate) fn run(command: LabCommand) -> Result<ExitCode> {
    match command {
        LabCommand::Up(args) => up(args),
        LabCommand::Exec(args) => exec(&args),
        LabCommand::Node(args) => node(&args),
        LabCommand::Outside(args) => outside(&args),
        LabCommand::Status(args) => status(&args),
        LabCommand::Down(args) => down(&args),
    }
}

fn up(args: UpArgs) -> Result<ExitCode> {
    let UpArgs { lab, manifests, cores, underlay, set } = args;
    let mut agent = AgentSettings { cores, ..AgentSettings::default() };
    for setting in &set {
        agent.set(setting)?;
    }
    let binaries = Binaries::find()?;
    let options = UpOptions { name: lab.name, manifests, binaries, underlay, agent, stop: Stop::default() };
    let changes = sluice_lab::up(&options, &mut |change| println!("{change}"))?;
    let name = &options.name;
    match changes.len() {
        0 => println!("lab {name} is up and as its manifests say; nothing to do"),
        _ => println!("lab {name} is up"),
    }
    Ok(ExitCode::SUCCESS)
}

fn exec(args: &ExecArgs) -> Result<ExitCode> {
    let record = sluice_lab::record(&args.lab.name)?;
    let pod = record.pod(args.namespace.as_deref(), &args.pod)?;
    become_command(&pod.netns, &args.command)
}

fn node(args: &NodeArgs) -> Result<ExitCode> {
    let record = sluice_lab::record(&args.lab.name)?;
    become_command(&record.node(&args.lab.name, &args.node)?.netns, &args.command)
}

fn outside(args: &OutsideArgs) -> Result<ExitCode> {
    let name = &args.lab.name;
    let Some(underlay) = sluice_lab::record(name)?.underlay else {
        anyhow::bail!("lab {name} has no outside; make it with `sluice lab up --underlay`");
    };
    become_command(&underlay.outside, &args.command)
}

/// Replaces this process; comes back only with the reason why not.
fn become_command(netns: &str, command: &[OsString]) -> Result<ExitCode> {
    let error = sluice_lab::exec_in(netns, command);
    let LabError::Exec { source, .. } = &error else { return Err(error.into()) };
    let code = if source.kind() == std::io::ErrorKind::NotFound { NOT_FOUND } else { NOT_RUNNABLE };
    eprintln!("sluice: {error}");
    Ok(ExitCode::from(code))
}

fn status(args: &LabStatusArgs) -> Result<ExitCode> {
    let status = sluice_lab::status(&args.lab.name)?;
    if args.json {
        println!("{}", serde_json::to_string_pretty(&status)?);
    } else {
        print(&status, &args.lab.name);
    }
    Ok(ExitCode::SUCCESS)
}

fn print(status: &LabStatus, name: &LabName) {
    println!("lab {}, manifests in {}", status.name, status.manifests.display());
    let mut nodes = table::new(["NODE", "AGENT", "ADDRESSES", "NAMESPACE", "SOCKET"]);
    for node in &status.nodes {
        let agent = match (node.pid, node.ready) {
            (Some(pid), true) => format!("ready, pid {pid}"),
            (Some(pid), false) => format!("not ready, pid {pid}, see {}", node.log.display()),
            (None, _) => format!("not running, see {}", node.log.display()),
        };
        let netns = node.netns.display().to_string();
        nodes.add_row([
            node.name.clone(),
            agent,
            table::list(&node.addresses),
            netns,
            node.socket.display().to_string(),
        ]);
    }
    println!("{nodes}");
    let mut pods = table::new(["NAMESPACE", "POD", "NODE", "ADDRESSES", "ATTACHED", "NETWORK NAMESPACE"]);
    for pod in &status.pods {
        let attached = pod.attach_millis.map_or("no".to_owned(), |millis| format!("in {millis:.1} ms"));
        let (netns, addresses) = (pod.netns.display().to_string(), table::list(&pod.addresses));
        pods.add_row([pod.namespace.clone(), pod.name.clone(), pod.node.clone(), addresses, attached, netns]);
    }
    println!("{pods}");
    if !status.is_whole() {
        let option = if *name == LabName::default() { String::new() } else { format!(" --name {name}") };
        println!("not whole; `sluice lab up{option}` repairs it, `sluice lab down{option}` removes it");
    }
}

fn down(args: &DownArgs) -> Result<ExitCode> {
    let name = &args.lab.name;
    let removed = sluice_lab::down(name)?;
    if removed.is_nothing() {
        println!("lab {name} is not up; nothing to do");
        let others = sluice_lab::labs();
        if !others.is_empty() {
            println!("labs that are up: {}", table::list(&others));
        }
    } else {
        let (namespaces, processes) = (removed.namespaces.len(), removed.processes);
        println!("lab {name} is down: {namespaces} namespaces removed, {processes} processes ended");
    }
    Ok(ExitCode::SUCCESS)
}
