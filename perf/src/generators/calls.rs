//! Connections of which each is answered by who took it, and as whom it saw the client.

use std::collections::BTreeMap;
use std::io::{ErrorKind, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use clap::Args;
use serde::{Deserialize, Serialize};

use super::{Ready, STALL, parent_gone, print};

/// Where to answer, and as whom.
#[derive(Debug, Clone, Args)]
pub(crate) struct AnswerArgs {
    /// Address to listen on; may be given several times.
    #[arg(long, required = true)]
    pub(crate) listen: Vec<IpAddr>,
    /// Port to listen on.
    #[arg(long)]
    pub(crate) port: u16,
    /// What it says that it is.
    #[arg(long)]
    pub(crate) name: String,
}

/// Whom to call, and how often.
#[derive(Debug, Clone, Args)]
pub(crate) struct CallArgs {
    /// Server to connect to.
    #[arg(long)]
    pub(crate) to: SocketAddr,
    /// Connections, one after another.
    #[arg(long)]
    pub(crate) count: u32,
    /// Milliseconds without an answer after which a connection counts as silent.
    #[arg(long)]
    pub(crate) patience: u64,
}

/// What a server took.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(crate) struct Answered {
    /// Connections answered.
    pub(crate) connections: u32,
}

/// What became of a client's calls.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Calls {
    /// Connections tried.
    pub(crate) asked: u32,
    /// Those answered, by who answered.
    pub(crate) answered: BTreeMap<String, u32>,
    /// Those answered, by the client's address as the server saw it.
    pub(crate) seen: BTreeMap<IpAddr, u32>,
    /// The lowest and the highest source port that a server saw.
    pub(crate) ports: Option<(u16, u16)>,
    /// Those that somebody refused.
    pub(crate) refused: u32,
    /// Those that nobody said anything to.
    pub(crate) silent: u32,
    /// Microseconds that all of them took together.
    #[serde(default)]
    pub(crate) micros: u64,
}

impl Calls {
    /// Counts one call by its answer, a server's name and the client as it saw it.
    fn count(&mut self, answer: &str) -> Result<()> {
        let parsed = answer.trim().split_once(' ').and_then(|(name, seen)| Some((name, seen.parse().ok()?)));
        let (name, seen): (&str, SocketAddr) = parsed.with_context(|| format!("no answer of ours: {answer:?}"))?;
        *self.answered.entry(name.to_owned()).or_default() += 1;
        *self.seen.entry(seen.ip()).or_default() += 1;
        let (low, high) = self.ports.unwrap_or((seen.port(), seen.port()));
        self.ports = Some((low.min(seen.port()), high.max(seen.port())));
        Ok(())
    }
}

/// Answers until the parent has heard enough.
pub(crate) fn answer(args: &AnswerArgs) -> Result<Answered> {
    let listen = |address: &IpAddr| {
        TcpListener::bind((*address, args.port))
            .with_context(|| format!("cannot listen on {address} port {}", args.port))
    };
    let listeners = args.listen.iter().map(listen).collect::<Result<Vec<_>>>()?;
    let gone = parent_gone();
    let Some(first) = listeners.first() else { bail!("no address to listen on") };
    print(&Ready { listening: first.local_addr()? })?;
    let mut connections = 0;
    while !gone.load(Ordering::Acquire) {
        let mut ready: Vec<_> =
            listeners.iter().map(|one| rustix::event::PollFd::new(one, rustix::event::PollFlags::IN)).collect();
        let tick = rustix::event::Timespec { tv_sec: 0, tv_nsec: 50_000_000 };
        rustix::event::poll(&mut ready, Some(&tick))?;
        let ready: Vec<bool> = ready.iter().map(|one| !one.revents().is_empty()).collect();
        for (listener, _) in listeners.iter().zip(ready).filter(|(_, ready)| *ready) {
            let (mut stream, peer) = listener.accept()?;
            // A client that has given up is not counted.
            if stream.write_all(format!("{} {peer}\n", args.name).as_bytes()).is_ok() {
                connections += 1;
            }
        }
    }
    Ok(Answered { connections })
}

/// Calls one after another.
pub(crate) fn call(args: &CallArgs) -> Result<Calls> {
    let patience = Duration::from_millis(args.patience);
    let mut calls = Calls { asked: args.count, ..Calls::default() };
    let start = Instant::now();
    for _ in 0..args.count {
        match TcpStream::connect_timeout(&args.to, patience) {
            Ok(mut stream) => {
                stream.set_read_timeout(Some(STALL))?;
                let mut answer = String::new();
                stream.read_to_string(&mut answer).with_context(|| format!("{} says nothing", args.to))?;
                calls.count(&answer)?;
            }
            Err(error) if error.kind() == ErrorKind::TimedOut => calls.silent += 1,
            // poll(2) may say that it is over when the error is not yet there (seen one time in a thousand with Linux 6.18): then
            // the error that is made of it has no number.
            Err(error) if error.kind() == ErrorKind::ConnectionRefused || error.raw_os_error().is_none() => {
                calls.refused += 1;
            }
            Err(error) => return Err(error).with_context(|| format!("cannot connect to {}", args.to)),
        }
    }
    calls.micros = start.elapsed().as_micros() as u64;
    Ok(calls)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_counted_by_server_and_by_the_client_that_it_saw() {
        let mut calls = Calls::default();
        for answer in ["web-1 192.0.2.11:61005\n", "web-2 192.0.2.11:61001\n", "web-1 [2001:db8::11]:61009\n"] {
            calls.count(answer).expect("an answer");
        }
        assert_eq!(calls.answered, BTreeMap::from([("web-1".to_owned(), 2), ("web-2".to_owned(), 1)]));
        assert_eq!((calls.seen.len(), calls.ports), (2, Some((61001, 61009))));
        for wrong in ["", "web-1", "web-1 somebody"] {
            assert!(calls.count(wrong).is_err(), "{wrong:?}");
        }
    }
}
