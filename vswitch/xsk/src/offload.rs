//! What the kernel is asked to do with a packet that is sent: TX metadata.
use crate::TX_METADATA_LEN;

/// `XDP_TXMD_FLAGS_CHECKSUM` (`include/uapi/linux/if_xdp.h`).
const CHECKSUM: u64 = 1 << 1;

/// Where the receiver is to put a packet's checksum: the field holds the pseudo-header sum until then.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Partial {
    /// Where summing begins, in bytes from the packet's start.
    pub start: u16,
    /// Where the field lies, in bytes from `start`.
    pub offset: u16,
}

impl Partial {
    /// The request as the kernel reads it (`struct xsk_tx_metadata`).
    #[inline]
    pub(crate) fn write(self, room: &mut [u8; TX_METADATA_LEN]) {
        room[..8].copy_from_slice(&CHECKSUM.to_ne_bytes());
        room[8..10].copy_from_slice(&self.start.to_ne_bytes());
        room[10..12].copy_from_slice(&self.offset.to_ne_bytes());
        room[12..].fill(0);
    }
}
