//! The features part of ethtool's generic netlink family (`Documentation/networking/ethtool-netlink.rst`).
//!
//! The messages are made of plain attributes: the family has no types in the libraries this crate uses.

use std::collections::BTreeMap;

use netlink_packet_core::{
    DecodeError, DefaultNla, Emitable, NLA_F_NESTED, NlaBuffer, NlasIterator, ParseableParametrized,
};
use netlink_packet_generic::ctrl::nlas::GenlCtrlAttrs;
use netlink_packet_generic::ctrl::{GenlCtrl, GenlCtrlCmd};
use netlink_packet_generic::{GenlFamily, GenlHeader, GenlMessage};

use super::Netlink;
use super::link::LinkIndex;
use super::socket::{Connection, Mode};
use crate::error::{Error, ErrorKind, Failure};
use crate::offload::{Feature, Features, State};

// include/uapi/linux/ethtool_netlink_generated.h
const FEATURES_GET: u8 = 11;
const FEATURES_SET: u8 = 12;
const VERSION: u8 = 1;
const FEATURES_HEADER: u16 = 1;
const FEATURES_HW: u16 = 2;
const FEATURES_WANTED: u16 = 3;
const FEATURES_ACTIVE: u16 = 4;
const FEATURES_NOCHANGE: u16 = 5;
const HEADER_DEV_INDEX: u16 = 1;
const BITSET_BITS: u16 = 3;
const BITSET_BIT: u16 = 1;
const BIT_NAME: u16 = 2;
const BIT_VALUE: u16 = 3;

/// A socket to the family; its number is asked for once.
#[derive(Debug)]
pub(super) struct Ethtool {
    connection: Connection,
    family: Option<u16>,
}

impl Ethtool {
    pub(super) fn open() -> Result<Self, Failure> {
        Ok(Self { connection: Connection::open(netlink_sys::protocols::NETLINK_GENERIC)?, family: None })
    }

    fn family(&mut self) -> Result<u16, Failure> {
        if let Some(family) = self.family {
            return Ok(family);
        }
        let name = GenlCtrlAttrs::FamilyName(Message::family_name().to_owned());
        let query = GenlCtrl { cmd: GenlCtrlCmd::GetFamily, nlas: vec![name] };
        let answer = self.connection.request(GenlMessage::from_payload(query), Mode::Existing)?;
        let family = answer.into_iter().flat_map(|message| message.payload.nlas).find_map(|nla| match nla {
            GenlCtrlAttrs::FamilyId(id) => Some(id),
            _ => None,
        });
        self.family = family;
        family.ok_or_else(|| Failure::undecodable("the family ethtool has no number"))
    }

    fn request(&mut self, message: Message) -> Result<Vec<Message>, Failure> {
        let family = self.family()?;
        let mut message = GenlMessage::from_payload(message);
        message.set_resolved_family_id(family);
        Ok(self.connection.request(message, Mode::Existing)?.into_iter().map(|message| message.payload).collect())
    }

    fn features(&mut self, link: LinkIndex) -> Result<Features, Failure> {
        let answer = self.request(Message { command: FEATURES_GET, body: bytes_of(&[header(link)]) })?;
        let answer = answer.first().ok_or_else(|| Failure::undecodable("no features in the answer"))?;
        read_features(&answer.body).map_err(Failure::undecodable)
    }

    fn set_features(&mut self, link: LinkIndex, wanted: &[(Feature, bool)]) -> Result<(), Failure> {
        let bits: Vec<_> = wanted.iter().map(|(feature, on)| bit(feature.name(), *on)).collect();
        let bitset = nest(FEATURES_WANTED, &[nest(BITSET_BITS, &bits)]);
        self.request(Message { command: FEATURES_SET, body: bytes_of(&[header(link), bitset]) })?;
        // The reply tells differences only as bits of bits; the state now is plainer and cannot be misread.
        let now = self.features(link)?;
        match wanted.iter().find(|(feature, on)| now.is_on(*feature) != *on) {
            None => Ok(()),
            Some((feature, _)) => Err(ErrorKind::NotApplied { feature: feature.name() }.into()),
        }
    }
}

impl Netlink {
    pub(crate) fn features(&mut self, link: LinkIndex) -> Result<Features, Error> {
        self.ethtool.features(link).map_err(|failure| self.fail("read features of", link.to_string(), failure))
    }

    pub(crate) fn set_features(&mut self, link: LinkIndex, wanted: &[(Feature, bool)]) -> Result<(), Error> {
        self.ethtool.set_features(link, wanted).map_err(|failure| {
            let list: Vec<_> = wanted
                .iter()
                .map(|(feature, on)| format!("{} {}", feature.name(), if *on { "on" } else { "off" }))
                .collect();
            self.fail("set features of", format!("{link} ({})", list.join(", ")), failure)
        })
    }
}

/// A message of the family; its attributes as bytes.
#[derive(Debug, Clone)]
struct Message {
    command: u8,
    body: Vec<u8>,
}

impl GenlFamily for Message {
    fn family_name() -> &'static str {
        "ethtool"
    }

    fn command(&self) -> u8 {
        self.command
    }

    fn version(&self) -> u8 {
        VERSION
    }
}

