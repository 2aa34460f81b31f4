//! Small UDP packets at a fixed rate: open loop, so a path that cannot keep up loses packets instead of slowing us.

use std::io::{ErrorKind, IoSlice, IoSliceMut};
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::os::fd::AsRawFd;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use clap::Args;
use nix::errno::Errno;
use nix::sys::socket::{MsgFlags, MultiHeaders, recvmmsg};
use rustix::net::{MMsgHdr, SendAncillaryBuffer, SendFlags};
use serde::{Deserialize, Serialize};

use sluice_ebpf::traffic::{STAMP, Stamp};

use super::frames::monotonic;
use super::pingpong::Latency;
use super::tally::{MOST_FLOWS, Tally};
use super::{Ready, Serve, parent_gone, print};

/// Payload bytes that make a 64 byte Ethernet frame: 14 Ethernet, 20 IPv4, 8 UDP, 18 payload, 4 frame check sequence.
pub(crate) const SMALLEST_PAYLOAD: usize = 18;

/// Bursts of one rate are this far apart at least, in nanoseconds, so that system calls do not count.
const BETWEEN_BURSTS: u64 = 320_000;

/// Packets of one system call at most.
const BATCH: usize = 32;

/// Socket buffers, so that the sink's turn on a shared core is not what loses packets.
const SOCKET_BUFFER: usize = 32 << 20;

/// The sink has everything when nothing came for this long after the sender ended.
const QUIET: Duration = Duration::from_millis(100);

/// Where to send, how fast, for how long.
#[derive(Debug, Clone, Args)]
pub(crate) struct SourceArgs {
    /// Sink to send to.
    #[arg(long)]
    pub(crate) to: SocketAddr,
    /// Packets a second; 0 sends without pause.
    #[arg(long)]
    pub(crate) rate: u64,
    /// Milliseconds to send for.
    #[arg(long)]
    pub(crate) millis: u64,
    /// Payload bytes of a packet, at least 18.
    #[arg(long, default_value_t = SMALLEST_PAYLOAD)]
    pub(crate) payload: usize,
    /// Flows, each with a socket of its own.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=MOST_FLOWS as i64))]
    pub(crate) flows: u32,
}

/// What the sender did.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(crate) struct Sent {
    /// Packets the kernel took.
    pub(crate) packets: u64,
    /// Send calls the kernel refused (no buffer, port unreachable).
    pub(crate) refused: u64,
    /// Seconds it took.
    pub(crate) seconds: f64,
}

/// What the sink saw.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
pub(crate) struct Received {
    /// Packets.
    pub(crate) packets: u64,
    /// Seconds from the first to the last.
    pub(crate) seconds: f64,
    /// Packets that reached the pod and were lost at the socket: the receiver was too slow, not the path.
    pub(crate) socket_drops: u64,
    /// Packets that came after later ones of their flow.
    pub(crate) reordered: u64,
    /// Packets that had come before.
    pub(crate) duplicated: u64,
    /// Packets that are not as they were sent.
    pub(crate) corrupted: u64,
    /// From when packets were due until they were received.
    pub(crate) latency: Latency,
}

/// Packets that go in one system call at a rate, all with the time at which the first is due.
fn burst(rate: u64) -> usize {
    if rate == 0 {
        return BATCH;
    }
    ((u128::from(rate) * u128::from(BETWEEN_BURSTS) / 1_000_000_000) as usize).clamp(1, BATCH)
}

/// One flow of the source.
struct Flow {
    socket: UdpSocket,
    /// The number of its next packet.
    sequence: u32,
}

impl Flow {
    fn to(to: SocketAddr) -> Result<Self> {
        let unspecified = if to.is_ipv4() { IpAddr::from([0; 4]) } else { IpAddr::from([0u16; 8]) };
        let socket =
            UdpSocket::bind((unspecified, 0)).context("no socket for a flow: raise the limit of open files")?;
        socket.connect(to).with_context(|| format!("no route to {to}"))?;
        rustix::net::sockopt::set_socket_send_buffer_size_force(&socket, SOCKET_BUFFER)?;
        Ok(Self { socket, sequence: 0 })
    }
}

