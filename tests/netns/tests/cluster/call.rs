//! Calls of a client, and what became of them.

use std::io::{self, BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpStream, UdpSocket};
use std::time::Duration;

use sluice_netns::wait_for;

use crate::place::Place;

/// How long an answer may take that is to come. On a loaded machine a test is to be slow, not red.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long silence has to last to be called that. The counters of drops are what shows it.
const SILENCE: Duration = Duration::from_millis(250);
/// For how long an answer is waited for at first where it is asked for again and again: while what it comes from is not there,
/// most get none.
const FIRST_TRY: Duration = Duration::from_millis(300);
/// The longest such time.
const LAST_TRY: Duration = Duration::from_secs(5);
/// How often a datagram is sent that is to be answered. Beside one that is lost there are those of which the sender hears that
/// they are too long for the way: of each of its fragments.
const DATAGRAMS: usize = 4;

/// How long each try may take of those that are made until one is answered: longer every time, for on a loaded machine no
/// short one may ever do.
struct Tries(Duration);

impl Tries {
    fn new() -> Self {
        Self(FIRST_TRY)
    }

    fn next(&mut self) -> Duration {
        let bound = self.0;
        self.0 = LAST_TRY.min(2 * bound);
        bound
    }
}

/// Who answered a client, and as whom it saw the client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) server: String,
    pub(crate) seen: SocketAddr,
}

impl Answer {
    fn parse(line: &str) -> io::Result<Self> {
        let parsed = line.trim().split_once(' ').and_then(|(server, seen)| Some((server, seen.parse().ok()?)));
        let (server, seen) = parsed.ok_or_else(|| io::Error::new(ErrorKind::InvalidData, line.to_owned()))?;
        Ok(Self { server: server.to_owned(), seen })
    }
}

/// How a call ended that was to fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Failed {
    /// Someone said so: a TCP reset, or an ICMP error.
    Refused,
    /// Someone had taken the TCP connection, and ended it before an answer came: a backend went in between.
    CutOff,
    /// Nobody said anything.
    Silent,
}

impl Failed {
    /// `None` for what no test asks for, such as an ICMP error about a host: what is waited for may be like that on its way.
    fn of(error: &io::Error) -> Option<Self> {
        match error.kind() {
            ErrorKind::ConnectionRefused => Some(Self::Refused),
            ErrorKind::ConnectionReset | ErrorKind::UnexpectedEof => Some(Self::CutOff),
            ErrorKind::TimedOut | ErrorKind::WouldBlock => Some(Self::Silent),
            _ => None,
        }
    }
}

/// A TCP connection that stays open.
#[derive(Debug)]
pub(crate) struct Connection {
    pub(crate) answer: Answer,
    pub(crate) stream: BufReader<TcpStream>,
}

impl Connection {
    /// Sends a message and reads it back.
    pub(crate) fn exchange(&mut self, message: &[u8]) -> io::Result<()> {
        self.stream.get_mut().write_all(message)?;
        let mut back = vec![0; message.len()];
        self.stream.read_exact(&mut back)?;
        if back == message { Ok(()) } else { Err(ErrorKind::InvalidData.into()) }
    }
}

impl Place {
    /// Opens a TCP connection and reads the greeting.
    pub(crate) fn connect(&self, to: SocketAddr) -> io::Result<Connection> {
        self.connect_within(to, PATIENCE)
    }

    /// The same when it takes no longer than this.
    pub(crate) fn connect_within(&self, to: SocketAddr, bound: Duration) -> io::Result<Connection> {
        let stream = self.inside(|| TcpStream::connect_timeout(&to, bound)).map_err(refused)?;
        stream.set_read_timeout(Some(bound))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        stream.set_nodelay(true)?;
        let mut stream = BufReader::new(stream);
        let mut line = String::new();
        if stream.read_line(&mut line)? == 0 {
            return Err(ErrorKind::UnexpectedEof.into());
        }
        stream.get_ref().set_read_timeout(Some(PATIENCE))?;
        Ok(Connection { answer: Answer::parse(&line)?, stream })
    }

    /// Who answers over TCP.
    pub(crate) fn tcp(&self, to: SocketAddr) -> Answer {
        match self.connect(to) {
            Ok(connection) => connection.answer,
            Err(error) => panic!("{} to {to}: {error}", self.name),
        }
    }

    /// Waits until somebody answers over TCP: objects take a moment to be in force.
    pub(crate) fn await_tcp(&self, to: SocketAddr) -> Answer {
        let mut tries = Tries::new();
        wait_for(&format!("{} to be answered by {to}", self.name), || {
            Some(self.connect_within(to, tries.next()).ok()?.answer)
        })
        .unwrap_or_else(|error| panic!("{error}"))
    }

    /// How a TCP connection fails, which it must. Only silence may be what is asked for: a refusal may be late, and is waited
    /// for by [`Place::await_tcp_fails`].
    pub(crate) fn tcp_fails(&self, to: SocketAddr) -> Failed {
        match self.connect_within(to, SILENCE) {
            Ok(connection) => panic!("{} to {to}: {:?} answers", self.name, connection.answer),
            Err(error) => failed(&error),
        }
    }

    /// Whether nobody says anything to a TCP connection.
    pub(crate) fn is_silent(&self, to: SocketAddr) -> bool {
        self.connect_within(to, SILENCE).is_err_and(|error| Failed::of(&error) == Some(Failed::Silent))
    }

