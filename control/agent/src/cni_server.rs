//! The agent's socket: takes requests from sluice-cni and the command line, one a connection.

use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use sluice_cni_protocol::{
    AddResult, AddSettings, CniError, CniRequest, Command, Envelope, NetworkConfig, PROTOCOL_VERSION, Request,
    Response, SOCKET_NAME, code, frame,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::Semaphore;
use tokio::time::timeout;
use tracing::{debug, info, warn};

/// Calls carried out at once; more wait. Each may hold a thread for the length of its kernel calls.
const CALLS_AT_ONCE: usize = 64;
/// How long a client may take to send its request, or to take its answer.
const CLIENT_TIMEOUT: Duration = Duration::from_secs(5);
/// How long to wait before the next try when the process is out of descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// What the requests are about. The calls block; they are made on threads of their own.
pub(crate) trait Calls: Send + Sync + 'static {
    /// Attaches a container; the result has nothing of an earlier plugin in it.
    fn add(&self, request: &CniRequest, config: &NetworkConfig) -> Result<AddResult, CniError>;
    /// Detaches a container; nothing there is a success.
    fn del(&self, request: &CniRequest) -> Result<(), CniError>;
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

/// Serves requests until the task is dropped. Calls under way go on to their end.
pub(crate) async fn serve<C: Calls>(listener: UnixListener, calls: Arc<C>) {
    let places = Arc::new(Semaphore::new(CALLS_AT_ONCE));
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                let (calls, places) = (Arc::clone(&calls), Arc::clone(&places));
                tokio::spawn(async move {
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
    let response = if may_call(peer, rustix::process::geteuid().as_raw()) {
        match timeout(CLIENT_TIMEOUT, receive(&mut stream)).await {
            Ok(Ok(envelope)) => {
                // Closed only with the runtime; then the connection is of no use either.
                let Ok(_place) = places.acquire().await else { return Ok(()) };
                let answered = tokio::task::spawn_blocking(move || answer(&*calls, envelope)).await;
                answered.unwrap_or_else(|_| internal_error())
            }
            Ok(Err(error)) => {
                Response::Error(CniError::new(code::DECODE_FAILURE, format!("request to sluiced: {error}")))
            }
            Err(_) => return Ok(()),
        }
    } else {
        warn!(uid = peer, "refused a request on the agent's socket");
        Response::Error(CniError::new(
            code::IO_FAILURE,
            format!("user {peer} may not talk to sluiced; call it as root"),
        ))
    };
    let bytes = frame::encode(&response)?;
    timeout(CLIENT_TIMEOUT, stream.write_all(&bytes)).await.map_err(io::Error::from)??;
    Ok(())
}

/// The socket's mode already says so; this holds also for a descriptor that was handed on, or a directory shared by
/// mistake.
fn may_call(peer: u32, own: u32) -> bool {
    peer == 0 || peer == own
}

async fn receive(stream: &mut UnixStream) -> Result<Envelope, frame::FrameError> {
    let mut header = [0; frame::HEADER];
    stream.read_exact(&mut header).await?;
    let mut body = vec![0; frame::body_length(header)?];
    stream.read_exact(&mut body).await?;
    frame::decode(&body)
}

/// A call that panicked. Its own clean-up has run; the agent goes on.
fn internal_error() -> Response {
    let msg = "sluiced failed on this request; its log has the reason";
    Response::Error(CniError::new(code::TRY_AGAIN_LATER, msg))
}

fn answer(calls: &impl Calls, envelope: Envelope) -> Response {
    if envelope.version != PROTOCOL_VERSION {
        let msg = format!(
            "request in protocol version {}, but this sluiced speaks {PROTOCOL_VERSION}; install sluice-cni and sluiced \
             of one release",
            envelope.version
        );
        return Response::Error(CniError::new(code::TRY_AGAIN_LATER, msg));
    }
    match envelope.request {
        Request::Status => Response::Ok(calls.status()),
        Request::Cni(request) => match cni(calls, &request) {
            Ok(value) => Response::Ok(value),
            Err(error) => {
                info!(attachment = %request.attachment, verb = ?request.command, %error, details = %error.details, "refused");
                Response::Error(error)
            }
        },
    }
}

fn cni(calls: &impl Calls, request: &CniRequest) -> Result<Value, CniError> {
    let config = NetworkConfig::from_value(&request.config)?;
    match request.command {
        Command::Add => {
            let AddSettings { dns, prev_result } = AddSettings::from_value(&request.config)?;
            let ours = AddResult { dns, ..calls.add(request, &config)? };
            let whole = prev_result.unwrap_or_default().extended_by(ours);
            Ok(whole.render(config.cni_version))
        }
        Command::Del => calls.del(request).map(|()| Value::Null),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixStream as Blocking;

    use serde_json::json;
    use sluice_cni_protocol::{Client, ClientError, DEFAULT_RUN_DIR};

    use super::*;

    struct Scripted;

    impl Calls for Scripted {
        fn add(&self, request: &CniRequest, _: &NetworkConfig) -> Result<AddResult, CniError> {
            match request.attachment.container_id.as_str() {
                "panic" => panic!("scripted"),
                "full" => Err(CniError::new(code::NO_ADDRESS, "full")),
                _ => Ok(serde_json::from_value(json!({"ips": [{"address": "10.0.0.2/32", "interface": 0}]})).unwrap()),
            }
        }

        fn del(&self, _: &CniRequest) -> Result<(), CniError> {
            Ok(())
        }

        fn status(&self) -> Value {
            json!({"node": "n"})
        }
    }

    fn request(command: &str, container: &str, config: Value) -> Request {
        let request =
            json!({"command": command, "containerId": container, "ifname": "eth0", "netns": null, "config": config});
        Request::Cni(serde_json::from_value(request).unwrap())
    }

    fn config() -> Value {
        json!({"cniVersion": "0.4.0", "name": "sluice", "runDir": DEFAULT_RUN_DIR})
    }

    /// Runs `client` on a thread against a server in `dir`.
    fn against_server<T: Send + 'static>(client: impl FnOnce(&Path) -> T + Send + 'static) -> T {
        let dir = tempfile::tempdir().unwrap();
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let path = dir.path().to_owned();
        runtime.block_on(async {
            // A file of a dead agent is in the way.
            fs::write(path.join(SOCKET_NAME), b"").unwrap();
            let server = tokio::spawn(serve(listen(&path).unwrap(), Arc::new(Scripted)));
            let done = tokio::task::spawn_blocking(move || client(&path)).await.unwrap();
            server.abort();
            done
        })
    }

    fn refusal(response: Result<Response, ClientError>) -> CniError {
        match response.unwrap() {
            Response::Error(error) => error,
            Response::Ok(value) => panic!("{value}"),
        }
    }

    #[test]
    fn requests_are_answered_in_their_version() {
        against_server(|run_dir| {
            let client = Client::in_run_dir(run_dir);
            let added = client.call(request("ADD", "c", config())).unwrap();
            let Response::Ok(result) = added else { panic!("{added:?}") };
            assert_eq!(result["cniVersion"], "0.4.0");
            assert_eq!(result["ips"][0]["version"], "4");
            assert_eq!(client.call(request("DEL", "c", config())).unwrap(), Response::Ok(Value::Null));
            assert_eq!(client.call(Request::Status).unwrap(), Response::Ok(json!({"node": "n"})));
        });
    }

    #[test]
    fn an_earlier_plugins_result_is_handed_on() {
        against_server(|run_dir| {
            let mut config = config();
            config["prevResult"] =
                json!({"interfaces": [{"name": "x"}], "ips": [{"address": "10.9.0.1/24", "interface": 0}]});
            let Response::Ok(result) = Client::in_run_dir(run_dir).call(request("ADD", "c", config)).unwrap() else {
                panic!("refused")
            };
            assert_eq!(result["ips"][0]["address"], "10.9.0.1/24");
            assert_eq!(result["ips"][1]["interface"], 1);
        });
    }

    #[test]
    fn refusals_and_panics_come_back_as_errors_and_the_server_goes_on() {
        against_server(|run_dir| {
            let client = Client::in_run_dir(run_dir);
            assert_eq!(refusal(client.call(request("ADD", "full", config()))).code, code::NO_ADDRESS);
            assert_eq!(refusal(client.call(request("ADD", "panic", config()))).code, code::TRY_AGAIN_LATER);
            assert_eq!(refusal(client.call(request("ADD", "c", json!({})))).code, code::INCOMPATIBLE_VERSION);
            assert!(client.call(Request::Status).is_ok());
        });
    }

    #[test]
    fn nonsense_and_other_protocol_versions_are_refused() {
        against_server(|run_dir| {
            let mut stream = Blocking::connect(run_dir.join(SOCKET_NAME)).unwrap();
            frame::write(&mut stream, &json!({"version": 2, "request": "status"})).unwrap();
            let answer: Response = frame::read(&mut stream).unwrap();
            assert_eq!(refusal(Ok(answer)).code, code::TRY_AGAIN_LATER);
            let mut stream = Blocking::connect(run_dir.join(SOCKET_NAME)).unwrap();
            frame::write(&mut stream, &json!({"version": 1, "request": "dance"})).unwrap();
            let answer: Response = frame::read(&mut stream).unwrap();
            assert_eq!(refusal(Ok(answer)).code, code::DECODE_FAILURE);
        });
    }

    #[test]
    fn only_root_and_the_agents_own_user_may_call() {
        assert!(may_call(0, 0) && may_call(0, 5) && may_call(5, 5));
        assert!(!may_call(6, 5) && !may_call(6, 0));
    }
}