/// Sends on schedule: a burst goes out when its first packet is due, each from the next flow.
pub(crate) fn source(args: &SourceArgs) -> Result<Sent> {
    let mut flows = (0..args.flows.max(1)).map(|_| Flow::to(args.to)).collect::<Result<Vec<_>>>()?;
    let length = args.payload.max(STAMP);
    let mut payloads = vec![vec![0; length]; burst(args.rate)];
    let (mut packets, mut refused) = (0_u64, 0_u64);
    let (start, began) = (Instant::now(), monotonic());
    let end = Duration::from_millis(args.millis);
    for number in (0..flows.len()).cycle() {
        let early = loop {
            let elapsed = start.elapsed();
            if elapsed >= end {
                break None;
            }
            match until_due(args.rate, packets + refused, elapsed) {
                Some(early) => std::thread::sleep(early.min(end - elapsed)),
                None => break Some(()),
            }
        };
        if early.is_none() {
            break;
        }
        let due = match (u128::from(packets + refused) * 1_000_000_000).checked_div(args.rate.into()) {
            Some(nanos) => began + nanos as u64,
            None => monotonic(),
        };
        let flow = &mut flows[number];
        for (sequence, payload) in (flow.sequence..).zip(&mut payloads) {
            let stamp = Stamp { flow: number as u32, sequence, due };
            payload[..STAMP].copy_from_slice(&stamp.to_bytes(length));
        }
        match send_batch(&flow.socket, &payloads) {
            Ok(sent) => {
                packets += sent as u64;
                flow.sequence = flow.sequence.wrapping_add(sent as u32);
            }
            Err(rustix::io::Errno::NOBUFS | rustix::io::Errno::CONNREFUSED | rustix::io::Errno::AGAIN) => refused += 1,
            Err(error) => return Err(error).context("cannot send"),
        }
    }
    Ok(Sent { packets, refused, seconds: start.elapsed().as_secs_f64() })
}

/// How long until `packets` packets should have gone at `rate`; `None` when they are due.
fn until_due(rate: u64, packets: u64, elapsed: Duration) -> Option<Duration> {
    let nanos = packets.checked_mul(1_000_000_000)?.checked_div(rate)?;
    Duration::from_nanos(nanos).checked_sub(elapsed).filter(|early| !early.is_zero())
}

fn send_batch(socket: &UdpSocket, payloads: &[Vec<u8>]) -> rustix::io::Result<usize> {
    let slices: Vec<[IoSlice<'_>; 1]> = payloads.iter().map(|payload| [IoSlice::new(payload)]).collect();
    let mut controls: Vec<SendAncillaryBuffer<'_, '_, '_>> = slices.iter().map(|_| Default::default()).collect();
    let mut headers: Vec<MMsgHdr<'_>> =
        slices.iter().zip(&mut controls).map(|(slice, control)| MMsgHdr::new(slice, control)).collect();
    rustix::net::sendmmsg(socket, &mut headers, SendFlags::empty())
}

/// Counts packets until the parent closes our standard input and the line has gone quiet.
pub(crate) fn sink(serve: &Serve) -> Result<Received> {
    let socket =
        UdpSocket::bind((serve.listen, serve.port)).with_context(|| format!("cannot listen on {}", serve.listen))?;
    rustix::net::sockopt::set_socket_recv_buffer_size_force(&socket, SOCKET_BUFFER)?;
    socket.set_read_timeout(Some(QUIET))?;
    let drops_before = socket_drops()?;
    let ended = parent_gone();
    print(&Ready { listening: socket.local_addr()? })?;

    let mut buffers = vec![[0; 2048]; BATCH];
    let mut lengths = [0; BATCH];
    let mut tally = Tally::new()?;
    let mut packets = 0;
    let (mut first, mut last) = (None, None);
    loop {
        // Read before the receive: packets sent before the end are then sure to be seen by it.
        let over = ended.load(Ordering::Acquire);
        match receive_batch(&socket, &mut buffers, &mut lengths) {
            Ok(received) => {
                let now = Instant::now();
                first.get_or_insert(now);
                last = Some(now);
                packets += received as u64;
                let time = monotonic();
                for (buffer, length) in buffers.iter().zip(&lengths[..received.min(BATCH)]) {
                    tally.take(&buffer[..(*length).min(buffer.len())], time);
                }
            }
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                if over {
                    break;
                }
            }
            Err(error) => return Err(error).context("cannot receive"),
        }
    }
    let seconds = first.zip(last).map_or(0.0, |(first, last)| last.duration_since(first).as_secs_f64());
    Ok(Received {
        packets,
        seconds,
        socket_drops: socket_drops()?.saturating_sub(drops_before),
        reordered: tally.reordered,
        duplicated: tally.duplicated,
        corrupted: tally.corrupted,
        latency: tally.latency(),
    })
}