impl Emitable for Message {
    fn buffer_len(&self) -> usize {
        self.body.len()
    }

    fn emit(&self, buffer: &mut [u8]) {
        buffer[..self.body.len()].copy_from_slice(&self.body);
    }
}

impl ParseableParametrized<[u8], GenlHeader> for Message {
    fn parse_with_param(body: &[u8], header: GenlHeader) -> Result<Self, DecodeError> {
        Ok(Self { command: header.cmd, body: body.to_vec() })
    }
}

fn header(link: LinkIndex) -> DefaultNla {
    nest(FEATURES_HEADER, &[DefaultNla::new(HEADER_DEV_INDEX, link.0.to_ne_bytes().to_vec())])
}

/// A bit named and, when set, flagged. In a bitset without NOMASK only the bits that are listed are changed.
fn bit(name: &str, on: bool) -> DefaultNla {
    let mut zero_ended = name.as_bytes().to_vec();
    zero_ended.push(0);
    let mut attributes = vec![DefaultNla::new(BIT_NAME, zero_ended)];
    if on {
        attributes.push(DefaultNla::new(BIT_VALUE, Vec::new()));
    }
    nest(BITSET_BIT, &attributes)
}

fn nest(kind: u16, attributes: &[DefaultNla]) -> DefaultNla {
    DefaultNla::new(kind | NLA_F_NESTED, bytes_of(attributes))
}

fn bytes_of(attributes: &[DefaultNla]) -> Vec<u8> {
    let mut bytes = vec![0; attributes.buffer_len()];
    attributes.emit(&mut bytes);
    bytes
}

/// HW lists every feature with a flag on those the device can change; ACTIVE and NOCHANGE list only those set.
fn read_features(body: &[u8]) -> Result<Features, DecodeError> {
    let mut states = BTreeMap::new();
    let mut active = Vec::new();
    let mut fixed = Vec::new();
    for attribute in NlasIterator::new(body) {
        let attribute = attribute?;
        match attribute.kind() {
            FEATURES_HW => {
                for (name, flagged) in bits_of(&attribute)? {
                    states.insert(name, State { active: false, changeable: flagged });
                }
            }
            FEATURES_ACTIVE => active = bits_of(&attribute)?,
            FEATURES_NOCHANGE => fixed = bits_of(&attribute)?,
            _ => {}
        }
    }
    for (name, _) in active {
        states.entry(name).or_insert(State { active: true, changeable: false }).active = true;
    }
    for (name, _) in fixed {
        if let Some(state) = states.get_mut(&name) {
            state.changeable = false;
        }
    }
    Ok(Features { states })
}

/// The names in a verbose bitset, each with whether its value is flagged.
fn bits_of(bitset: &NlaBuffer<&[u8]>) -> Result<Vec<(String, bool)>, DecodeError> {
    let mut bits = Vec::new();
    for list in NlasIterator::new(bitset.value()) {
        let list = list?;
        if list.kind() != BITSET_BITS {
            continue;
        }
        for bit in NlasIterator::new(list.value()) {
            bits.extend(read_bit(&bit?)?);
        }
    }
    Ok(bits)
}

fn read_bit(bit: &NlaBuffer<&[u8]>) -> Result<Option<(String, bool)>, DecodeError> {
    let mut name = None;
    let mut flagged = false;
    for attribute in NlasIterator::new(bit.value()) {
        let attribute = attribute?;
        match attribute.kind() {
            BIT_NAME => name = Some(netlink_packet_core::parse_string(attribute.value())?),
            BIT_VALUE => flagged = true,
            _ => {}
        }
    }
    Ok(name.map(|name| (name, flagged)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bitset(kind: u16, names: &[(&str, bool)]) -> DefaultNla {
        let bits: Vec<_> = names.iter().map(|(name, on)| bit(name, *on)).collect();
        nest(kind, &[nest(BITSET_BITS, &bits)])
    }

    fn answer() -> Vec<u8> {
        bytes_of(&[
            header(LinkIndex(7)),
            bitset(FEATURES_HW, &[("rx-gro", true), ("tx-lockless", false), ("highdma", true)]),
            bitset(FEATURES_ACTIVE, &[("rx-gro", true), ("tx-lockless", true)]),
            bitset(FEATURES_NOCHANGE, &[("highdma", true)]),
        ])
    }

    #[test]
    fn features_are_joined_from_three_bitsets() {
        let features = read_features(&answer()).unwrap();
        let state = |name| features.get(Feature::named(name)).unwrap();
        assert_eq!(state("rx-gro"), State { active: true, changeable: true });
        assert_eq!(state("tx-lockless"), State { active: true, changeable: false });
        assert_eq!(state("highdma"), State { active: false, changeable: false });
        assert_eq!(features.get(Feature::named("no-such")), None);
        assert_eq!(features.iter().count(), 3);
    }

    #[test]
    fn an_answer_cut_anywhere_is_refused_or_shorter_never_a_panic() {
        let whole = answer();
        for length in 0..whole.len() {
            if let Ok(features) = read_features(&whole[..length]) {
                assert!(features.iter().count() <= 3);
            }
        }
    }
}
