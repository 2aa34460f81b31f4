//! One netlink socket: request and answer, acknowledgements, dumps.

use std::io;

use netlink_packet_core::{
    DefaultNla, ErrorMessage, NLM_F_ACK, NLM_F_CREATE, NLM_F_DUMP, NLM_F_DUMP_INTR, NLM_F_EXCL, NLM_F_REPLACE,
    NLM_F_REQUEST, NetlinkDeserializable, NetlinkHeader, NetlinkMessage, NetlinkPayload, NetlinkSerializable, Nla,
    NlaBuffer, NlasIterator, Parseable,
};
use netlink_sys::{Socket, SocketAddr};
use nix::errno::Errno;
use nix::sys::socket::MsgFlags;

use crate::error::{ErrorKind, Failure};

/// The kernel never builds a datagram of a dump larger than 32 KiB (`netlink_dump`, af_netlink.c); an answer about a
/// single object may be larger when it lists many attributes.
const RECEIVE_BYTES: usize = 128 * 1024;

/// How often a dump that was disturbed by a concurrent change (NLM_F_DUMP_INTR) is asked again.
const DUMP_TRIES: usize = 8;

/// Has the kernel tell a datagram's length even when it did not fit.
const WHOLE_LENGTH: i32 = MsgFlags::MSG_TRUNC.bits();

/// `NLMSGERR_ATTR_MSG` of `include/uapi/linux/netlink.h`.
const ERROR_TEXT: u16 = 1;
/// With NETLINK_CAP_ACK the kernel quotes no more than the request's header in an error.
const QUOTED_HEADER: usize = 16;

/// What is to happen to an object that may exist.
#[derive(Debug, Clone, Copy)]
pub(super) enum Mode {
    /// Change, delete or read what is there.
    Existing,
    /// Make it; refuse if it is there.
    Create,
    /// Make it or put it in the place of what is there.
    Replace,
}

impl Mode {
    fn flags(self) -> u16 {
        match self {
            Mode::Existing => 0,
            Mode::Create => NLM_F_CREATE | NLM_F_EXCL,
            Mode::Replace => NLM_F_CREATE | NLM_F_REPLACE,
        }
    }
}

#[derive(Debug)]
pub(super) struct Connection {
    socket: Socket,
    sequence: u32,
    received: Vec<u8>,
}

/// Messages of one answer and whether a concurrent change tore it.
struct Answer<M> {
    messages: Vec<M>,
    torn: bool,
}

impl Connection {
    pub(super) fn open(protocol: isize) -> Result<Self, Failure> {
        let mut socket = Socket::new(protocol)?;
        socket.bind_auto()?;
        socket.connect(&SocketAddr::new(0, 0))?;
        socket.set_cap_ack(true)?;
        socket.set_ext_ack(true)?;
        Ok(Self { socket, sequence: 0, received: Vec::with_capacity(RECEIVE_BYTES) })
    }

    /// Sends `message` and collects what comes before the acknowledgement.
    pub(super) fn request<M>(&mut self, message: M, mode: Mode) -> Result<Vec<M>, Failure>
    where
        M: NetlinkSerializable + NetlinkDeserializable,
    {
        self.send(message, NLM_F_REQUEST | NLM_F_ACK | mode.flags())?;
        Ok(self.collect()?.messages)
    }

    /// Sends `message` as a dump request and collects the whole table, in one consistent state where possible.
    pub(super) fn dump<M>(&mut self, message: &M) -> Result<Vec<M>, Failure>
    where
        M: NetlinkSerializable + NetlinkDeserializable + Clone,
    {
        for _ in 0..DUMP_TRIES {
            self.send(message.clone(), NLM_F_REQUEST | NLM_F_DUMP)?;
            let answer = self.collect()?;
            if !answer.torn {
                return Ok(answer.messages);
            }
        }
        Err(Failure::explained(ErrorKind::Busy, "the table kept changing while it was read"))
    }

    fn send<M: NetlinkSerializable>(&mut self, message: M, flags: u16) -> Result<(), Failure> {
        self.sequence = self.sequence.wrapping_add(1);
        let mut message = NetlinkMessage::new(NetlinkHeader::default(), NetlinkPayload::InnerMessage(message));
        message.header.flags = flags;
        message.header.sequence_number = self.sequence;
        message.finalize();
        let mut bytes = vec![0; message.buffer_len()];
        message.serialize(&mut bytes);
        uninterrupted(|| self.socket.send(&bytes, 0))?;
        Ok(())
    }

    fn collect<M: NetlinkDeserializable>(&mut self) -> Result<Answer<M>, Failure> {
        let mut answer = Answer { messages: Vec::new(), torn: false };
        let mut failure = None;
        loop {
            self.receive()?;
            // An undecodable message must not leave the rest of the answer in the socket for the next request.
            match read_datagram(&self.received, self.sequence, &mut answer, &mut failure) {
                Progress::More => {}
                Progress::End => return failure.map_or(Ok(answer), Err),
            }
        }
    }

