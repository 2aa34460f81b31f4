//! ICMP and ICMPv6 echo (RFC 792, RFC 4443 section 4) over a raw socket.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6};
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use clap::Args;
use hdrhistogram::Histogram;
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketType, ipproto, sockopt};
use serde::{Deserialize, Serialize};

/// Length of header and payload together, as the usual ping's 56 bytes of payload make.
const MESSAGE: usize = 64;

/// How long an answer may take.
const TIMEOUT: Duration = Duration::from_millis(1000);

/// Whom to ping, and how often.
#[derive(Debug, Clone, Args)]
pub(crate) struct PingArgs {
    /// Address to ping.
    #[arg(long)]
    pub(crate) to: IpAddr,
    /// Interface that a link-local IPv6 address is on.
    #[arg(long)]
    pub(crate) on: Option<String>,
    /// Echo requests to send, one after another.
    #[arg(long)]
    pub(crate) count: u32,
}

/// Echoes sent and answered; times are whole round trips.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(crate) struct Pinged {
    /// Requests sent.
    pub(crate) sent: u32,
    /// Answers that came in time.
    pub(crate) answered: u32,
    /// Median round trip in microseconds.
    pub(crate) p50: f64,
    /// Longest round trip in microseconds.
    pub(crate) max: f64,
}

/// The message types of one address family.
struct Echo {
    request: u8,
    reply: u8,
}

/// Sends `count` requests, each after the answer to the one before or its timeout.
pub(crate) fn run(args: &PingArgs) -> Result<Pinged> {
    let (socket, echo) = open(args.to)?;
    let to = target(args)?;
    let id = std::process::id() as u16;
    let mut histogram = Histogram::<u64>::new_with_bounds(1, 10_000_000_000, 3)?;
    for sequence in 0..args.count {
        let message = request(&echo, id, sequence as u16);
        let start = Instant::now();
        if let Err(error) = rustix::net::sendto(&socket, &message, SendFlags::empty(), &to) {
            anyhow::ensure!(error == rustix::io::Errno::NOBUFS, "cannot send to {to}: {error}");
        }
        if await_reply(&socket, &echo, args.to, id, sequence as u16, start)? {
            histogram.saturating_record(start.elapsed().as_nanos() as u64);
        }
    }
    Ok(Pinged {
        sent: args.count,
        answered: histogram.len() as u32,
        p50: histogram.value_at_quantile(0.5) as f64 / 1000.0,
        max: histogram.max() as f64 / 1000.0,
    })
}

fn open(to: IpAddr) -> Result<(OwnedFd, Echo)> {
    let (family, protocol, echo) = match to {
        IpAddr::V4(_) => (AddressFamily::INET, ipproto::ICMP, Echo { request: 8, reply: 0 }),
        IpAddr::V6(_) => (AddressFamily::INET6, ipproto::ICMPV6, Echo { request: 128, reply: 129 }),
    };
    let socket =
        rustix::net::socket(family, SocketType::RAW, Some(protocol)).context("a raw socket needs CAP_NET_RAW")?;
    sockopt::set_socket_timeout(&socket, sockopt::Timeout::Recv, Some(TIMEOUT))?;
    Ok((socket, echo))
}

fn target(args: &PingArgs) -> Result<SocketAddr> {
    let IpAddr::V6(address) = args.to else { return Ok(SocketAddr::new(args.to, 0)) };
    let scope = match &args.on {
        Some(name) => nix::net::if_::if_nametoindex(name.as_str()).with_context(|| format!("no interface {name}"))?,
        None => 0,
    };
    Ok(SocketAddrV6::new(address, 0, 0, scope).into())
}

fn request(echo: &Echo, id: u16, sequence: u16) -> [u8; MESSAGE] {
    let mut message = [0x2e; MESSAGE];
    message[..4].copy_from_slice(&[echo.request, 0, 0, 0]);
    message[4..6].copy_from_slice(&id.to_be_bytes());
    message[6..8].copy_from_slice(&sequence.to_be_bytes());
    // For ICMPv6 the kernel writes the checksum of a raw socket's messages itself (RFC 3542 section 3.1).
    let sum = checksum(&message);
    message[2..4].copy_from_slice(&sum.to_be_bytes());
    message
}

/// The Internet checksum (RFC 1071) of an even number of bytes.
fn checksum(bytes: &[u8; MESSAGE]) -> u16 {
    let sum: u32 = bytes.chunks_exact(2).map(|pair| u32::from(u16::from_be_bytes([pair[0], pair[1]]))).sum();
    let folded = (sum & 0xffff) + (sum >> 16);
    !((folded & 0xffff) + (folded >> 16)) as u16
}

/// Reads until the answer to this request comes; false when it does not come in time.
fn await_reply(socket: &OwnedFd, echo: &Echo, to: IpAddr, id: u16, sequence: u16, start: Instant) -> Result<bool> {
    let mut buffer = [0; 2048];
    while start.elapsed() < TIMEOUT {
        let length = match rustix::net::recv(socket, &mut buffer, RecvFlags::empty()) {
            Ok((_, length)) => length,
            Err(rustix::io::Errno::AGAIN) => return Ok(false),
            Err(rustix::io::Errno::INTR) => continue,
            Err(error) => return Err(error).context("cannot receive"),
        };
        let bytes = &buffer[..length.min(buffer.len())];
        if is_reply(bytes, echo, to, id, sequence) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// True for the answer to our request. A raw IPv4 socket hands up the IP header too, a raw IPv6 socket does not.
fn is_reply(bytes: &[u8], echo: &Echo, to: IpAddr, id: u16, sequence: u16) -> bool {
    let message = match to {
        IpAddr::V4(to) => {
            let header = bytes.first().map_or(0, |first| usize::from(first & 0x0f) * 4);
            if bytes.get(12..16) != Some(&to.octets()) {
                return false;
            }
            bytes.get(header..)
        }
        IpAddr::V6(_) => Some(bytes),
    };
    let Some([kind, _, _, _, id_high, id_low, sequence_high, sequence_low, ..]) = message else { return false };
    *kind == echo.reply
        && u16::from_be_bytes([*id_high, *id_low]) == id
        && u16::from_be_bytes([*sequence_high, *sequence_low]) == sequence
}

/// True for addresses that only mean something together with an interface.
pub(crate) fn is_link_local(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => Ipv4Addr::is_link_local(&address),
        IpAddr::V6(address) => Ipv6Addr::is_unicast_link_local(&address),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const V4: Echo = Echo { request: 8, reply: 0 };

    #[test]
    fn a_request_sums_to_zero() {
        let message = request(&V4, 0x1234, 7);
        assert_eq!(checksum(&message), 0);
    }

    #[test]
    fn only_our_answer_counts() {
        let to = IpAddr::from([10, 0, 0, 2]);
        let mut bytes = vec![0; 20];
        bytes[0] = 0x45;
        bytes[12..16].copy_from_slice(&[10, 0, 0, 2]);
        bytes.extend(request(&Echo { request: 0, reply: 0 }, 5, 6));
        assert!(is_reply(&bytes, &V4, to, 5, 6));
        assert!(!is_reply(&bytes, &V4, to, 5, 7));
        assert!(!is_reply(&bytes, &V4, IpAddr::from([10, 0, 0, 3]), 5, 6));
        for cut in 0..28 {
            assert!(!is_reply(&bytes[..cut], &V4, to, 5, 6), "cut at {cut}");
        }
    }
}