/// Receives what there is, and how long each packet is.
fn receive_batch(
    socket: &UdpSocket,
    buffers: &mut [[u8; 2048]],
    lengths: &mut [usize; BATCH],
) -> std::io::Result<usize> {
    // No addresses are wanted, hence the unit.
    let mut headers = MultiHeaders::<()>::preallocate(BATCH, None);
    let mut slices: Vec<[IoSliceMut<'_>; 1]> = buffers.iter_mut().map(|buffer| [IoSliceMut::new(buffer)]).collect();
    match recvmmsg(socket.as_raw_fd(), &mut headers, slices.iter_mut(), MsgFlags::MSG_WAITFORONE, None) {
        Ok(results) => Ok(results.zip(lengths).map(|(message, length)| *length = message.bytes).count()),
        Err(Errno::EINTR) => Ok(0),
        Err(errno) => Err(errno.into()),
    }
}

/// Packets this namespace's UDP sockets had no room for, IPv4 and IPv6.
fn socket_drops() -> Result<u64> {
    let v4 = std::fs::read_to_string("/proc/self/net/snmp").context("cannot read the UDP counters")?;
    let v6 = std::fs::read_to_string("/proc/self/net/snmp6").unwrap_or_default();
    Ok(rcvbuf_errors(&v4) + rcvbuf_errors6(&v6))
}

/// `RcvbufErrors` of the `Udp:` table: a line of names, then a line of values.
fn rcvbuf_errors(snmp: &str) -> u64 {
    let mut udp = snmp.lines().filter_map(|line| line.strip_prefix("Udp: "));
    let (Some(names), Some(values)) = (udp.next(), udp.next()) else { return 0 };
    let column = names.split(' ').position(|name| name == "RcvbufErrors");
    column.and_then(|at| values.split(' ').nth(at)).and_then(|value| value.parse().ok()).unwrap_or(0)
}

fn rcvbuf_errors6(snmp6: &str) -> u64 {
    let value = snmp6.lines().find_map(|line| line.strip_prefix("Udp6RcvbufErrors"));
    value.and_then(|value| value.trim().parse().ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_waits_for_its_first_packet() {
        let ms = Duration::from_millis;
        assert_eq!(until_due(1000, 0, ms(0)), None);
        assert_eq!(until_due(1000, 32, ms(31)), Some(ms(1)));
        assert_eq!(until_due(1000, 32, ms(32)), None);
        assert_eq!(until_due(1000, 32, ms(500)), None, "late: catches up");
        assert_eq!(until_due(0, u64::MAX, ms(0)), None, "rate 0 never waits");
        assert_eq!([0, 1, 10_000, 100_000, u64::MAX].map(burst), [32, 1, 3, 32, 32]);
    }

    #[test]
    fn socket_drops_are_found_by_name() {
        let snmp =
            "Ip: Forwarding\nIp: 1\nUdp: InDatagrams NoPorts InErrors OutDatagrams RcvbufErrors\nUdp: 9 8 7 6 5\n";
        assert_eq!(rcvbuf_errors(snmp), 5);
        assert_eq!(rcvbuf_errors("Udp: A\n"), 0);
        assert_eq!(rcvbuf_errors6("Udp6InDatagrams  3\nUdp6RcvbufErrors                \t4\n"), 4);
    }
}
