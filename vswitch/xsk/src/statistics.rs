//! What a port counts.

/// What a port has done since it was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Statistics {
    /// Packets and bytes received whole.
    pub rx_packets: u64,
    /// Bytes of them.
    pub rx_bytes: u64,
    /// Packets put on the tx ring.
    pub tx_packets: u64,
    /// Bytes of them.
    pub tx_bytes: u64,
    /// Received packets thrown away because they had more than [`MAX_SEGMENTS`] segments.
    pub rx_too_long: u64,
    /// Received packets thrown away because a descriptor led outside the memory or to a frame not given to this port.
    pub rx_bad_descriptor: u64,
    /// Completions that named a frame not given to this port.
    pub bad_completion: u64,
    /// System calls made to have the tx ring looked at.
    pub kicks: u64,
    /// Of those, the ones the kernel refused for another reason than "later".
    pub kick_errors: u64,
    /// Refills that found no free frame.
    pub no_frame: u64,
}
