//! New TCP connections, many at once: each is opened, answered and closed. With a rate they are an open loop: each has a time when
//! it is due, from which it is measured, whatever became of those before.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow};
use clap::Args;
use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};

use super::pingpong::Latency;
use super::{Ready, Serve, parent_gone, print};

/// What a server says before it closes.
const ANSWER: &[u8; 8] = b"answered";

/// How long one connection may take before it counts as failed.
const PATIENCE: Duration = Duration::from_secs(2);

/// Whom to call, how fast, for how long.
#[derive(Debug, Clone, Args)]
pub(crate) struct ConnectArgs {
    /// Server to connect to.
    #[arg(long)]
    pub(crate) to: SocketAddr,
    /// Connections a second; 0 opens the next when one is closed.
    #[arg(long, default_value_t = 0)]
    pub(crate) rate: u64,
    /// Connections at once.
    #[arg(long, default_value_t = 16, value_parser = clap::value_parser!(u16).range(1..=512))]
    pub(crate) parallel: u16,
    /// Milliseconds to go on for.
    #[arg(long)]
    pub(crate) millis: u64,
}

/// What became of connections.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(crate) struct Connections {
    /// Connections that were opened, answered and closed.
    pub(crate) answered: u64,
    /// Connections that were refused, cut off or silent.
    pub(crate) failed: u64,
    /// Seconds until the last was closed.
    pub(crate) seconds: f64,
    /// From when a connection was due until it was closed.
    pub(crate) latency: Latency,
}

/// What a server did.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(crate) struct Accepted {
    /// Connections taken.
    pub(crate) connections: u64,
}

/// Answers and closes every connection until the parent has seen enough.
pub(crate) fn accept(serve: &Serve) -> Result<Accepted> {
    let listener = TcpListener::bind((serve.listen, serve.port));
    let listener = listener.with_context(|| format!("cannot listen on {} port {}", serve.listen, serve.port))?;
    // As many as wait when all clients call at once.
    rustix::net::listen(&listener, 4096)?;
    listener.set_nonblocking(true)?;
    let gone = parent_gone();
    print(&Ready { listening: listener.local_addr()? })?;
    let mut connections = 0;
    while !gone.load(Ordering::Acquire) {
        match listener.accept() {
            Ok((mut stream, _)) => {
                connections += 1;
                stream.set_nonblocking(false)?;
                // A client that has given up sees to itself.
                let _ = stream.write_all(ANSWER);
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                let mut ready = [rustix::event::PollFd::new(&listener, rustix::event::PollFlags::IN)];
                let tick = rustix::event::Timespec { tv_sec: 0, tv_nsec: 50_000_000 };
                rustix::event::poll(&mut ready, Some(&tick))?;
            }
            // It was gone before it was taken.
            Err(error) if matches!(error.kind(), ErrorKind::ConnectionAborted | ErrorKind::Interrupted) => {}
            Err(error) => return Err(error).context("cannot accept"),
        }
    }
    Ok(Accepted { connections })
}

/// Calls until the time is up.
pub(crate) fn connect(args: &ConnectArgs) -> Result<Connections> {
    let number = AtomicU64::new(0);
    let (start, end) = (Instant::now(), Duration::from_millis(args.millis));
    let mut failed = 0;
    let mut latencies = Histogram::<u64>::new_with_bounds(1, 3_600_000_000_000, 3)?;
    std::thread::scope(|scope| -> Result<()> {
        let caller = || call_on(args, &number, start, end);
        let callers: Vec<_> = (0..args.parallel).map(|_| scope.spawn(caller)).collect();
        for caller in callers {
            let (own, own_failed) = caller.join().map_err(|_| anyhow!("a caller panicked"))??;
            latencies.add(own)?;
            failed += own_failed;
        }
        Ok(())
    })?;
    let latency = Latency::of(&latencies);
    Ok(Connections { answered: latencies.len(), failed, seconds: start.elapsed().as_secs_f64(), latency })
}

/// One of the callers: takes the next connection that is due, and the next, until the time is up.
fn call_on(args: &ConnectArgs, number: &AtomicU64, start: Instant, end: Duration) -> Result<(Histogram<u64>, u64)> {
    let mut latencies = Histogram::<u64>::new_with_bounds(1, 3_600_000_000_000, 3)?;
    let mut failed = 0;
    loop {
        let due = match due(args.rate, number.fetch_add(1, Ordering::Relaxed)) {
            Some(due) => due,
            None => start.elapsed(),
        };
        if due >= end || start.elapsed() >= end {
            return Ok((latencies, failed));
        }
        if let Some(early) = due.checked_sub(start.elapsed()) {
            std::thread::sleep(early);
        }
        match call(args.to) {
            Ok(()) => latencies.saturating_record((start.elapsed() - due).as_nanos() as u64),
            Err(_) => failed += 1,
        }
    }
}

/// When a connection is due after the start; none where the next follows the one before.
fn due(rate: u64, number: u64) -> Option<Duration> {
    let nanos = (u128::from(number) * 1_000_000_000).checked_div(rate.into())?;
    Some(Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX)))
}

fn call(to: SocketAddr) -> std::io::Result<()> {
    let mut stream = TcpStream::connect_timeout(&to, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    let mut answer = [0; ANSWER.len()];
    stream.read_exact(&mut answer)?;
    // The server closes first, so that this end has its port back at once.
    match stream.read(&mut [0; 1])? {
        0 if answer == *ANSWER => Ok(()),
        _ => Err(ErrorKind::InvalidData.into()),
    }
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use super::*;

    #[test]
    fn connections_are_due_one_after_another_or_at_once() {
        assert_eq!(due(0, 7), None);
        assert_eq!(due(1000, 0), Some(Duration::ZERO));
        assert_eq!(due(1000, 7), Some(Duration::from_millis(7)));
        assert_eq!(due(1, u64::MAX), Some(Duration::from_nanos(u64::MAX)), "no overflow");
    }

    #[test]
    fn what_answers_wrongly_or_not_at_all_has_failed() {
        let listener = TcpListener::bind((IpAddr::from([127, 0, 0, 1]), 0)).expect("a free port");
        let to = listener.local_addr().expect("bound");
        let said: [&[u8]; 3] = [ANSWER, b"answer", b"answered twice"];
        let server = std::thread::spawn(move || {
            for words in said {
                let (mut stream, _) = listener.accept().expect("a client");
                stream.write_all(words).expect("it listens");
            }
        });
        assert!(call(to).is_ok());
        assert!(call(to).is_err(), "cut off");
        assert!(call(to).is_err(), "more than there should be");
        server.join().expect("it answers three times");
        assert!(call(to).is_err(), "nobody is there");
    }
}
