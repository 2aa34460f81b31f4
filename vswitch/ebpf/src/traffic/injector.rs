//! Packets out of nothing: `xdp_frame`s that the kernel makes of a template and a program writes.
use std::net::{IpAddr, SocketAddr};

use aya::maps::{Array, MapData};
use aya::programs::{ProgramError, TestRun, TestRunAttrs, TestRunOptions, Xdp};
use aya::{Ebpf, EbpfLoader};
use sluice_wire::MacAddr;

use crate::EbpfError;
use crate::attach::load_program;
use crate::error::load_error;
use crate::traffic::STAMP;

/// The most packets of a burst: what the kernel takes as a batch is 256, and what a veth's ring holds too.
pub const MAX_BURST: u32 = 64;

/// The longest frame in bytes: what the kernel fits into a page with its own.
pub const MAX_FRAME: u32 = 3_000;

/// Ethernet, UDP and stamp.
const FIXED: u32 = 14 + 8 + STAMP as u32;

/// `struct run` of `inject.bpf.c`.
type Run = [u8; 104];

/// `struct flow` of `inject.bpf.c`.
type FlowEntry = [u8; 44];

/// Frames a second that the kernel is asked for, beside those of the rate: each look at the clock that ends without a packet
/// costs one. Those that are left over when the time is up take the kernel some 15 ns each.
const SPARE: u64 = 2_000_000;

/// The same where the rate is as many as go.
const WITHOUT_PAUSE: u64 = 8_000_000;

/// Where packets of a flow come from and go to; both of one IP version.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Flow {
    /// Whose packets they are.
    pub source: SocketAddr,
    /// Where they go.
    pub destination: SocketAddr,
}

/// One packet in the order in which they are sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Slot {
    /// Its flow, as an index.
    pub flow: u32,
    /// Its frame in bytes, without the frame check sequence: from [`smallest_frame`] to [`MAX_FRAME`].
    pub length: u32,
}

/// The smallest frame of an IP version in bytes, without the frame check sequence: 60 for IPv4, 80 for IPv6.
pub fn smallest_frame(ipv6: bool) -> u32 {
    FIXED + if ipv6 { 40 } else { 20 }
}

/// What to send.
#[derive(Debug, Clone, Copy)]
pub struct Injection<'a> {
    /// Device that the packets leave by, of the calling thread's network namespace. `xdp_frame`s come out at the other end of a
    /// veth only if that has native XDP, or GRO that was switched on while it was up; else they are lost and nothing counts them.
    pub device: u32,
    /// The device's own address.
    pub source: MacAddr,
    /// The next hop's.
    pub destination: MacAddr,
    /// The flows; their source and destination addresses are of one IP version.
    pub flows: &'a [Flow],
    /// The order of packets, begun anew at its end; a power of two of them.
    pub order: &'a [Slot],
    /// Packets that go at once, 1 to [`MAX_BURST`]. All have the time of the burst.
    pub burst: u32,
}

/// What has been sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Injected {
    /// Packets.
    pub sent: u64,
    /// How long after its time a burst went at most, in nanoseconds.
    pub late: u64,
    /// Times that the program found nothing due for more than a microsecond: 0 when the sender's core was the limit.
    pub idle: u64,
}

/// The loaded program, with what it is to send.
pub struct Injector {
    ebpf: Ebpf,
    runs: Array<MapData, Run>,
    flows: Array<MapData, FlowEntry>,
    template: Vec<u8>,
    head: Head,
}

/// What is the same in every run.
#[derive(Debug, Clone, Copy)]
struct Head {
    burst: u32,
    device: u32,
    mask: u32,
    ipv6: bool,
    destination: MacAddr,
    source: MacAddr,
    longest: u32,
}

impl std::fmt::Debug for Injector {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Injector").field("head", &self.head).finish_non_exhaustive()
    }
}

impl Injector {
    /// Loads the program and writes flows and order into its maps.
    ///
    /// # Errors
    /// [`EbpfError::Load`], [`EbpfError::Map`], [`EbpfError::Injection`] where what is asked for cannot be sent.
    pub fn load(injection: &Injection<'_>) -> Result<Injector, EbpfError> {
        static OBJECT: &[u8] = aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/inject.bpf.o"));
        let head = Head::of(injection)?;
        let mut loader = EbpfLoader::new();
        loader.map_max_entries("flows", injection.flows.len() as u32);
        loader.map_max_entries("order", injection.order.len() as u32);
        let mut ebpf = loader.load(OBJECT).map_err(load_error)?;
        let runs = array(&mut ebpf, "runs")?;
        let mut flows = array(&mut ebpf, "flows")?;
        let mut order: Array<MapData, [u32; 2]> = array(&mut ebpf, "order")?;
        for (index, flow) in (0..).zip(injection.flows) {
            set(&mut flows, "flows", index, flow_entry(flow))?;
        }
        for (index, slot) in (0..).zip(injection.order) {
            set(&mut order, "order", index, [slot.flow, slot.length])?;
        }
        load_program(&mut ebpf, "inject")?;
        Ok(Injector { ebpf, runs, flows, template: vec![0; head.longest as usize], head })
    }

