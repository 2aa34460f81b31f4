//! SCTP's common header and its CRC32c (RFC 9260 section 3.1 and appendix A). Chunks are not looked at.

use crate::bytes::{array, between, put, put_u16, put_u32, u16_at, u32_at};
use crate::{Layer, Malformed};

/// Bytes of the common header.
pub const HEADER_LEN: usize = 12;
/// Where the checksum is, from the start of the header.
pub const CHECKSUM_OFFSET: usize = 8;

mod field {
    pub(super) const SOURCE_PORT: usize = 0;
    pub(super) const DESTINATION_PORT: usize = 2;
    pub(super) const TAG: usize = 4;
}

/// A view over an SCTP packet.
#[derive(Clone, Copy, Debug)]
pub struct Packet<T: AsRef<[u8]>> {
    buffer: T,
}

impl<T: AsRef<[u8]>> Packet<T> {
    /// Checks that the header is there. SCTP has no length of its own: the chunks are the rest of the buffer.
    ///
    /// # Errors
    /// [`Malformed::Truncated`] below 12 bytes.
    #[inline]
    pub fn new_checked(buffer: T) -> Result<Self, Malformed> {
        let have = buffer.as_ref().len();
        if have < HEADER_LEN {
            return Err(Malformed::truncated(Layer::Sctp, HEADER_LEN, have));
        }
        Ok(Self { buffer })
    }

    /// The bytes back.
    #[inline]
    pub fn into_inner(self) -> T {
        self.buffer
    }

    /// Source port.
    #[inline]
    pub fn source_port(&self) -> u16 {
        u16_at(self.buffer.as_ref(), field::SOURCE_PORT)
    }

    /// Destination port.
    #[inline]
    pub fn destination_port(&self) -> u16 {
        u16_at(self.buffer.as_ref(), field::DESTINATION_PORT)
    }

    /// Verification tag; 0 in the packet that starts an association.
    #[inline]
    pub fn tag(&self) -> u32 {
        u32_at(self.buffer.as_ref(), field::TAG)
    }

    /// Checksum field, as [`crc32c`] gives it. Linux leaves 0 there for the device to fill in.
    #[inline]
    pub fn checksum(&self) -> u32 {
        u32::from_le_bytes(array(self.buffer.as_ref(), CHECKSUM_OFFSET))
    }

    /// What follows the header: the chunks.
    #[inline]
    pub fn payload(&self) -> &[u8] {
        between(self.buffer.as_ref(), HEADER_LEN, usize::MAX)
    }

    /// The checksum that the packet should have. The buffer must be the whole packet.
    #[inline]
    pub fn computed_checksum(&self) -> u32 {
        let bytes = self.buffer.as_ref();
        let before = extend(!0, &bytes[..CHECKSUM_OFFSET]);
        !extend(extend(before, &[0; 4]), &bytes[HEADER_LEN..])
    }

    /// True when the checksum is right. The buffer must be the whole packet.
    #[inline]
    pub fn checksum_ok(&self) -> bool {
        self.checksum() == self.computed_checksum()
    }
}

impl<T: AsRef<[u8]> + AsMut<[u8]>> Packet<T> {
    /// Clears the header and returns the view.
    ///
    /// # Errors
    /// [`Malformed::Truncated`] below 12 bytes.
    #[inline]
    pub fn init(buffer: T) -> Result<Self, Malformed> {
        let mut packet = Self::new_checked(buffer)?;
        packet.buffer.as_mut()[..HEADER_LEN].fill(0);
        Ok(packet)
    }

    /// Sets the source port.
    #[inline]
    pub fn set_source_port(&mut self, port: u16) {
        put_u16(self.buffer.as_mut(), field::SOURCE_PORT, port);
    }

    /// Sets the destination port.
    #[inline]
    pub fn set_destination_port(&mut self, port: u16) {
        put_u16(self.buffer.as_mut(), field::DESTINATION_PORT, port);
    }

    /// Sets the verification tag.
    #[inline]
    pub fn set_tag(&mut self, tag: u32) {
        put_u32(self.buffer.as_mut(), field::TAG, tag);
    }

    /// Sets the checksum field.
    #[inline]
    pub fn set_checksum(&mut self, checksum: u32) {
        // The polynomial's bits go onto the wire lowest first (RFC 9260 appendix A).
        put(self.buffer.as_mut(), CHECKSUM_OFFSET, &checksum.to_le_bytes());
    }

