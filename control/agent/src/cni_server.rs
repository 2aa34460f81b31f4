//! The agent's socket: takes requests from sluice-cni and the command line, one a connection.

use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use sluice_cni_protocol::{
    AddResult, AddSettings, CniError, CniRequest, Command, GcRequest, NetworkConfig, Request, Response, RuntimeConfig,
    SOCKET_NAME, code, frame,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tracing::{debug, warn};

mod answer;

use self::answer::{Received, answer, internal_error, other_version, read_request};

/// Calls carried out at once; more wait. Each may hold a thread for the length of its kernel calls.
const CALLS_AT_ONCE: u32 = 64;
/// Connections at once; more wait in the kernel's backlog. So the memory of their requests is bounded.
const CONNECTIONS: usize = 256;
/// How long a client may take to send its request, or to take its answer.
const CLIENT_TIMEOUT: Duration = Duration::from_secs(5);
/// How long to wait before the next try when the process is out of descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// What the requests are about. The calls block; they are made on threads of their own.
pub(crate) trait Calls: Send + Sync + 'static {
    /// Attaches a container; the result has nothing of an earlier plugin in it.
    fn add(&self, request: &CniRequest, config: &NetworkConfig, settings: &AddSettings) -> Result<AddResult, CniError>;
    /// Detaches a container; nothing there is a success.
    fn del(&self, request: &CniRequest) -> Result<(), CniError>;
    /// Compares a container with what `told` says that ADD left, and with what `asked` says that ADD was given, as far as it does.
    fn check(
        &self,
        request: &CniRequest,
        config: &NetworkConfig,
        told: &AddResult,
        asked: &RuntimeConfig,
    ) -> Result<(), CniError>;
    /// Removes all of a network but what is valid.
    fn collect_garbage(&self, request: &GcRequest) -> Result<(), CniError>;
    /// Whether pods can be attached now. Does not wait for other calls.
    fn availability(&self) -> Result<(), CniError>;
    /// The status document.
    fn status(&self) -> Value;
}

/// Why the socket cannot be had.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen at {path}: {source}; is runDir writable, and its path shorter than 108 bytes?")]
pub(crate) struct ListenError {
    path: PathBuf,
    source: io::Error,
}

/// Listens in `run_dir`, which is ours by its lock: a socket file that is there was left by an agent that is gone.
pub(crate) fn listen(run_dir: &Path) -> Result<UnixListener, ListenError> {
    let path = run_dir.join(SOCKET_NAME);
    let bound = match fs::remove_file(&path) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => Err(e),
        _ => UnixListener::bind(&path),
    };
    bound
        .and_then(|listener| fs::set_permissions(&path, Permissions::from_mode(0o600)).map(|()| listener))
        .map_err(|source| ListenError { path, source })
}

/// The server of the socket.
pub(crate) struct Server {
    accepting: JoinHandle<()>,
    /// A place is taken from before a call until its answer has been sent.
    places: Arc<Semaphore>,
}

impl Server {
    /// Serves requests from now on.
    pub(crate) fn start(listener: UnixListener, calls: Arc<impl Calls>) -> Self {
        let places = Arc::new(Semaphore::new(CALLS_AT_ONCE as usize));
        let accepting = tokio::spawn(accept(listener, calls, Arc::clone(&places)));
        Self { accepting, places }
    }

    /// Takes no further connection, and waits until the calls under way have been answered, at most `patience`. Returns
    /// whether they were.
    pub(crate) async fn finish(self, patience: Duration) -> bool {
        self.accepting.abort();
        let answered = timeout(patience, self.places.acquire_many(CALLS_AT_ONCE)).await.is_ok();
        // Who is connected already and asks only now is not served any more.
        self.places.close();
        answered
    }
}

