//! The life of the process: start, serve until told to stop, leave the node clean.

use std::io::Write;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, anyhow};
use clap::Parser;
use sluice_cni_protocol::SOCKET_NAME;
use sluice_host::Netlink;
use tokio::runtime::Runtime;
use tokio::signal::unix::{SignalKind, signal};
use tracing::{error, info, warn};

use crate::agent::Agent;
use crate::api::Api;
use crate::config::{Args, Config, Surroundings};
use crate::feed::Feed;
use crate::objects::Objects;
use crate::readiness::Condition;
use crate::uplink::Following;
use crate::{api, cni_server, cores, health_checks, http, install, last_good, logging, objects, start};

/// Time between rounds of what has to be looked after.
const ROUND: Duration = Duration::from_secs(5);
/// How long calls under way may take when the agent is stopped.
const FAREWELL: Duration = Duration::from_secs(10);
/// Threads of the control side; kernel calls have their own.
const CONTROL_THREADS: usize = 2;

/// The whole program.
pub fn main() -> ExitCode {
    let args = Args::parse();
    if args.check {
        return check(args);
    }
    match try_main(args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Before logging has started, and for people who look at the terminal.
            let _ = writeln!(std::io::stderr(), "sluiced: {}", causes(&error));
            ExitCode::FAILURE
        }
    }
}

/// What `--check` says and ends with. clap ends with 2 as well where a flag is wrong.
fn check(args: Args) -> ExitCode {
    match Config::check_for_any_node(args) {
        Ok(()) => {
            let _ = writeln!(std::io::stdout(), "ok");
            ExitCode::SUCCESS
        }
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "sluiced: {}", causes(&error.into()));
            ExitCode::from(2)
        }
    }
}

/// The error with its causes, each told once: many of ours repeat the cause in their own words.
fn causes(error: &anyhow::Error) -> String {
    error.chain().map(ToString::to_string).fold(String::new(), |told, cause| match told.as_str() {
        "" => cause,
        _ if told.contains(&cause) => told,
        _ => format!("{told}: {cause}"),
    })
}

fn try_main(args: Args) -> anyhow::Result<()> {
    let available = cores::available().context("listing the cores of this process")?;
    let print = args.print_config;
    let config = Config::load(args, &Surroundings::read(available.clone()))?;
    if print {
        let yaml = config.to_yaml()?;
        return std::io::stdout().write_all(yaml.as_bytes()).context("printing the configuration");
    }
    logging::start(config.log);
    let _directories = start::take_directories(&config)?;
    let agent = Arc::new(start::start(config, &available)?);
    let served = control_runtime().and_then(|runtime| {
        let served = runtime.block_on(serve(&agent));
        runtime.shutdown_timeout(FAREWELL);
        served
    });
    let left = leave(agent);
    served.and(left)
}

fn control_runtime() -> anyhow::Result<Runtime> {
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    builder.worker_threads(CONTROL_THREADS).thread_name("control").enable_all();
    builder.build().context("starting the control threads")
}

/// Serves until a signal.
async fn serve(agent: &Arc<Agent>) -> anyhow::Result<()> {
    let mut terminate = signal(SignalKind::terminate()).context("handling SIGTERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("handling SIGINT")?;
    let listener = http::listen(agent.config.http).await?;
    info!(address = %listener.local_addr().unwrap_or(agent.config.http), "serving HTTP");
    tokio::spawn(http::serve(listener, Arc::clone(agent)));
    let (feed, watches) = Feed::start(&agent.config)?;
    if let Some(watches) = watches
        && let Some(api) = Api::start(agent, watches)?
    {
        let _ = agent.api.set(api);
    }
    // Also of what keeps the objects from coming.
    tokio::spawn(api::tell_faults(Arc::clone(agent)));
    let mut objects = Objects::new(feed);
    let reading = Arc::clone(agent);
    tokio::task::spawn_blocking(move || reading.serve_last_good())
        .await
        .map_err(|panic| anyhow!("reading the last good objects: {panic}"))?;
    // Before pods of an earlier time are served: their policies must be in force from the first packet.
    objects.first(agent).await;
    let recovering = Arc::clone(agent);
    tokio::task::spawn_blocking(move || recovering.recover())
        .await
        .map_err(|panic| anyhow!("repairing what an earlier sluiced left: {panic}"))??;
    let _following = Following::start(Arc::clone(agent))?;
    tokio::spawn(objects::follow(objects, Arc::clone(agent)));
    tokio::spawn(last_good::keep(Arc::clone(agent)));
    tokio::spawn(health_checks::serve(Arc::clone(agent)));
    let socket = cni_server::listen(&agent.config.run_dir)?;
    let server = cni_server::Server::start(socket, Arc::clone(agent));
    agent.readiness.met(Condition::Socket);
    let rounds = tokio::spawn(look_after(Arc::clone(agent)));
    let installing = tokio::spawn(install::when_ready(Arc::clone(agent)));
    info!(node = agent.config.node_name.as_str(), "serving CNI requests");
    tokio::select! {
        _ = terminate.recv() => info!("SIGTERM: stopping"),
        _ = interrupt.recv() => info!("SIGINT: stopping"),
    }
    agent.readiness.unmet_because(Condition::Running, "the agent is being stopped");
    rounds.abort();
    installing.abort();
    if !server.finish(FAREWELL).await {
        warn!("a call did not end within {} s", FAREWELL.as_secs());
    }
    Ok(())
}

/// What no event tells of.
async fn look_after(agent: Arc<Agent>) {
    let mut rounds = tokio::time::interval(ROUND);
    rounds.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        rounds.tick().await;
        let agent = Arc::clone(&agent);
        // A panic has been logged; the next round tries again.
        let _ = tokio::task::spawn_blocking(move || {
            agent.replay_journal();
            if let Err(error) = agent.serve_kept() {
                warn!(%error, "pods that could not be taken over are not served yet");
            }
            agent.dataplane.collect();
            if agent.readiness.is_unmet(Condition::HostPort) && !agent.readiness.is_unmet(Condition::Node) {
                agent.set_up_host_port();
            }
        })
        .await;
    }
}

/// Leaves the node as it was, but for the pods' devices: with them the next agent serves the same pods again.
fn leave(agent: Arc<Agent>) -> anyhow::Result<()> {
    let socket = agent.config.run_dir.join(SOCKET_NAME);
    if let Err(error) = std::fs::remove_file(&socket)
        && error.kind() != std::io::ErrorKind::NotFound
    {
        warn!(socket = %socket.display(), %error, "cannot remove the socket");
    }
    if let Some(uplink) = &agent.uplink {
        uplink.let_go();
    }
    agent.detour.let_go();
    agent.keep_objects();
    let saved = agent.ledger.save().context("storing the attachments");
    let removed = Netlink::open().and_then(|mut netlink| agent.host_port.remove(&mut netlink));
    match Arc::try_unwrap(agent) {
        Ok(agent) => agent.dataplane.stop()?,
        // Sockets and programs go with the process.
        Err(_) => error!("a call did not end in time; leaving without it"),
    }
    saved?;
    removed.context("removing the host port")?;
    info!("stopped");
    Ok(())
}
