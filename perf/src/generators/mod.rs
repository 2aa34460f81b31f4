//! Traffic generators and sinks. Each runs as a process of its own inside a pod's namespace, pinned to one core.
//!
//! A generator speaks to the process that started it in lines of JSON on its standard output: a server first says
//! which port it listens on ([`Ready`]), and everyone ends with one line that holds its result. A server ends when
//! its standard input closes, so no generator outlives the run that started it.

pub(crate) mod calls;
pub(crate) mod connections;
pub(crate) mod frames;
pub(crate) mod ping;
pub(crate) mod pingpong;
mod tally;
pub(crate) mod tcp;
pub(crate) mod udp;

use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context, Result};
use clap::{Args, Subcommand};
use serde::{Deserialize, Serialize};

/// What one generator process does.
#[derive(Debug, Clone, Subcommand)]
pub(crate) enum Role {
    /// Accept one TCP connection and count what arrives.
    TcpSink(Serve),
    /// Send over one TCP connection as fast as it takes.
    TcpSource(tcp::SourceArgs),
    /// Answer each message of one TCP connection with the same bytes.
    Echo(Serve),
    /// Send a message, wait for it to come back, record how long it took.
    Pingpong(pingpong::ClientArgs),
    /// Count UDP packets.
    UdpSink(Serve),
    /// Send UDP packets at a fixed rate, whatever happens to them.
    UdpSource(udp::SourceArgs),
    /// Answer each TCP connection with a name and the client's address.
    Answer(calls::AnswerArgs),
    /// Open TCP connections and count who answers.
    Call(calls::CallArgs),
    /// Send ICMP echo requests.
    Ping(ping::PingArgs),
    /// Answer and close TCP connections.
    Accept(Serve),
    /// Open TCP connections, many at once.
    Connect(connections::ConnectArgs),
    /// Send packets that no socket sees.
    FrameSource(frames::SourceArgs),
    /// Count such packets.
    FrameSink(frames::SinkArgs),
}

/// Where a server listens.
#[derive(Debug, Clone, Args)]
pub(crate) struct Serve {
    /// Address to listen on.
    #[arg(long)]
    pub(crate) listen: IpAddr,
    /// Port to listen on; the kernel chooses it where this is 0.
    #[arg(long, default_value_t = 0)]
    pub(crate) port: u16,
}

/// A server's first line: where it can be reached.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(crate) struct Ready {
    /// Address and port it listens on.
    pub(crate) listening: SocketAddr,
}

/// How long a generator waits for its peer before it calls the connection stalled.
pub(crate) const STALL: Duration = Duration::from_secs(5);

/// Runs one role on `core` until it is done, and prints its result.
pub(crate) fn run(core: Option<usize>, role: Role) -> Result<()> {
    if let Some(core) = core {
        pin(core)?;
    }
    match role {
        Role::TcpSink(serve) => print(&tcp::sink(&serve)?),
        Role::TcpSource(args) => print(&tcp::source(&args)?),
        Role::Echo(serve) => print(&pingpong::echo(&serve)?),
        Role::Pingpong(args) => print(&pingpong::client(&args)?),
        Role::UdpSink(serve) => print(&udp::sink(&serve)?),
        Role::UdpSource(args) => print(&udp::source(&args)?),
        Role::Answer(args) => print(&calls::answer(&args)?),
        Role::Call(args) => print(&calls::call(&args)?),
        Role::Ping(args) => print(&ping::run(&args)?),
        Role::Accept(serve) => print(&connections::accept(&serve)?),
        Role::Connect(args) => print(&connections::connect(&args)?),
        Role::FrameSource(args) => print(&frames::source(&args)?),
        Role::FrameSink(args) => print(&frames::sink(&args)?),
    }
}

/// Prints one line of the conversation with the parent.
pub(crate) fn print<T: Serialize>(message: &T) -> Result<()> {
    let mut line = serde_json::to_string(message)?;
    line.push('\n');
    let mut out = std::io::stdout().lock();
    out.write_all(line.as_bytes())?;
    out.flush().context("the process that started this generator is gone")
}

/// A flag that becomes true when the parent closes our standard input (or dies).
pub(crate) fn parent_gone() -> Arc<AtomicBool> {
    let gone = Arc::new(AtomicBool::new(false));
    let seen = Arc::clone(&gone);
    std::thread::spawn(move || {
        let mut rest = [0; 64];
        while matches!(std::io::stdin().read(&mut rest), Ok(n) if n > 0) {}
        seen.store(true, Ordering::Release);
    });
    gone
}

fn pin(core: usize) -> Result<()> {
    let mut set = rustix::thread::CpuSet::new();
    set.set(core);
    rustix::thread::sched_setaffinity(None, &set).with_context(|| format!("cannot pin to core {core}"))
}
