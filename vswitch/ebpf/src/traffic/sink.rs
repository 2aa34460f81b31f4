//! Where measured packets end, and what became of them.
use std::ops::RangeInclusive;

use aya::maps::{Array, MapData, PerCpuArray};
use aya::programs::tc::TcAttachOptions;
use aya::programs::{LinkOrder, ProgramError, SchedClassifier, TcAttachType};
use aya::{Ebpf, EbpfLoader};

use crate::attach::{attach, load_program};
use crate::error::load_error;
use crate::{EbpfError, XdpMode};

/// Buckets of one power of two, as in `sink.bpf.c`: a value is known to 1 part in 64, the middle of its bucket to 1 in 128.
const STEPS: u32 = 64;
/// Buckets, as in `sink.bpf.c`: up to 2^41 ns.
const BUCKETS: u32 = 2304;

/// Where on a device's receive path packets are taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hook {
    /// In the driver: the least work for `xdp_frame`s, more for socket buffers, which veth has to turn into frames.
    Native,
    /// On the socket buffer before the stack has it: the least work for packets that a bridge, a router or an AF_XDP socket sent.
    Traffic,
}

/// What became of the packets, summed over processors.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counts {
    /// Packets with a whole stamp, duplicates among them.
    pub received: u64,
    /// Bytes of their frames.
    pub bytes: u64,
    /// Those that came after one of their flow with a higher number. One more than 64 numbers late is counted here even if it
    /// has come before.
    pub reordered: u64,
    /// Those that had come before.
    pub duplicated: u64,
    /// Packets to the sink's ports whose stamp is not whole.
    pub corrupted: u64,
    /// When the first one came, `CLOCK_MONOTONIC` in nanoseconds; 0 when none did.
    pub first: u64,
    /// When the last one came.
    pub last: u64,
}

/// The program on a device. It is taken off when this value is dropped.
pub struct Sink {
    /// Has the link.
    _ebpf: Ebpf,
    counts: PerCpuArray<MapData, [u64; 7]>,
    latencies: PerCpuArray<MapData, u64>,
}

impl std::fmt::Debug for Sink {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sink").finish_non_exhaustive()
    }
}

impl Sink {
    /// Takes UDP packets to `ports` from a device of the calling thread's network namespace, by name and index, and tells flows
    /// apart up to `flows`. It is to be new for each run, as it expects each flow to begin at 0. Packets of a flow have to be
    /// received by one processor, as those of a veth's queue are.
    ///
    /// # Errors
    /// [`EbpfError::Load`], [`EbpfError::Map`], [`EbpfError::Attach`], [`EbpfError::Detour`].
    pub fn attach(device: (&str, u32), hook: Hook, ports: RangeInclusive<u16>, flows: u32) -> Result<Sink, EbpfError> {
        static OBJECT: &[u8] = aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/sink.bpf.o"));
        let mut ebpf = EbpfLoader::new().map_max_entries("flows", flows).load(OBJECT).map_err(load_error)?;
        let mut map =
            |name: &str| ebpf.take_map(name).ok_or_else(|| EbpfError::Load(format!("the object lacks the map {name}")));
        let counts = PerCpuArray::try_from(map("counts")?).map_err(load_error)?;
        let latencies = PerCpuArray::try_from(map("latencies")?).map_err(load_error)?;
        let mut range: Array<MapData, [u16; 2]> = Array::try_from(map("ports")?).map_err(load_error)?;
        let failed = |source| EbpfError::Map { map: "ports", source: Box::new(source) };
        range.set(0, [*ports.start(), *ports.end()], 0).map_err(failed)?;
        match hook {
            Hook::Native => {
                load_program(&mut ebpf, "sink_xdp")?;
                attach(&mut ebpf, "sink_xdp", device.1, XdpMode::Native)?;
            }
            Hook::Traffic => attach_to_traffic(&mut ebpf, device.0)?,
        }
        Ok(Sink { _ebpf: ebpf, counts, latencies })
    }

    /// What became of the packets so far.
    ///
    /// # Errors
    /// [`EbpfError::Map`].
    pub fn counts(&self) -> Result<Counts, EbpfError> {
        let each =
            self.counts.get(&0, 0).map_err(|source| EbpfError::Map { map: "counts", source: Box::new(source) })?;
        Ok(each.iter().fold(Counts::default(), |sum, one| sum.with(*one)))
    }

    /// How long packets took from when they should have been sent until they came here: nanoseconds, and how many took as long.
    /// A value stands in the middle of what it may be, which is at most 1 part in 64 wide.
    ///
    /// # Errors
    /// [`EbpfError::Map`].
    pub fn latencies(&self) -> Result<Vec<(u64, u64)>, EbpfError> {
        let mut latencies = Vec::new();
        for index in 0..BUCKETS {
            let failed = |source| EbpfError::Map { map: "latencies", source: Box::new(source) };
            let count: u64 = self.latencies.get(&index, 0).map_err(failed)?.iter().sum();
            if count > 0 {
                latencies.push((middle(index), count));
            }
        }
        Ok(latencies)
    }
}

impl Counts {
    /// With what another processor counted.
    fn with(self, other: [u64; 7]) -> Counts {
        let [received, bytes, reordered, duplicated, corrupted, first, last] = other;
        let earlier = [self.first, first].into_iter().filter(|time| *time > 0).min();
        Counts {
            received: self.received + received,
            bytes: self.bytes + bytes,
            reordered: self.reordered + reordered,
            duplicated: self.duplicated + duplicated,
            corrupted: self.corrupted + corrupted,
            first: earlier.unwrap_or(0),
            last: self.last.max(last),
        }
    }
}

fn attach_to_traffic(ebpf: &mut Ebpf, device: &str) -> Result<(), EbpfError> {
    let missing = || EbpfError::Load("the object lacks the program sink_tc".into());
    let program: &mut SchedClassifier =
        ebpf.program_mut("sink_tc").ok_or_else(missing)?.try_into().map_err(|error: ProgramError| load_error(error))?;
    program.load().map_err(load_error)?;
    let options = TcAttachOptions::TcxOrder(LinkOrder::default());
    let attached = program.attach_with_options(device, TcAttachType::Ingress, options);
    attached.map(drop).map_err(|source| EbpfError::Detour {
        program: "sink_tc",
        device: device.to_owned(),
        source: Box::new(source),
    })
}

/// The middle of a bucket's values, in nanoseconds.
fn middle(index: u32) -> u64 {
    let (power, step) = (index / STEPS, u64::from(index % STEPS));
    match power.checked_sub(1) {
        None => step,
        Some(shift) => ((u64::from(STEPS) + step) << shift) + (1 << shift) / 2,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_rise_without_a_gap() {
        assert_eq!([0, 63, 64, 127, 128, 129].map(middle), [0, 63, 64, 127, 129, 131]);
        for index in 1..BUCKETS {
            let (before, here) = (middle(index - 1), middle(index));
            assert!(here > before && (here - before) * 60 <= here.max(60), "{index}: {before} {here}");
        }
    }

    #[test]
    fn the_first_arrival_is_that_of_the_processor_that_saw_one() {
        let sum = Counts::default().with([0; 7]).with([2, 120, 1, 0, 0, 50, 70]).with([1, 60, 0, 1, 1, 40, 60]);
        let expected =
            Counts { received: 3, bytes: 180, reordered: 1, duplicated: 1, corrupted: 1, first: 40, last: 70 };
        assert_eq!(sum, expected);
    }
}