    /// Waits until TCP connections fail in this way. Silence is believed when it comes twice: an answer may be late once. Where
    /// something is counted, `Cluster::await_silence` is surer.
    pub(crate) fn await_tcp_fails(&self, to: SocketAddr, how: Failed) {
        let mut tries = Tries::new();
        let fails = |bound| self.connect_within(to, bound).is_err_and(|error| Failed::of(&error) == Some(how));
        let found = wait_for(&format!("{} to find {to} {how:?}", self.name), || {
            let is_so = match how {
                Failed::Silent => self.is_silent(to) && self.is_silent(to),
                _ => fails(tries.next()),
            };
            is_so.then_some(())
        });
        found.unwrap_or_else(|error| panic!("{error}"));
    }

    /// Waits until datagrams are refused.
    pub(crate) fn await_udp_refused(&self, to: SocketAddr) {
        let mut tries = Tries::new();
        let refused = wait_for(&format!("{} to have a datagram refused by {to}", self.name), || {
            let error = ask(&self.udp_socket(to, 0), b"anyone?", tries.next()).err()?;
            (Failed::of(&error) == Some(Failed::Refused)).then_some(())
        });
        refused.unwrap_or_else(|error| panic!("{error}"));
    }

    /// A UDP socket that speaks with one address only, from `port` (0 for any) of the address it has of that family.
    pub(crate) fn udp_socket(&self, to: SocketAddr, port: u16) -> UdpSocket {
        self.udp_socket_from(SocketAddr::new(self.like(to), port), to)
    }

    /// The same from any address.
    pub(crate) fn udp_socket_from(&self, from: SocketAddr, to: SocketAddr) -> UdpSocket {
        let made = self.inside(|| {
            let socket = UdpSocket::bind(from)?;
            socket.connect(to)?;
            io::Result::Ok(socket)
        });
        made.unwrap_or_else(|error| panic!("{} from {from} to {to}: {error}", self.name))
    }

    /// Who answers a datagram of `length` bytes, whose content comes back whole. Sent a few times: it may be lost.
    pub(crate) fn udp(&self, to: SocketAddr, length: usize) -> Answer {
        let socket = self.udp_socket(to, 0);
        let first = ask(&socket, &pattern(length), SILENCE);
        let answer =
            (1..DATAGRAMS).fold(first, |answer, _| answer.or_else(|_| ask(&socket, &pattern(length), LAST_TRY)));
        answer.unwrap_or_else(|error| panic!("{} to {to}, {length} bytes: {error}", self.name))
    }

    /// Waits until somebody answers a datagram of `length` bytes.
    pub(crate) fn await_udp(&self, to: SocketAddr, length: usize) -> Answer {
        let mut tries = Tries::new();
        let answer = wait_for(&format!("{} to have a datagram answered by {to}", self.name), || {
            ask(&self.udp_socket(to, 0), &pattern(length), tries.next()).ok()
        });
        answer.unwrap_or_else(|error| panic!("{error}"))
    }

    /// How a datagram fails, which it must. As with TCP, only silence may be what is asked for.
    pub(crate) fn udp_fails(&self, to: SocketAddr) -> Failed {
        match ask(&self.udp_socket(to, 0), b"anyone?", SILENCE) {
            Ok(answer) => panic!("{} to {to}: {answer:?} answers", self.name),
            Err(error) => failed(&error),
        }
    }

    /// How a datagram from one address fails, which it must.
    pub(crate) fn udp_fails_from(&self, from: IpAddr, to: SocketAddr) -> Failed {
        match ask(&self.udp_socket_from(SocketAddr::new(from, 0), to), b"anyone?", SILENCE) {
            Ok(answer) => panic!("{} from {from} to {to}: {answer:?} answers", self.name),
            Err(error) => failed(&error),
        }
    }
}

/// Of a connection that was refused poll(2) may say that it is over when its error is not yet there (seen one time in a thousand
/// with Linux 6.18). The error that std makes of it then has no number.
fn refused(error: io::Error) -> io::Error {
    let is_unnamed = error.raw_os_error().is_none() && error.kind() != ErrorKind::TimedOut;
    if is_unnamed { ErrorKind::ConnectionRefused.into() } else { error }
}

fn failed(error: &io::Error) -> Failed {
    Failed::of(error).unwrap_or_else(|| panic!("neither refused, cut off nor silent: {error}"))
}

/// Sends a datagram and waits for its answer, which repeats it.
pub(crate) fn ask(socket: &UdpSocket, message: &[u8], bound: Duration) -> io::Result<Answer> {
    socket.set_read_timeout(Some(bound))?;
    socket.send(message)?;
    let mut block = vec![0; 65536];
    let length = socket.recv(&mut block)?;
    let end = block[..length].iter().position(|byte| *byte == b'\n').ok_or(ErrorKind::InvalidData)?;
    if &block[end + 1..length] != message {
        return Err(io::Error::new(ErrorKind::InvalidData, "the answer repeats something else"));
    }
    Answer::parse(&String::from_utf8_lossy(&block[..end]))
}

/// Bytes of which no two neighbours' order could be changed unseen.
pub(crate) fn pattern(length: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let step = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 32) as u8
    };
    std::iter::repeat_with(step).take(length).collect()
}