async fn accept<C: Calls>(listener: UnixListener, calls: Arc<C>, places: Arc<Semaphore>) {
    let connections = Arc::new(Semaphore::new(CONNECTIONS));
    // Never closed.
    while let Ok(connection) = Arc::clone(&connections).acquire_owned().await {
        match listener.accept().await {
            Ok((stream, _)) => {
                let (calls, places) = (Arc::clone(&calls), Arc::clone(&places));
                tokio::spawn(async move {
                    let _connection = connection;
                    if let Err(error) = exchange(stream, calls, &places).await {
                        debug!(%error, "a client of the agent's socket went away");
                    }
                });
            }
            Err(error) => {
                warn!(%error, "cannot take a connection on the agent's socket");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

async fn exchange<C: Calls>(
    mut stream: UnixStream,
    calls: Arc<C>,
    places: &Semaphore,
) -> Result<(), frame::FrameError> {
    let peer = stream.peer_cred()?.uid();
    if !may_call(peer, rustix::process::geteuid().as_raw()) {
        warn!(uid = peer, "refused a request on the agent's socket");
        let msg = format!("user {peer} may not talk to sluiced; call it as root");
        return reply(&mut stream, &Response::Error(CniError::new(code::IO_FAILURE, msg))).await;
    }
    let request = match timeout(CLIENT_TIMEOUT, receive(&mut stream)).await {
        Ok(Ok(Received::Request(request))) => request,
        Ok(Ok(Received::OtherVersion(version))) => return reply(&mut stream, &other_version(version)).await,
        Ok(Err(error)) => {
            let msg = format!("request to sluiced: {error}");
            return reply(&mut stream, &Response::Error(CniError::new(code::DECODE_FAILURE, msg))).await;
        }
        Err(late) => return Err(io::Error::from(late).into()),
    };
    if request == Request::Availability {
        // It waits in no line: who asks is told at once, also when all places are taken.
        let answered = tokio::task::spawn_blocking(move || answer(&*calls, request)).await;
        return reply(&mut stream, &answered.unwrap_or_else(|_| internal_error())).await;
    }
    // Closed only with the runtime; then the connection is of no use either.
    let Ok(_place) = places.acquire().await else { return Ok(()) };
    if is_add(&request) && has_hung_up(&stream) {
        // The runtime has given it up, and its DEL may have been carried out while this waited.
        return Err(io::Error::from(io::ErrorKind::BrokenPipe).into());
    }
    let answered = tokio::task::spawn_blocking(move || answer(&*calls, request)).await;
    reply(&mut stream, &answered.unwrap_or_else(|_| internal_error())).await
}

async fn reply(stream: &mut UnixStream, response: &Response) -> Result<(), frame::FrameError> {
    let bytes = frame::encode(response, frame::MAX_ANSWER).or_else(|error| {
        let msg = format!("answer of sluiced: {error}");
        frame::encode(&Response::Error(CniError::new(code::IO_FAILURE, msg)), frame::MAX_ANSWER)
    })?;
    Ok(timeout(CLIENT_TIMEOUT, stream.write_all(&bytes)).await.map_err(io::Error::from)??)
}

fn is_add(request: &Request) -> bool {
    matches!(request, Request::Cni(CniRequest { command: Command::Add, .. }))
}

/// A client sends nothing after its request, so all that can be read then is the end.
fn has_hung_up(stream: &UnixStream) -> bool {
    matches!(stream.try_read(&mut [0]), Ok(0))
}

/// The socket's mode already says so; this holds also for a descriptor that was handed on, or a directory shared by
/// mistake.
fn may_call(peer: u32, own: u32) -> bool {
    peer == 0 || peer == own
}

async fn receive(stream: &mut UnixStream) -> Result<Received, frame::FrameError> {
    let mut header = [0; frame::HEADER];
    stream.read_exact(&mut header).await?;
    let length = frame::body_length(header, frame::MAX_REQUEST)?;
    // Memory is taken for what comes, not for what is announced.
    let mut body = Vec::new();
    stream.take(length as u64).read_to_end(&mut body).await?;
    if body.len() < length {
        return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
    }
    read_request(&body)
}

#[cfg(test)]
mod tests;
