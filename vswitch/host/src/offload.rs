//! Offload settings of a device, by ethtool's netlink interface.

use std::collections::BTreeMap;

use crate::error::Error;
use crate::netlink::Netlink;
use crate::netlink::link::LinkIndex;

/// A feature, by the name `ethtool -k` prints it or, where that is a group (`tx-checksumming`), its member's.
/// The names are the kernel's `netdev_features_strings` (`net/ethtool/common.c`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Feature(&'static str);

/// Checksums of any protocol left to the device; what a veth has.
pub const TX_CHECKSUM: Feature = Feature("tx-checksum-ip-generic");
/// SCTP's CRC left to the device.
pub const TX_CHECKSUM_SCTP: Feature = Feature("tx-checksum-sctp");
/// Checksums of received packets taken from the device.
pub const RX_CHECKSUM: Feature = Feature("rx-checksum");
/// Frames in several pieces of memory.
pub const SCATTER_GATHER: Feature = Feature("tx-scatter-gather");
/// Large TCP segments over IPv4 handed down whole.
pub const TX_TCP_SEGMENTATION: Feature = Feature("tx-tcp-segmentation");
/// Large TCP segments over IPv6 handed down whole.
pub const TX_TCP6_SEGMENTATION: Feature = Feature("tx-tcp6-segmentation");
/// Large TCP segments with ECN handed down whole.
pub const TX_TCP_ECN_SEGMENTATION: Feature = Feature("tx-tcp-ecn-segmentation");
/// Large TCP segments whose IPv4 ids may repeat handed down whole.
pub const TX_TCP_MANGLEID_SEGMENTATION: Feature = Feature("tx-tcp-mangleid-segmentation");
/// UDP_SEGMENT super-frames handed down whole.
pub const TX_UDP_SEGMENTATION: Feature = Feature("tx-udp-segmentation");
/// SCTP super-frames handed down whole.
pub const TX_SCTP_SEGMENTATION: Feature = Feature("tx-sctp-segmentation");
/// Segmentation put off by the stack until just above the device.
pub const GSO: Feature = Feature("tx-generic-segmentation");
/// Received segments joined above the device.
pub const GRO: Feature = Feature("rx-gro");
/// Joined UDP datagrams handed on to the stack's forwarding path.
pub const GRO_UDP_FORWARDING: Feature = Feature("rx-udp-gro-forwarding");

/// All four kinds of TCP segmentation, which `ethtool -K tso` switches together.
pub const TCP_SEGMENTATION: [Feature; 4] =
    [TX_TCP_SEGMENTATION, TX_TCP6_SEGMENTATION, TX_TCP_ECN_SEGMENTATION, TX_TCP_MANGLEID_SEGMENTATION];

impl Feature {
    /// A feature without a constant here. An unknown name is refused by the kernel when it is set.
    pub const fn named(name: &'static str) -> Self {
        Self(name)
    }

    /// The kernel's name.
    pub const fn name(self) -> &'static str {
        self.0
    }
}

/// One feature of one device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct State {
    /// Whether it is on now.
    pub active: bool,
    /// Whether the device lets it be changed.
    pub changeable: bool,
}

/// All features of a device.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Features {
    pub(crate) states: BTreeMap<String, State>,
}

impl Features {
    /// The state of `feature`; None when the kernel does not know it.
    pub fn get(&self, feature: Feature) -> Option<State> {
        self.states.get(feature.0).copied()
    }

    /// Whether `feature` is on; a feature the kernel does not know is off.
    pub fn is_on(&self, feature: Feature) -> bool {
        self.get(feature).is_some_and(|state| state.active)
    }

    /// Every feature's name and state, sorted by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, State)> {
        self.states.iter().map(|(name, state)| (name.as_str(), *state))
    }
}

/// All features of a device.
///
/// # Errors
/// [`crate::ErrorKind::NoDevice`]; [`crate::ErrorKind::NotFound`] on a kernel without CONFIG_ETHTOOL_NETLINK.
pub fn get(netlink: &mut Netlink, link: LinkIndex) -> Result<Features, Error> {
    netlink.features(link)
}

/// Switches features on or off and verifies that the device took them. Those not named stay as they are.
///
/// # Errors
/// [`crate::ErrorKind::NotApplied`] naming the first feature that is not as asked for, because it is fixed or needs
/// another one (TCP segmentation needs checksums and scatter-gather); [`crate::ErrorKind::NotSupported`] or
/// [`crate::ErrorKind::Invalid`] for a name the kernel does not know; [`crate::ErrorKind::NoDevice`].
pub fn set(netlink: &mut Netlink, link: LinkIndex, wanted: &[(Feature, bool)]) -> Result<(), Error> {
    netlink.set_features(link, wanted)
}