    /// Computes the checksum anew. The buffer must be the whole packet.
    #[inline]
    pub fn fill_checksum(&mut self) {
        let checksum = self.computed_checksum();
        self.set_checksum(checksum);
    }
}

/// The polynomial of Castagnoli, bits reversed.
const POLYNOMIAL: u32 = 0x82f6_3b78;

/// `TABLES[k][b]`: what byte `b` does to the register when `k` more bytes follow it.
static TABLES: [[u32; 256]; 8] = tables();

const fn tables() -> [[u32; 256]; 8] {
    let mut tables = [[0; 256]; 8];
    let mut byte = 0;
    while byte < 256 {
        let mut register = byte as u32;
        let mut bit = 0;
        while bit < 8 {
            register = if register & 1 == 1 { (register >> 1) ^ POLYNOMIAL } else { register >> 1 };
            bit += 1;
        }
        tables[0][byte] = register;
        byte += 1;
    }
    let mut later = 1;
    while later < 8 {
        let mut byte = 0;
        while byte < 256 {
            let before: u32 = tables[later - 1][byte];
            tables[later][byte] = (before >> 8) ^ tables[0][(before & 0xff) as usize];
            byte += 1;
        }
        later += 1;
    }
    tables
}

/// `ZEROS[k][i]`: the register after 2^k zero bytes, when it was bit `i` before.
static ZEROS: [[u32; 32]; 17] = zeros();

const fn zeros() -> [[u32; 32]; 17] {
    let mut zeros = [[0; 32]; 17];
    let tables = tables();
    let mut bit = 0;
    while bit < 32 {
        let register = 1u32 << bit;
        zeros[0][bit] = (register >> 8) ^ tables[0][(register & 0xff) as usize];
        bit += 1;
    }
    let mut power = 1;
    while power < 17 {
        let mut bit = 0;
        while bit < 32 {
            zeros[power][bit] = apply(&zeros[power - 1], zeros[power - 1][bit]);
            bit += 1;
        }
        power += 1;
    }
    zeros
}

/// The operator over bits applied to a register: the sum of the columns whose bit is set.
const fn apply(operator: &[u32; 32], register: u32) -> u32 {
    let (mut out, mut bit) = (0, 0);
    while bit < 32 {
        out ^= operator[bit] & ((register >> bit) & 1).wrapping_neg();
        bit += 1;
    }
    out
}

/// The register after `bytes`, eight at a time.
#[inline]
fn extend(mut register: u32, bytes: &[u8]) -> u32 {
    let (blocks, rest) = bytes.as_chunks::<8>();
    for block in blocks {
        let [a, b, c, d, e, f, g, h] = *block;
        let [i, j, k, l] = (register ^ u32::from_le_bytes([a, b, c, d])).to_le_bytes();
        register = [i, j, k, l, e, f, g, h]
            .into_iter()
            .zip(TABLES.iter().rev())
            .fold(0, |sum, (byte, table)| sum ^ table[usize::from(byte)]);
    }
    for byte in rest {
        register = (register >> 8) ^ TABLES[0][usize::from(register as u8 ^ byte)];
    }
    register
}

/// The CRC32c of `bytes` (Castagnoli's polynomial, RFC 3720 appendix B.4 has examples).
#[inline]
#[must_use]
pub fn crc32c(bytes: &[u8]) -> u32 {
    !extend(!0, bytes)
}

/// The CRC32c after four bytes went from `old` to `new`, behind which `behind` more bytes follow up to the end of what is
/// summed (up to 131,071; higher bits are not looked at). The sum is linear, so nothing but the change need be read: its bits
/// are carried over the bytes behind it, one step for each bit of `behind`.
#[inline]
#[must_use]
pub fn update(checksum: u32, old: [u8; 4], new: [u8; 4], behind: usize) -> u32 {
    let change = u32::from_le_bytes(old) ^ u32::from_le_bytes(new);
    if change == 0 {
        return checksum;
    }
    let mut register = extend(0, &change.to_le_bytes());
    for (power, operator) in ZEROS.iter().enumerate() {
        if behind >> power & 1 == 1 {
            register = apply(operator, register);
        }
    }
    checksum ^ register
}