    /// Sends from `start` to `end`, both `CLOCK_MONOTONIC` in nanoseconds, `rate` packets a second, 0 for as many as go, on the
    /// calling thread's processor, which it does not leave to others. Returns soon after the end, or when a signal comes.
    ///
    /// # Errors
    /// [`EbpfError::Inject`], [`EbpfError::Map`].
    pub fn run(&mut self, start: u64, end: u64, rate: u64) -> Result<Injected, EbpfError> {
        set(&mut self.runs, "runs", 0, self.head.run(start, end, rate))?;
        let repeat = self.head.frames(end.saturating_sub(start), rate);
        loop {
            let interrupted = self.run_once(repeat)?;
            let failed = |source| EbpfError::Map { map: "runs", source: Box::new(source) };
            let run = self.runs.get(&0, 0).map_err(failed)?;
            let is_over = run[96..100] != [0; 4];
            if is_over || interrupted {
                return Ok(Injected { sent: word(&run, 24), late: word(&run, 32), idle: word(&run, 48) });
            }
        }
    }

    /// Has the kernel run the program that often; true when a signal ended it.
    fn run_once(&self, repeat: u32) -> Result<bool, EbpfError> {
        let missing = || EbpfError::Load("the object lacks the program inject".into());
        let program = self.ebpf.program("inject").ok_or_else(missing)?;
        let program: &Xdp = program.try_into().map_err(|error: ProgramError| load_error(error))?;
        let options = TestRunOptions {
            data_in: Some(&self.template),
            repeat,
            attrs: TestRunAttrs::new().xdp_live_frames(self.head.burst),
            ..TestRunOptions::new()
        };
        match program.test_run(options) {
            Ok(_) => Ok(false),
            Err(ProgramError::SyscallError(error)) if error.io_error.kind() == std::io::ErrorKind::Interrupted => {
                Ok(true)
            }
            Err(source) => Err(EbpfError::Inject { device: self.head.device, source: Box::new(source) }),
        }
    }

    /// Packets of a flow that have been sent so far, by all runs together.
    ///
    /// # Errors
    /// [`EbpfError::Map`].
    pub fn sent_of(&self, flow: u32) -> Result<u32, EbpfError> {
        let entry =
            self.flows.get(&flow, 0).map_err(|source| EbpfError::Map { map: "flows", source: Box::new(source) })?;
        let [a, b, c, d, ..] = entry;
        Ok(u32::from_ne_bytes([a, b, c, d]))
    }
}

impl Head {
    fn of(injection: &Injection<'_>) -> Result<Head, EbpfError> {
        let Injection { device, source, destination, flows, order, burst } = *injection;
        let refused = |why: &str| Err(EbpfError::Injection(why.to_owned()));
        let Some(first) = flows.first() else { return refused("there is no flow") };
        let ipv6 = first.source.is_ipv6();
        if flows.iter().any(|flow| flow.source.is_ipv6() != ipv6 || flow.destination.is_ipv6() != ipv6) {
            return refused("flows are of one IP version each time");
        }
        if !order.len().is_power_of_two() {
            return refused("the order has a power of two of packets");
        }
        if order.iter().any(|slot| slot.flow as usize >= flows.len()) {
            return refused("a packet is of a flow that there is not");
        }
        let smallest = smallest_frame(ipv6);
        if order.iter().any(|slot| !(smallest..=MAX_FRAME).contains(&slot.length)) {
            return Err(EbpfError::Injection(format!("frames have {smallest} to {MAX_FRAME} bytes")));
        }
        if !(1..=MAX_BURST).contains(&burst) {
            return Err(EbpfError::Injection(format!("a burst has 1 to {MAX_BURST} packets")));
        }
        let longest = order.iter().map(|slot| slot.length).max().unwrap_or(smallest);
        Ok(Head { burst, device, mask: order.len() as u32 - 1, ipv6, destination, source, longest })
    }

    /// How many frames the kernel is to make for a run of so many nanoseconds: whole bursts, so that they stay in step.
    fn frames(&self, nanos: u64, rate: u64) -> u32 {
        let a_second = if rate == 0 { WITHOUT_PAUSE } else { rate.saturating_add(SPARE) };
        let frames = u128::from(nanos) * u128::from(a_second) / 1_000_000_000;
        let bursts = frames.min(1 << 30) as u32 / self.burst;
        (bursts + 1) * self.burst
    }

    /// `struct run` of `inject.bpf.c` at its beginning.
    fn run(&self, start: u64, end: u64, rate: u64) -> Run {
        let interval = (1_000_000_000_u64 << 16).checked_div(rate).unwrap_or(0);
        let mut run = [0; 104];
        let long = [start, end, interval];
        let short = [self.burst, 0, 0, self.device, self.mask, u32::from(self.ipv6)];
        for (at, value) in long.iter().enumerate() {
            run[at * 8..at * 8 + 8].copy_from_slice(&value.to_ne_bytes());
        }
        for (at, value) in short.iter().enumerate() {
            run[56 + at * 4..60 + at * 4].copy_from_slice(&value.to_ne_bytes());
        }
        run[80..86].copy_from_slice(&self.destination.0);
        run[86..92].copy_from_slice(&self.source.0);
        run[92..96].copy_from_slice(&self.longest.to_ne_bytes());
        run
    }
}

