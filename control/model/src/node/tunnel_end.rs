//! What a Node says of its end of the tunnels, in annotations that its own daemon writes.

use std::net::IpAddr;

use sluice_tables::{Encapsulation, Family};

use crate::check::Check;
use crate::fault::{FieldPath, Problem};
use crate::node::is_reachable;
use crate::raw::Metadata;

/// Addresses, at most one a family, with commas between them.
const ADDRESS: &str = "sluice.io/tunnel-address";
/// `vxlan`, `geneve` or `none`.
const ENCAPSULATION: &str = "sluice.io/encapsulation";
/// UDP port.
const PORT: &str = "sluice.io/tunnel-port";
/// Number of the virtual network.
const VNI: &str = "sluice.io/vni";
/// Path MTU of the node's pods in bytes.
const MTU: &str = "sluice.io/mtu";

/// A node's end of the tunnels, as far as its Node tells of it. What is not told is as the reader has it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TunnelEnd {
    /// Its addresses, at most one a family; without one of a family the InternalIP counts.
    pub addresses: Vec<IpAddr>,
    /// What is written around packets.
    pub encapsulation: Option<Encapsulation>,
    /// The UDP port they are sent to.
    pub port: Option<u16>,
    /// The virtual network they are of, below 2^24.
    pub vni: Option<u32>,
    /// Path MTU of the node's pods in bytes.
    pub mtu: Option<u16>,
}

impl TunnelEnd {
    /// The address of a family.
    pub fn address(&self, family: Family) -> Option<IpAddr> {
        self.addresses.iter().copied().find(|address| Family::of(*address) == family)
    }

    /// The annotations that say this.
    pub(crate) fn annotations(&self) -> impl Iterator<Item = (&'static str, String)> {
        let addresses = self.addresses.iter().map(IpAddr::to_string).collect::<Vec<_>>().join(",");
        let all = [
            (ADDRESS, (!addresses.is_empty()).then_some(addresses)),
            (ENCAPSULATION, self.encapsulation.map(|one| name(one).to_owned())),
            (PORT, self.port.map(|port| port.to_string())),
            (VNI, self.vni.map(|vni| vni.to_string())),
            (MTU, self.mtu.map(|mtu| mtu.to_string())),
        ];
        all.into_iter().filter_map(|(key, value)| Some((key, value?)))
    }
}

/// As annotations and the configuration have it.
pub(crate) fn name(encapsulation: Encapsulation) -> &'static str {
    match encapsulation {
        Encapsulation::None => "none",
        Encapsulation::Vxlan => "vxlan",
        Encapsulation::Geneve => "geneve",
    }
}

pub(super) fn check(check: &mut Check, metadata: &Metadata) -> TunnelEnd {
    let written = |key: &str| -> Option<&str> {
        let text = metadata.annotations.as_ref()?.get(key)?.as_deref()?;
        (!text.is_empty()).then_some(text)
    };
    let words = [Encapsulation::Vxlan, Encapsulation::Geneve, Encapsulation::None].map(|one| (name(one), one));
    let encapsulation = written(ENCAPSULATION)
        .and_then(|text| check.one_of(field(ENCAPSULATION), Some(text), &words, "vxlan, geneve, none"));
    TunnelEnd {
        addresses: written(ADDRESS).map(|text| check_addresses(check, text)).unwrap_or_default(),
        encapsulation,
        port: written(PORT).and_then(|text| check_number(check, PORT, text, 1, u16::MAX.into())),
        vni: written(VNI).and_then(|text| check_number(check, VNI, text, 1, 0xff_ffff)),
        mtu: written(MTU).and_then(|text| check_number(check, MTU, text, 1, u16::MAX.into())),
    }
}

fn field(key: &str) -> FieldPath {
    FieldPath::of(&["metadata", "annotations"]).key(key)
}

fn check_addresses(check: &mut Check, text: &str) -> Vec<IpAddr> {
    let mut addresses: Vec<IpAddr> = Vec::new();
    for text in text.split(',').map(str::trim) {
        let Some(value) = check.address(field(ADDRESS), Some(text)) else { continue };
        if !is_reachable(value) {
            check.fault::<()>(field(ADDRESS), Problem::NotUnicast { value });
        } else if let Some(&other) = addresses.iter().find(|other| other.is_ipv4() == value.is_ipv4()) {
            check.fault::<()>(field(ADDRESS), Problem::SecondOfFamily { value, other });
        } else {
            addresses.push(value);
        }
    }
    addresses
}

fn check_number<T: TryFrom<i64>>(check: &mut Check, key: &str, text: &str, least: i64, most: i64) -> Option<T> {
    match text.parse::<i64>() {
        Ok(value) if (least..=most).contains(&value) => T::try_from(value).ok(),
        Ok(value) => check.fault(field(key), Problem::OutOfRange { value, least, most }),
        Err(_) => check.fault(field(key), Problem::NotANumber { value: text.to_owned() }),
    }
}
