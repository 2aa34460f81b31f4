//! A blocking client of the agent's socket.

use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::net::sockopt::{self, Timeout};
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, connect, socket_with};

use crate::frame::{self, FrameError};
use crate::message::{Envelope, Request, Response};

/// How long to wait for the agent to take the connection.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// How long to wait for the agent's whole answer.
pub const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);

/// Why the agent gave no answer.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// Nobody listens there, or the path is not a usable socket.
    #[error("cannot connect to sluiced at {socket}: {source}; is sluiced running on this node?")]
    Connect {
        /// The socket's path.
        socket: PathBuf,
        /// The kernel's reason.
        source: io::Error,
    },
    /// Somebody else listens there: what such an agent says of pods cannot be believed.
    #[error(
        "the socket {socket} belongs to user {uid} and neither to root nor to user {own}; remove it and start sluiced"
    )]
    Foreign {
        /// The socket's path.
        socket: PathBuf,
        /// Who listens.
        uid: u32,
        /// Who we are.
        own: u32,
    },
    /// The answer did not come in time.
    #[error("sluiced at {socket} did not answer within {timeout:?}")]
    Timeout {
        /// The socket's path.
        socket: PathBuf,
        /// The time waited.
        timeout: Duration,
    },
    /// The connection broke or the answer makes no sense.
    #[error("exchange with sluiced at {socket} failed: {source}")]
    Exchange {
        /// The socket's path.
        socket: PathBuf,
        /// What went wrong.
        source: FrameError,
    },
}

/// A client of one agent. Each call makes a connection of its own.
#[derive(Debug, Clone)]
pub struct Client {
    socket: PathBuf,
    connect_timeout: Duration,
    answer_timeout: Duration,
}

impl Client {
    /// A client of the agent that listens at `socket`.
    pub fn new(socket: impl Into<PathBuf>) -> Self {
        Self { socket: socket.into(), connect_timeout: CONNECT_TIMEOUT, answer_timeout: ANSWER_TIMEOUT }
    }

    /// A client of the agent with this run directory.
    pub fn in_run_dir(run_dir: &Path) -> Self {
        Self::new(run_dir.join(crate::SOCKET_NAME))
    }

    /// The same client with another bound on the whole exchange.
    #[must_use]
    pub fn with_answer_timeout(mut self, timeout: Duration) -> Self {
        self.answer_timeout = timeout;
        self
    }

    /// Sends `request` and waits for the answer, at most the answer timeout.
    pub fn call(&self, request: Request) -> Result<Response, ClientError> {
        let stream = self.connect().map_err(|source| ClientError::Connect { socket: self.socket.clone(), source })?;
        self.check_listener(&stream)?;
        let mut stream = Bounded { stream, deadline: Instant::now() + self.answer_timeout };
        frame::write(&mut stream, &Envelope::new(request), frame::MAX_REQUEST)
            .and_then(|()| frame::read(&mut stream, frame::MAX_ANSWER))
            .map_err(|source| self.exchange_error(source))
    }

    /// A send timeout set before `connect` bounds the wait for a place in the listener's backlog
    /// (`unix_stream_connect`, net/unix/af_unix.c); std has no such call.
    fn connect(&self) -> io::Result<UnixStream> {
        let address = SocketAddrUnix::new(self.socket.as_path())?;
        let fd = socket_with(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None)?;
        sockopt::set_socket_timeout(&fd, Timeout::Send, Some(self.connect_timeout))?;
        connect(&fd, &address)?;
        Ok(UnixStream::from(fd))
    }

    /// The credentials are those of the one who called `listen` (unix(7), SO_PEERCRED).
    fn check_listener(&self, stream: &UnixStream) -> Result<(), ClientError> {
        let socket = || self.socket.clone();
        let peer = sockopt::socket_peercred(stream)
            .map_err(|error| ClientError::Connect { socket: socket(), source: error.into() })?;
        let (uid, own) = (peer.uid.as_raw(), rustix::process::geteuid().as_raw());
        if is_trusted(uid, own) { Ok(()) } else { Err(ClientError::Foreign { socket: socket(), uid, own }) }
    }

    fn exchange_error(&self, source: FrameError) -> ClientError {
        let socket = self.socket.clone();
        match source {
            FrameError::Io(e) if matches!(e.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => {
                ClientError::Timeout { socket, timeout: self.answer_timeout }
            }
            source => ClientError::Exchange { socket, source },
        }
    }
}

fn is_trusted(listener: u32, own: u32) -> bool {
    listener == 0 || listener == own
}

/// A stream whose every read and write ends by one deadline, so that an agent that dribbles bytes cannot hold us.
struct Bounded {
    stream: UnixStream,
    deadline: Instant,
}

impl Bounded {
    fn remaining(&self) -> io::Result<Duration> {
        let left = self.deadline.saturating_duration_since(Instant::now());
        if left.is_zero() { Err(io::ErrorKind::TimedOut.into()) } else { Ok(left) }
    }
}

impl Read for Bounded {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        self.stream.set_read_timeout(Some(self.remaining()?))?;
        self.stream.read(into)
    }
}

impl Write for Bounded {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.stream.set_write_timeout(Some(self.remaining()?))?;
        self.stream.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.stream.flush()
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixListener;
    use std::thread;

    use super::*;

    #[test]
    fn nobody_there_is_a_connect_error() {
        let dir = tempfile::tempdir().unwrap();
        let client = Client::in_run_dir(dir.path());
        assert!(matches!(client.call(Request::Status), Err(ClientError::Connect { .. })));
    }

    #[test]
    fn a_path_too_long_for_a_socket_is_a_connect_error() {
        let client = Client::new(format!("/{}", "x".repeat(200)));
        assert!(matches!(client.call(Request::Status), Err(ClientError::Connect { .. })));
    }

    #[test]
    fn only_root_and_ones_own_user_are_trusted_to_listen() {
        assert!(is_trusted(0, 5) && is_trusted(5, 5) && is_trusted(0, 0));
        assert!(!is_trusted(5, 0) && !is_trusted(6, 5));
    }

    #[test]
    fn a_silent_agent_is_a_timeout() {
        let dir = tempfile::tempdir().unwrap();
        let _listener = UnixListener::bind(dir.path().join(crate::SOCKET_NAME)).unwrap();
        let client = Client::in_run_dir(dir.path()).with_answer_timeout(Duration::from_millis(20));
        assert!(matches!(client.call(Request::Status), Err(ClientError::Timeout { .. })));
    }

    #[test]
    fn an_agent_that_hangs_up_or_talks_nonsense_is_an_exchange_error() {
        let dir = tempfile::tempdir().unwrap();
        let listener = UnixListener::bind(dir.path().join(crate::SOCKET_NAME)).unwrap();
        let server = thread::spawn(move || {
            for answer in [b"".as_slice(), b"\x01\0\0\0x", b"\xff\xff\xff\xff"] {
                let (mut stream, _) = listener.accept().unwrap();
                let _: Envelope = frame::read(&mut stream, frame::MAX_REQUEST).unwrap();
                stream.write_all(answer).unwrap();
            }
        });
        for _ in 0..3 {
            let failed = Client::in_run_dir(dir.path()).call(Request::Status);
            assert!(matches!(failed, Err(ClientError::Exchange { .. })), "{failed:?}");
        }
        server.join().unwrap();
    }
}
