//! What the payload of a measured packet begins with.

/// Bytes of a stamp: what the smallest Ethernet frame has room for beside IPv4 and UDP.
pub const STAMP: usize = 18;

/// Which packet it is, and when it should have been sent. As `struct stamp` of `stamp.bpf.h`, in the byte order of the machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Stamp {
    /// The flow.
    pub flow: u32,
    /// The packet's number within its flow, from 0.
    pub sequence: u32,
    /// When it should be sent, `CLOCK_MONOTONIC` in nanoseconds.
    pub due: u64,
}

impl Stamp {
    /// The stamp as bytes, for a UDP payload of `length` bytes in all.
    pub fn to_bytes(self, length: usize) -> [u8; STAMP] {
        let mut bytes = [0; STAMP];
        bytes[..2].copy_from_slice(&self.check(length).to_ne_bytes());
        bytes[2..6].copy_from_slice(&self.flow.to_ne_bytes());
        bytes[6..10].copy_from_slice(&self.sequence.to_ne_bytes());
        bytes[10..].copy_from_slice(&self.due.to_ne_bytes());
        bytes
    }

    /// Reads the stamp of a UDP payload; none where there is no whole one, or the payload has not the length it was sent with.
    pub fn of(payload: &[u8]) -> Option<Stamp> {
        let (check, rest) = payload.split_first_chunk::<2>()?;
        let (flow, rest) = rest.split_first_chunk::<4>()?;
        let (sequence, rest) = rest.split_first_chunk::<4>()?;
        let (due, _) = rest.split_first_chunk::<8>()?;
        let stamp = Stamp {
            flow: u32::from_ne_bytes(*flow),
            sequence: u32::from_ne_bytes(*sequence),
            due: u64::from_ne_bytes(*due),
        };
        (stamp.check(payload.len()) == u16::from_ne_bytes(*check)).then_some(stamp)
    }

    /// `stamp_check` of `stamp.bpf.h`.
    fn check(self, length: usize) -> u16 {
        let mut mixed = self.due.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        mixed ^= ((u64::from(self.flow) << 32) | u64::from(self.sequence)).wrapping_mul(0xc2b2_ae3d_27d4_eb4f);
        mixed ^= (length as u64).wrapping_mul(0x1656_67b1_9e37_79f9);
        mixed ^= mixed >> 32;
        mixed ^= mixed >> 16;
        mixed as u16
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stamp_is_read_as_it_was_written_and_not_when_a_bit_or_the_length_is_wrong() {
        let stamp = Stamp { flow: 70_000, sequence: 9, due: 1_234_567_890_123 };
        let mut payload = vec![0; 40];
        payload[..STAMP].copy_from_slice(&stamp.to_bytes(40));
        assert_eq!(Stamp::of(&payload), Some(stamp));
        assert_eq!(Stamp::of(&payload[..39]), None, "cut");
        assert_eq!(Stamp::of(&payload[..STAMP - 1]), None, "no room for one");
        for bit in 0..STAMP * 8 {
            payload[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(Stamp::of(&payload), None, "bit {bit}");
            payload[bit / 8] ^= 1 << (bit % 8);
        }
    }
}