    fn receive(&mut self) -> Result<(), Failure> {
        let Self { socket, received, .. } = self;
        let length = uninterrupted(|| {
            received.clear();
            socket.recv(received, WHOLE_LENGTH)
        })?;
        if length > received.len() {
            return Err(Failure::undecodable(format!("an answer of {length} bytes did not fit the receive buffer")));
        }
        Ok(())
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Progress {
    More,
    End,
}

/// Takes the messages of one datagram into `answer`; the first thing that went wrong into `failure`.
fn read_datagram<M: NetlinkDeserializable>(
    mut bytes: &[u8],
    sequence: u32,
    answer: &mut Answer<M>,
    failure: &mut Option<Failure>,
) -> Progress {
    while let Some(header) = MessageHeader::read(bytes) {
        let (this, rest) = bytes.split_at(header.length);
        bytes = rest.get(header.padding()..).unwrap_or_default();
        // Of an earlier request that was given up on.
        if header.sequence != sequence {
            continue;
        }
        let message = match NetlinkMessage::<M>::deserialize(this) {
            Ok(message) => message,
            Err(error) if header.ends_answer() => {
                failure.get_or_insert(Failure::undecodable(error));
                return Progress::End;
            }
            Err(error) => {
                failure.get_or_insert(Failure::undecodable(error));
                continue;
            }
        };
        answer.torn |= message.header.flags & NLM_F_DUMP_INTR != 0;
        match message.payload {
            NetlinkPayload::InnerMessage(inner) => answer.messages.push(inner),
            NetlinkPayload::Error(error) => {
                if let Some(refused) = refusal(&error) {
                    failure.get_or_insert(refused);
                }
                return Progress::End;
            }
            NetlinkPayload::Done(done) => {
                if done.code < 0 {
                    failure.get_or_insert(Errno::from_raw(done.code.wrapping_neg()).into());
                }
                return Progress::End;
            }
            _ => {}
        }
    }
    Progress::More
}

/// The part of `struct nlmsghdr` needed to step over a message that the library cannot decode.
pub(super) struct MessageHeader {
    pub(super) length: usize,
    kind: u16,
    sequence: u32,
}

impl MessageHeader {
    const LEN: usize = 16;

    pub(super) fn read(bytes: &[u8]) -> Option<Self> {
        let header = bytes.first_chunk::<{ Self::LEN }>()?;
        let length = u32::from_ne_bytes([header[0], header[1], header[2], header[3]]) as usize;
        (Self::LEN..=bytes.len()).contains(&length).then(|| Self {
            length,
            kind: u16::from_ne_bytes([header[4], header[5]]),
            sequence: u32::from_ne_bytes([header[8], header[9], header[10], header[11]]),
        })
    }

    pub(super) fn padding(&self) -> usize {
        self.length.next_multiple_of(4) - self.length
    }

    fn ends_answer(&self) -> bool {
        matches!(self.kind, netlink_packet_core::NLMSG_ERROR | netlink_packet_core::NLMSG_DONE)
    }
}

/// None for an acknowledgement; otherwise the errno with the kernel's own words, when it sent any.
fn refusal(error: &ErrorMessage) -> Option<Failure> {
    let code = error.code?;
    let mut failure = Failure::from(Errno::from_raw(code.get().wrapping_neg()));
    let attributes = error.header.get(QUOTED_HEADER..).unwrap_or_default();
    failure.explanation = NlasIterator::new(attributes).filter_map(Result::ok).find_map(|nla| text_of(&nla));
    Some(failure)
}

fn text_of(nla: &NlaBuffer<&[u8]>) -> Option<String> {
    let nla = DefaultNla::parse(nla).ok().filter(|nla| nla.kind() == ERROR_TEXT)?;
    let mut text = vec![0; nla.value_len()];
    nla.emit_value(&mut text);
    Some(String::from_utf8_lossy(&text).trim_end_matches('\0').to_owned())
}

fn uninterrupted<T>(mut call: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    loop {
        match call() {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            result => return result,
        }
    }
}

#[cfg(test)]
mod tests {
    use netlink_packet_core::{Emitable, NLMSG_DONE, NLMSG_ERROR};
    use netlink_packet_route::RouteNetlinkMessage;
    use netlink_packet_route::link::{LinkAttribute, LinkMessage};

    use super::*;

    const NEW_LINK: u16 = 16;
    const SEQUENCE: u32 = 7;

    fn message(kind: u16, flags: u16, sequence: u32, payload: &[u8]) -> Vec<u8> {
        let mut bytes = (16 + payload.len() as u32).to_ne_bytes().to_vec();
        bytes.extend(kind.to_ne_bytes());
        bytes.extend(flags.to_ne_bytes());
        bytes.extend(sequence.to_ne_bytes());
        bytes.extend([0; 4]);
        bytes.extend(payload);
        bytes.resize(bytes.len().next_multiple_of(4), 0);
        bytes
    }

    fn link(flags: u16, sequence: u32) -> Vec<u8> {
        let mut inner = LinkMessage::default();
        inner.attributes.push(LinkAttribute::IfName("eth0".to_owned()));
        let mut payload = vec![0; inner.buffer_len()];
        inner.emit(&mut payload);
        message(NEW_LINK, flags, sequence, &payload)
    }

    fn refused(code: i32, text: &str) -> Vec<u8> {
        let mut payload = code.to_ne_bytes().to_vec();
        payload.extend([0; QUOTED_HEADER]);
        let mut value = text.as_bytes().to_vec();
        value.push(0);
        let nla = DefaultNla::new(ERROR_TEXT, value);
        let at = payload.len();
        payload.resize(at + nla.buffer_len(), 0);
        nla.emit(&mut payload[at..]);
        message(NLMSG_ERROR, 0, SEQUENCE, &payload)
    }

    fn read(datagram: &[u8]) -> (Progress, Answer<RouteNetlinkMessage>, Option<Failure>) {
        let mut answer = Answer { messages: Vec::new(), torn: false };
        let mut failure = None;
        let progress = read_datagram(datagram, SEQUENCE, &mut answer, &mut failure);
        (progress, answer, failure)
    }

    #[test]
    fn an_answer_ends_with_done_or_an_acknowledgement() {
        for (kind, payload) in [(NLMSG_DONE, &[0; 4][..]), (NLMSG_ERROR, &[0; 20][..])] {
            let datagram = [link(0, SEQUENCE), link(0, SEQUENCE)].concat();
            let (progress, answer, failure) = read(&datagram);
            assert!(progress == Progress::More && failure.is_none());
            assert_eq!(answer.messages.len(), 2);
            let (progress, answer, failure) = read(&[datagram, message(kind, 0, SEQUENCE, payload)].concat());
            assert!(progress == Progress::End && failure.is_none() && !answer.torn);
            assert_eq!(answer.messages.len(), 2);
        }
    }

    #[test]
    fn a_refusal_carries_the_errno_and_the_kernels_words() {
        let (progress, _, failure) = read(&refused(-17, "Name not unique"));
        let failure = failure.unwrap();
        assert_eq!((progress, failure.kind), (Progress::End, ErrorKind::Exists));
        assert_eq!(failure.explanation.as_deref(), Some("Name not unique"));
        let (_, _, failure) = read(&message(NLMSG_DONE, 0, SEQUENCE, &(-1i32).to_ne_bytes()));
        assert_eq!(failure.unwrap().kind, ErrorKind::NotPermitted);
        // The most negative code has no positive counterpart.
        let (_, _, failure) = read(&refused(i32::MIN, ""));
        assert!(matches!(failure.unwrap().kind, ErrorKind::Errno(_)));
    }

    #[test]
    fn messages_of_another_request_are_passed_over() {
        let (progress, answer, _) = read(&[link(0, 6), message(NLMSG_DONE, 0, 6, &[0; 4]), link(0, SEQUENCE)].concat());
        assert_eq!((progress, answer.messages.len()), (Progress::More, 1));
    }

    #[test]
    fn a_dump_that_was_disturbed_is_noticed() {
        let (_, answer, _) = read(&[link(0, SEQUENCE), link(NLM_F_DUMP_INTR, SEQUENCE)].concat());
        assert!(answer.torn);
    }

    #[test]
    fn an_undecodable_message_fails_the_answer_but_is_stepped_over() {
        let short = message(NEW_LINK, 0, SEQUENCE, &[0; 3]);
        let (progress, answer, failure) =
            read(&[short, link(0, SEQUENCE), message(NLMSG_DONE, 0, SEQUENCE, &[0; 4])].concat());
        assert_eq!((progress, answer.messages.len()), (Progress::End, 1));
        assert_eq!(failure.unwrap().kind, ErrorKind::Undecodable);
    }

    #[test]
    fn a_datagram_cut_or_lying_anywhere_never_panics() {
        let whole = [link(0, SEQUENCE), refused(-17, "Name not unique")].concat();
        for length in 0..whole.len() {
            read(&whole[..length]);
        }
        for at in 0..whole.len() {
            for value in [0, 1, 3, 15, 0x7f, 0x80, 0xff] {
                let mut lying = whole.clone();
                lying[at] = value;
                read(&lying);
            }
        }
    }
}
