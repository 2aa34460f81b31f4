//! Neighbour solicitation and advertisement (RFC 4861 sections 4.3 and 4.4).

use std::net::Ipv6Addr;

use crate::bytes::{between, put, put_u16, u16_at, v6_at};
use crate::checksum::Sum;
use crate::icmpv6::kind;
use crate::{Layer, MacAddr, Malformed};

/// Bytes of a message without options.
pub const HEADER_LEN: usize = 24;
/// Bytes of a message with one link-layer address option.
pub const LEN_WITH_MAC: usize = HEADER_LEN + LINK_OPTION_LEN;
/// The hop limit every message carries; another means that it crossed a router (RFC 4861 section 3.1).
pub const HOP_LIMIT: u8 = 255;

const LINK_OPTION_LEN: usize = 8;

/// Kinds of option.
pub mod option {
    /// The sender's link-layer address.
    pub const SOURCE_LINK: u8 = 1;
    /// The target's link-layer address.
    pub const TARGET_LINK: u8 = 2;
}

/// Bits of an advertisement's flags byte.
pub mod flag {
    /// The sender is a router.
    pub const ROUTER: u8 = 0x80;
    /// Sent in answer to a solicitation.
    pub const SOLICITED: u8 = 0x40;
    /// Replaces a cached address.
    pub const OVERRIDE: u8 = 0x20;
}

mod field {
    pub(super) const KIND: usize = 0;
    pub(super) const CODE: usize = 1;
    pub(super) const CHECKSUM: usize = 2;
    pub(super) const FLAGS: usize = 4;
    pub(super) const TARGET: usize = 8;
}

/// A view over a neighbour solicitation or advertisement, from the ICMPv6 header on.
#[derive(Clone, Copy, Debug)]
pub struct Packet<T: AsRef<[u8]>> {
    buffer: T,
}

impl<T: AsRef<[u8]>> Packet<T> {
    /// Checks type, code, length and every option's length. The message is the whole buffer. The hop limit of 255 and
    /// the checksum are for the caller to check.
    ///
    /// # Errors
    /// [`Malformed::Truncated`] below 24 bytes, [`Malformed::WrongType`] for other ICMPv6 messages,
    /// [`Malformed::BadOption`] for an option of length zero or one that is cut off.
    #[inline]
    pub fn new_checked(buffer: T) -> Result<Self, Malformed> {
        let bytes = buffer.as_ref();
        if bytes.len() < HEADER_LEN {
            return Err(Malformed::truncated(Layer::Ndp, HEADER_LEN, bytes.len()));
        }
        let value = bytes[field::KIND];
        if !matches!(value, kind::NEIGHBOUR_SOLICIT | kind::NEIGHBOUR_ADVERT) {
            return Err(Malformed::WrongType { layer: Layer::Ndp, value });
        }
        check_options(&bytes[HEADER_LEN..])?;
        Ok(Self { buffer })
    }

    /// The bytes back.
    #[inline]
    pub fn into_inner(self) -> T {
        self.buffer
    }

    /// ICMPv6 type: solicitation or advertisement.
    #[inline]
    pub fn kind(&self) -> u8 {
        self.buffer.as_ref()[field::KIND]
    }

    /// ICMPv6 code; a receiver ignores a message where it is not 0 (RFC 4861 section 7.1).
    #[inline]
    pub fn code(&self) -> u8 {
        self.buffer.as_ref()[field::CODE]
    }

    /// Checksum field.
    #[inline]
    pub fn checksum(&self) -> u16 {
        u16_at(self.buffer.as_ref(), field::CHECKSUM)
    }

    /// An advertisement's flags (see [`flag`]).
    #[inline]
    pub fn flags(&self) -> u8 {
        self.buffer.as_ref()[field::FLAGS]
    }

    /// The address asked for or told of.
    #[inline]
    pub fn target(&self) -> Ipv6Addr {
        v6_at(self.buffer.as_ref(), field::TARGET)
    }