fn array<V: aya::Pod>(ebpf: &mut Ebpf, name: &str) -> Result<Array<MapData, V>, EbpfError> {
    let map = ebpf.take_map(name).ok_or_else(|| EbpfError::Load(format!("the object lacks the map {name}")))?;
    Array::try_from(map).map_err(load_error)
}

fn set<V: aya::Pod>(map: &mut Array<MapData, V>, name: &'static str, index: u32, value: V) -> Result<(), EbpfError> {
    map.set(index, value, 0).map_err(|source| EbpfError::Map { map: name, source: Box::new(source) })
}

/// Eight bytes of a `struct run`.
fn word(run: &Run, at: usize) -> u64 {
    run[at..].first_chunk::<8>().map_or(0, |bytes| u64::from_ne_bytes(*bytes))
}

/// `struct flow` of `inject.bpf.c`: number of the next packet, ports, addresses, and the sum of those.
fn flow_entry(flow: &Flow) -> FlowEntry {
    let mut entry = [0; 44];
    entry[4..6].copy_from_slice(&flow.source.port().to_be_bytes());
    entry[6..8].copy_from_slice(&flow.destination.port().to_be_bytes());
    entry[8..24].copy_from_slice(&at_the_end(flow.source.ip()));
    entry[24..40].copy_from_slice(&at_the_end(flow.destination.ip()));
    let words = entry[4..40].chunks_exact(2).map(|pair| u32::from(u16::from_ne_bytes([pair[0], pair[1]])));
    let sum: u32 = words.sum();
    entry[40..].copy_from_slice(&sum.to_ne_bytes());
    entry
}

/// An address in 16 bytes; of an IPv4 one the first twelve are zero.
fn at_the_end(address: IpAddr) -> [u8; 16] {
    match address {
        IpAddr::V4(v4) => v4.to_ipv6_compatible().octets(),
        IpAddr::V6(v6) => v6.octets(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn flow(source: &str, destination: &str) -> Flow {
        Flow { source: source.parse().expect("one"), destination: destination.parse().expect("one") }
    }

    fn refusal(flows: &[Flow], order: &[Slot], burst: u32) -> String {
        let (source, destination) = (MacAddr::ZERO, MacAddr::ZERO);
        let injection = Injection { device: 1, source, destination, flows, order, burst };
        Head::of(&injection).map_or_else(|error| error.to_string(), |_| String::new())
    }

    #[test]
    fn what_cannot_be_sent_is_refused_before_anything_is_loaded() {
        let v4 = flow("192.0.2.1:1", "192.0.2.2:2");
        let slot = Slot { flow: 0, length: 60 };
        assert_eq!(refusal(&[v4], &[slot], 1), "");
        for (flows, order, burst, why) in [
            (&[][..], &[slot][..], 1, "no flow"),
            (&[v4, flow("[2001:db8::1]:1", "[2001:db8::2]:2")], &[slot], 1, "one IP version"),
            (&[v4], &[slot, slot, slot], 1, "power of two"),
            (&[v4], &[Slot { flow: 1, ..slot }], 1, "a flow that there is not"),
            (&[v4], &[Slot { length: 59, ..slot }], 1, "60 to 3000 bytes"),
            (&[v4], &[slot], 0, "1 to 64 packets"),
            (&[v4], &[slot], 65, "1 to 64 packets"),
        ] {
            let said = refusal(flows, order, burst);
            assert!(said.contains(why), "{said}");
        }
    }

    #[test]
    fn a_flow_s_sum_is_over_its_addresses_and_ports() {
        let entry = flow_entry(&flow("192.0.2.1:4096", "192.0.2.2:53"));
        let words = [4096_u16, 53, 0xc000, 0x0201, 0xc000, 0x0202];
        let as_stored: u32 = words.map(|word| u32::from(u16::from_ne_bytes(word.to_be_bytes()))).iter().sum();
        let sum = u32::from_ne_bytes([entry[40], entry[41], entry[42], entry[43]]);
        assert_eq!(sum, as_stored);
    }

    #[test]
    fn the_kernel_is_asked_for_whole_bursts() {
        let (v4, slot) = (flow("192.0.2.1:1", "192.0.2.2:2"), Slot { flow: 0, length: 60 });
        let (source, destination) = (MacAddr::ZERO, MacAddr::ZERO);
        let injection = Injection { device: 1, source, destination, flows: &[v4], order: &[slot], burst: 7 };
        let head = Head::of(&injection).expect("it can be sent");
        for (nanos, rate) in [(0, 0), (1_000_000_000, 1000), (1_000_000_000, 0), (u64::MAX, u64::MAX)] {
            let frames = head.frames(nanos, rate);
            assert!(frames > 0 && frames.is_multiple_of(7), "{nanos} ns at {rate}: {frames}");
        }
        assert!(head.frames(1_000_000_000, 1000) > 1_000_000, "room for looks at the clock");
    }
}
