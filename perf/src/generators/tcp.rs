//! One TCP flow, as fast as it goes.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use clap::Args;
use serde::{Deserialize, Serialize};

use super::{Ready, STALL, Serve, parent_gone, print};

/// Bytes of one read or write: large enough that the system call does not count.
const BLOCK: usize = 128 * 1024;

/// What to send, and for how long.
#[derive(Debug, Clone, Args)]
pub(crate) struct SourceArgs {
    /// Server to connect to.
    #[arg(long)]
    pub(crate) to: SocketAddr,
    /// Milliseconds to send for.
    #[arg(long)]
    pub(crate) millis: u64,
}

/// What one end of the flow saw.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(crate) struct Transfer {
    /// Payload bytes.
    pub(crate) bytes: u64,
    /// Seconds from the first byte to the end of the stream.
    pub(crate) seconds: f64,
}

impl Transfer {
    /// Payload rate in Gbit/s.
    pub(crate) fn gbits(&self) -> f64 {
        if self.seconds > 0.0 { self.bytes as f64 * 8.0 / self.seconds / 1e9 } else { 0.0 }
    }
}

/// Takes one connection and counts its bytes until it ends.
pub(crate) fn sink(serve: &Serve) -> Result<Transfer> {
    let mut stream = accept_one(serve)?;
    let mut block = vec![0; BLOCK];
    let mut bytes = 0u64;
    let mut first = None;
    loop {
        let n = stream.read(&mut block).context("the flow stalled: nothing arrived")?;
        if n == 0 {
            break;
        }
        first.get_or_insert_with(Instant::now);
        bytes += n as u64;
    }
    Ok(Transfer { bytes, seconds: first.map_or(0.0, |at| at.elapsed().as_secs_f64()) })
}

/// Sends to a sink for the given time, then closes.
pub(crate) fn source(args: &SourceArgs) -> Result<Transfer> {
    let mut stream = connect(args.to)?;
    let block = vec![0x5a; BLOCK];
    let start = Instant::now();
    let end = start + Duration::from_millis(args.millis);
    let mut bytes = 0u64;
    while Instant::now() < end {
        bytes += stream.write(&block).context("the flow stalled: the other end takes nothing")? as u64;
    }
    stream.shutdown(std::net::Shutdown::Write)?;
    // The sink closes when it has read everything; that is the end of the transfer.
    stream.read(&mut [0; 1]).context("the sink did not read to the end")?;
    Ok(Transfer { bytes, seconds: start.elapsed().as_secs_f64() })
}

/// Connects with the bound every generator uses.
pub(crate) fn connect(to: SocketAddr) -> Result<TcpStream> {
    let stream = TcpStream::connect_timeout(&to, STALL).with_context(|| format!("cannot connect to {to}"))?;
    stream.set_read_timeout(Some(STALL))?;
    stream.set_write_timeout(Some(STALL))?;
    Ok(stream)
}

/// Says where it listens and takes the first connection; gives up when the parent goes.
pub(crate) fn accept_one(serve: &Serve) -> Result<TcpStream> {
    let listener =
        TcpListener::bind((serve.listen, serve.port)).with_context(|| format!("cannot listen on {}", serve.listen))?;
    let gone = parent_gone();
    print(&Ready { listening: listener.local_addr()? })?;
    loop {
        let mut ready = [rustix::event::PollFd::new(&listener, rustix::event::PollFlags::IN)];
        let tick = rustix::event::Timespec { tv_sec: 0, tv_nsec: 50_000_000 };
        if rustix::event::poll(&mut ready, Some(&tick))? > 0 {
            let (stream, _) = listener.accept()?;
            stream.set_read_timeout(Some(STALL))?;
            stream.set_write_timeout(Some(STALL))?;
            return Ok(stream);
        }
        if gone.load(Ordering::Acquire) {
            bail!("nobody connected");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rate_is_payload_bits_over_time() {
        assert!((Transfer { bytes: 1_250_000_000, seconds: 1.0 }.gbits() - 10.0).abs() < 1e-9);
        assert_eq!(Transfer { bytes: 1, seconds: 0.0 }.gbits(), 0.0);
    }
}
