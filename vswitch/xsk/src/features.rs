//! What this kernel can do, and what configuration forbids.
use std::fmt;

/// Whether a feature may be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Toggle {
    /// Used when the kernel has it.
    #[default]
    Auto,
    /// Not used, so that the way without it is taken on any kernel.
    Off,
}

impl Toggle {
    /// Whether the feature may be tried.
    pub fn allows(self) -> bool {
        self == Toggle::Auto
    }
}

/// What configuration allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Allowed {
    /// `XDP_USE_SG`: packets of several frames.
    pub multi_buffer: Toggle,
    /// `XDP_UMEM_TX_METADATA_LEN`: partial checksums stay partial.
    pub tx_metadata: Toggle,
    /// `XDP_MAX_TX_SKB_BUDGET`: a whole ring sent by one system call.
    pub tx_budget: Toggle,
    /// `XDP_USE_NEED_WAKEUP`: no system call where the kernel needs none.
    pub need_wakeup: Toggle,
}

/// What is in use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Features {
    /// Packets of up to [`crate::MAX_SEGMENTS`] frames (`XDP_USE_SG`; 6.6 in native, 6.9 in generic mode). Without it a packet
    /// is one frame, and ports must be kept to an MTU that fits.
    pub multi_buffer: bool,
    /// Checksum completion by the receiving device (`XDP_TXMD_FLAGS_CHECKSUM`; 6.11, whose `XDP_UMEM_TX_METADATA_LEN`
    /// registers the room for it). Without it the switch completes them.
    pub tx_metadata: bool,
    /// Descriptors sent by one system call raised from 32 to the ring's size (`XDP_MAX_TX_SKB_BUDGET`; 6.17).
    pub tx_budget: bool,
    /// The kernel says when it needs a system call (5.4).
    pub need_wakeup: bool,
    /// The device reads and writes frames itself.
    pub zero_copy: bool,
}

impl Features {
    /// Each feature's name and state, in a fixed order.
    pub fn list(&self) -> [(&'static str, bool); 5] {
        [
            ("multi_buffer", self.multi_buffer),
            ("tx_metadata", self.tx_metadata),
            ("tx_budget", self.tx_budget),
            ("need_wakeup", self.need_wakeup),
            ("zero_copy", self.zero_copy),
        ]
    }
}

impl fmt::Display for Features {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, (name, on)) in self.list().into_iter().enumerate() {
            let space = if i == 0 { "" } else { " " };
            write!(f, "{space}{}{name}", if on { "+" } else { "-" })?;
        }
        Ok(())
    }
}

/// Major and minor version of a kernel release such as "6.18.44-fc".
pub(crate) fn release_version(release: &str) -> Option<(u32, u32)> {
    let mut parts = release.split(['.', '-', '+']);
    Some((parts.next()?.parse().ok()?, parts.next()?.parse().ok()?))
}

/// Whether generic (SKB) mode hands over packets of several frames: since 6.9 (commit e6d5dbdd20aa). A bind does not tell.
pub(crate) fn generic_multi_buffer() -> bool {
    let name = rustix::system::uname();
    name.release().to_str().ok().and_then(release_version).is_some_and(|version| version >= (6, 9))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_kernel_releases() {
        assert_eq!(release_version("6.18.44-fc-v657"), Some((6, 18)));
        assert_eq!(release_version("5.15.0-1"), Some((5, 15)));
        assert_eq!(release_version("6.1-rc2"), Some((6, 1)));
        assert_eq!(release_version("linux"), None);
        assert_eq!(release_version(""), None);
    }

    #[test]
    fn shows_each_feature_with_its_state() {
        let features = Features { multi_buffer: true, ..Features::default() };
        assert_eq!(features.to_string(), "+multi_buffer -tx_metadata -tx_budget -need_wakeup -zero_copy");
    }
}