    /// The options in order: kind, and the option's bytes after kind and length.
    #[inline]
    pub fn options(&self) -> Options<'_> {
        Options { bytes: between(self.buffer.as_ref(), HEADER_LEN, usize::MAX) }
    }

    /// The sender's link-layer address, if given as an Ethernet address. A solicitation from the unspecified address
    /// (duplicate address detection) carries none.
    #[inline]
    pub fn source_link(&self) -> Option<MacAddr> {
        self.link(option::SOURCE_LINK)
    }

    /// The target's link-layer address, if given as an Ethernet address.
    #[inline]
    pub fn target_link(&self) -> Option<MacAddr> {
        self.link(option::TARGET_LINK)
    }

    fn link(&self, wanted: u8) -> Option<MacAddr> {
        let (_, bytes) = self.options().find(|(kind, _)| *kind == wanted)?;
        bytes.try_into().ok().map(MacAddr)
    }

    /// True when the checksum is right.
    #[inline]
    pub fn checksum_ok(&self, pseudo: Sum) -> bool {
        pseudo.add_bytes(self.buffer.as_ref()).finish() == 0
    }
}

/// Every option's length must be at least one unit of 8 bytes and end inside the message.
fn check_options(options: &[u8]) -> Result<(), Malformed> {
    let mut rest = Options { bytes: options };
    while rest.next().is_some() {}
    match rest.bytes {
        [] => Ok(()),
        cut => {
            let at = (options.len() - cut.len()).min(usize::from(u16::MAX)) as u16;
            let length = cut.get(1).map_or(0, |units| u16::from(*units) * 8);
            Err(Malformed::BadOption { layer: Layer::Ndp, at, length })
        }
    }
}

/// The options of a message, in order.
#[derive(Clone, Debug)]
pub struct Options<'a> {
    bytes: &'a [u8],
}

impl<'a> Iterator for Options<'a> {
    type Item = (u8, &'a [u8]);

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        let [kind, units, ..] = *self.bytes else { return None };
        let length = usize::from(units) * 8;
        if length == 0 {
            return None;
        }
        let (option, rest) = self.bytes.split_at_checked(length)?;
        self.bytes = rest;
        Some((kind, &option[2..]))
    }
}

impl<T: AsRef<[u8]> + AsMut<[u8]>> Packet<T> {
    /// Clears the buffer, writes type and target, and, when the buffer has 32 bytes, an empty link-layer address option
    /// of the kind that the type uses.
    ///
    /// # Errors
    /// [`Malformed::BadTotalLength`] unless the buffer has 24 or 32 bytes, [`Malformed::WrongType`] when `kind` is
    /// neither solicitation nor advertisement.
    #[inline]
    pub fn init(mut buffer: T, kind: u8, target: Ipv6Addr) -> Result<Self, Malformed> {
        let link_option = match kind {
            kind::NEIGHBOUR_SOLICIT => option::SOURCE_LINK,
            kind::NEIGHBOUR_ADVERT => option::TARGET_LINK,
            value => return Err(Malformed::WrongType { layer: Layer::Ndp, value }),
        };
        let bytes = buffer.as_mut();
        if bytes.len() != HEADER_LEN && bytes.len() != LEN_WITH_MAC {
            return Err(Malformed::total_length(Layer::Ndp, LEN_WITH_MAC, bytes.len()));
        }
        bytes.fill(0);
        bytes[field::KIND] = kind;
        put(bytes, field::TARGET, &target.octets());
        if let [option_kind, units, ..] = &mut bytes[HEADER_LEN..] {
            *option_kind = link_option;
            *units = 1;
        }
        Ok(Self { buffer })
    }

    /// Sets an advertisement's flags.
    #[inline]
    pub fn set_flags(&mut self, flags: u8) {
        self.buffer.as_mut()[field::FLAGS] = flags;
    }

    /// Sets the target.
    #[inline]
    pub fn set_target(&mut self, target: Ipv6Addr) {
        put(self.buffer.as_mut(), field::TARGET, &target.octets());
    }

    /// Sets the address of the first option, where that is a link-layer address option; else does nothing.
    #[inline]
    pub fn set_link(&mut self, mac: MacAddr) {
        if let [option::SOURCE_LINK | option::TARGET_LINK, 1, address @ ..] = &mut self.buffer.as_mut()[HEADER_LEN..]
            && let Some(address) = address.first_chunk_mut()
        {
            *address = mac.0;
        }
    }

    /// Sets the checksum field.
    #[inline]
    pub fn set_checksum(&mut self, checksum: u16) {
        put_u16(self.buffer.as_mut(), field::CHECKSUM, checksum);
    }

    /// Computes the checksum anew over the whole buffer.
    #[inline]
    pub fn fill_checksum(&mut self, pseudo: Sum) {
        self.set_checksum(0);
        let checksum = pseudo.add_bytes(self.buffer.as_ref()).finish();
        self.set_checksum(checksum);
    }
}
