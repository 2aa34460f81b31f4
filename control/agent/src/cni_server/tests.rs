//! The socket, spoken to by clients good and bad.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream as Blocking;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};

use serde_json::json;
use sluice_cni_protocol::{Client, ClientError, DEFAULT_RUN_DIR, Envelope, PROTOCOL_VERSION, RuntimeConfig};

use super::*;

/// Does what the container's name says.
#[derive(Default)]
struct Scripted {
    /// Tells of a slow ADD that has begun, and waits for the word to end it.
    slow: Option<Mutex<(Sender<()>, Receiver<()>)>>,
    calls: AtomicUsize,
}

impl Calls for Scripted {
    fn add(&self, request: &CniRequest, _: &NetworkConfig, _: &AddSettings) -> Result<AddResult, CniError> {
        self.calls.fetch_add(1, Ordering::Relaxed);
        match request.attachment.container_id.as_str() {
            "slow" => {
                let (begun, end) = &*self.slow.as_ref().unwrap().lock().unwrap();
                begun.send(()).unwrap();
                end.recv().unwrap();
                Ok(AddResult::default())
            }
            "panic" => panic!("scripted"),
            "full" => Err(CniError::new(code::NO_ADDRESS, "full")),
            _ => Ok(serde_json::from_value(json!({"ips": [{"address": "10.0.0.2/32", "interface": 0}]})).unwrap()),
        }
    }

    fn del(&self, _: &CniRequest) -> Result<(), CniError> {
        self.calls.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }

    fn check(&self, _: &CniRequest, _: &NetworkConfig, told: &AddResult, _: &RuntimeConfig) -> Result<(), CniError> {
        if told.ips.is_empty() { Err(CniError::new(code::CHECK_FAILED, "no address")) } else { Ok(()) }
    }

    fn collect_garbage(&self, request: &GcRequest) -> Result<(), CniError> {
        if request.valid.is_empty() { Ok(()) } else { Err(CniError::new(code::GC_FAILED, "stuck")) }
    }

