//! Queueing disciplines.

use netlink_packet_core::DefaultNla;
use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::tc::{TcAttribute, TcHandle, TcMessage};

use super::Netlink;
use super::link::LinkIndex;
use super::socket::Mode;
use crate::error::Error;

/// `TCA_OPTIONS`. For a fifo its value is a bare `struct tc_fifo_qopt` (a u32), not a nest, so the library's own
/// attribute for it does not fit.
const OPTIONS: u16 = 2;

/// A device's root queueing discipline.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Qdisc {
    /// Its device.
    pub link: LinkIndex,
    /// Its kind, such as `pfifo` or `noqueue`.
    pub kind: String,
}

impl Netlink {
    /// Puts a first-in first-out queue of `limit` packets at the device's root, in the place of what is there.
    ///
    /// A veth has no queue of its own and drops silently when its peer's ring is full. With a queue attached it
    /// answers busy instead (`veth_xmit` and `sch_direct_xmit`), and an AF_XDP socket keeps the frame in its ring.
    ///
    /// # Errors
    /// [`crate::ErrorKind::NoDevice`], [`crate::ErrorKind::NotFound`] where the kernel has no pfifo.
    pub fn set_pfifo(&mut self, link: LinkIndex, limit: u32) -> Result<(), Error> {
        let mut message = root_of(link);
        message.attributes.push(TcAttribute::Kind("pfifo".to_owned()));
        message.attributes.push(TcAttribute::Other(DefaultNla::new(OPTIONS, limit.to_ne_bytes().to_vec())));
        let object = || format!("pfifo limit {limit} on {link}");
        self.change("set queue", object, RouteNetlinkMessage::NewQueueDiscipline(message), Mode::Replace)
    }

    /// Takes the root queue away; the device falls back to its default, for a veth `noqueue`.
    ///
    /// # Errors
    /// [`crate::ErrorKind::NotFound`] when only the default is there, [`crate::ErrorKind::NoDevice`].
    pub fn delete_qdisc(&mut self, link: LinkIndex) -> Result<(), Error> {
        let message = RouteNetlinkMessage::DelQueueDiscipline(root_of(link));
        self.change("delete queue", || format!("root of {link}"), message, Mode::Existing)
    }

    /// The root queues of all devices.
    ///
    /// # Errors
    /// When the kernel's answer cannot be had.
    pub fn qdiscs(&mut self) -> Result<Vec<Qdisc>, Error> {
        let message = RouteNetlinkMessage::GetQueueDiscipline(TcMessage::default());
        Ok(self.dump("list queues", message)?.into_iter().filter_map(qdisc_from).collect())
    }
}

fn root_of(link: LinkIndex) -> TcMessage {
    // tcm_ifindex is an int; an index above i32::MAX cannot exist and is refused as no device.
    let mut message = TcMessage::with_index(i32::try_from(link.0).unwrap_or(i32::MAX));
    message.header.parent = TcHandle::ROOT;
    message
}

fn qdisc_from(message: RouteNetlinkMessage) -> Option<Qdisc> {
    let RouteNetlinkMessage::NewQueueDiscipline(message) = message else { return None };
    if message.header.parent != TcHandle::ROOT {
        return None;
    }
    let kind = message.attributes.into_iter().find_map(|attribute| match attribute {
        TcAttribute::Kind(kind) => Some(kind),
        _ => None,
    })?;
    Some(Qdisc { link: LinkIndex(u32::try_from(message.header.index).ok()?), kind })
}