    fn availability(&self) -> Result<(), CniError> {
        Err(CniError::new(code::NOT_AVAILABLE, "no podCIDRs"))
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
        let server = Server::start(listen(&path).unwrap(), Arc::new(Scripted::default()));
        let done = tokio::task::spawn_blocking(move || client(&path)).await.unwrap();
        assert!(server.finish(CLIENT_TIMEOUT).await);
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
fn checks_garbage_and_availability_are_asked_of_the_agent() {
    against_server(|run_dir| {
        let client = Client::in_run_dir(run_dir);
        let mut known = config();
        let missing = refusal(client.call(request("CHECK", "c", known.clone())));
        assert!(missing.code == code::INVALID_CONFIG && missing.msg.contains("prevResult"), "{missing}");
        known["prevResult"] = json!({"ips": []});
        assert_eq!(refusal(client.call(request("CHECK", "c", known.clone()))).code, code::CHECK_FAILED);
        known["prevResult"] = json!({"ips": [{"address": "10.9.0.1/32"}]});
        assert_eq!(client.call(request("CHECK", "c", known)).unwrap(), Response::Ok(Value::Null));
        let gc = |valid: Value| Request::Gc(serde_json::from_value(json!({"network": "n", "valid": valid})).unwrap());
        assert_eq!(client.call(gc(json!([]))).unwrap(), Response::Ok(Value::Null));
        let stuck = client.call(gc(json!([{"containerId": "c", "ifname": "eth0"}])));
        assert_eq!(refusal(stuck).code, code::GC_FAILED);
        assert_eq!(refusal(client.call(Request::Availability)).code, code::NOT_AVAILABLE);
    });
}

#[test]
fn availability_is_told_while_all_places_are_taken() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    runtime.block_on(async {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let mut client = theirs.into_std().unwrap();
        client.set_nonblocking(false).unwrap();
        frame::write(&mut client, &Envelope::new(Request::Availability), frame::MAX_REQUEST).unwrap();
        exchange(ours, Arc::new(Scripted::default()), &Semaphore::new(0)).await.unwrap();
        let answer: Response = frame::read(&mut client, frame::MAX_ANSWER).unwrap();
        assert_eq!(refusal(Ok(answer)).code, code::NOT_AVAILABLE);
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
        // A shim of another release may ask for what this agent has never heard of.
        for (version, request) in [(1, "status"), (PROTOCOL_VERSION + 1, "dance")] {
            let mut stream = Blocking::connect(run_dir.join(SOCKET_NAME)).unwrap();
            let sent = json!({"version": version, "request": request});
            frame::write(&mut stream, &sent, frame::MAX_REQUEST).unwrap();
            let answer: Response = frame::read(&mut stream, frame::MAX_ANSWER).unwrap();
            let refused = refusal(Ok(answer));
            assert_eq!(refused.code, code::TRY_AGAIN_LATER);
            assert!(refused.msg.contains(&format!("version {version}")) && refused.msg.contains("one release"));
        }
        let mut stream = Blocking::connect(run_dir.join(SOCKET_NAME)).unwrap();
        frame::write(&mut stream, &json!({"version": PROTOCOL_VERSION, "request": "dance"}), frame::MAX_REQUEST)
            .unwrap();
        let answer: Response = frame::read(&mut stream, frame::MAX_ANSWER).unwrap();
        assert_eq!(refusal(Ok(answer)).code, code::DECODE_FAILURE);
    });
}

#[test]
fn only_root_and_the_agents_own_user_may_call() {
    assert!(may_call(0, 0) && may_call(0, 5) && may_call(5, 5));
    assert!(!may_call(6, 5) && !may_call(6, 0));
}

#[test]
fn a_lying_length_and_garbage_are_refused_at_once() {
    against_server(|run_dir| {
        for sent in [&(1u32 << 30).to_le_bytes()[..], b"\xff\xff\xff\xff", b"\x05\0\0\0\xff\xfe{[\0", b"\0\0\0\0"] {
            let mut stream = Blocking::connect(run_dir.join(SOCKET_NAME)).unwrap();
            stream.write_all(sent).unwrap();
            let answer: Response = frame::read(&mut stream, frame::MAX_ANSWER).unwrap();
            assert_eq!(refusal(Ok(answer)).code, code::DECODE_FAILURE, "{sent:?}");
        }
        // One that ends in the middle of what it announced.
        let mut stream = Blocking::connect(run_dir.join(SOCKET_NAME)).unwrap();
        stream.write_all(b"\x40\0\0\0{").unwrap();
        stream.shutdown(std::net::Shutdown::Write).unwrap();
        let answer: Response = frame::read(&mut stream, frame::MAX_ANSWER).unwrap();
        assert_eq!(refusal(Ok(answer)).code, code::DECODE_FAILURE);
    });
}

#[test]
fn more_silent_clients_than_there_is_room_for_lock_nobody_out() {
    against_server(|run_dir| {
        // More than can be open at once, fewer than the kernel's backlog holds besides.
        let connect = |_| Blocking::connect(run_dir.join(SOCKET_NAME)).unwrap();
        let mut silent: Vec<Blocking> = (0..CONNECTIONS + 8).map(connect).collect();
        assert!(Client::in_run_dir(run_dir).call(Request::Status).is_ok());
        // The first of them was closed to make room.
        assert_eq!(silent[0].read(&mut [0]).unwrap(), 0);
    });
}

#[test]
fn a_call_under_way_is_answered_when_the_server_is_stopped() {
    let dir = tempfile::tempdir().unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let ((begun, has_begun), (end, ended)) = (channel(), channel());
    let scripted = Scripted { slow: Some(Mutex::new((begun, ended))), ..Scripted::default() };
    let path = dir.path().to_owned();
    runtime.block_on(async {
        let server = Server::start(listen(&path).unwrap(), Arc::new(scripted));
        let client = Client::in_run_dir(&path);
        let call = tokio::task::spawn_blocking(move || client.call(request("ADD", "slow", config())));
        tokio::task::spawn_blocking(move || has_begun.recv().unwrap()).await.unwrap();
        let finish = tokio::spawn(server.finish(4 * CLIENT_TIMEOUT));
        end.send(()).unwrap();
        assert!(finish.await.unwrap());
        assert!(matches!(call.await.unwrap(), Ok(Response::Ok(_))));
    });
}

#[test]
fn an_add_that_the_runtime_has_given_up_is_not_begun_and_a_del_is() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    for (command, wanted) in [("ADD", 0), ("DEL", 1)] {
        let calls = Arc::new(Scripted::default());
        runtime.block_on(async {
            let (ours, theirs) = UnixStream::pair().unwrap();
            let mut client = theirs.into_std().unwrap();
            client.set_nonblocking(false).unwrap();
            let envelope = Envelope::new(request(command, "c", config()));
            frame::write(&mut client, &envelope, frame::MAX_REQUEST).unwrap();
            drop(client);
            let places = Semaphore::new(1);
            assert!(exchange(ours, Arc::clone(&calls), &places).await.is_err());
        });
        assert_eq!(calls.calls.load(Ordering::Relaxed), wanted, "{command}");
    }
}

#[test]
fn an_answer_that_is_too_long_is_told() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let (mut ours, theirs) = UnixStream::pair().unwrap();
        reply(&mut ours, &Response::Ok(Value::String("x".repeat(frame::MAX_ANSWER)))).await.unwrap();
        let mut client = theirs.into_std().unwrap();
        client.set_nonblocking(false).unwrap();
        let answer: Response = frame::read(&mut client, frame::MAX_ANSWER).unwrap();
        assert!(refusal(Ok(answer)).msg.contains("over the limit"));
    });
}
