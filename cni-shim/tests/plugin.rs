//! The real binary, as a runtime executes it, against a scripted agent.

use std::io::Write;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::thread::{self, JoinHandle};

use serde_json::{Value, json};
use sluice_cni_protocol::{CniError, CniRequest, Envelope, Journal, Request, Response, SOCKET_NAME, frame};
use tempfile::TempDir;

const EVERYTHING: [(&str, &str); 5] = [
    ("CNI_CONTAINERID", "c1"),
    ("CNI_NETNS", "/run/netns/none"),
    ("CNI_IFNAME", "eth0"),
    ("CNI_PATH", "/opt/cni/bin"),
    ("CNI_ARGS", "K8S_POD_NAME=web"),
];

fn plugin(environment: &[(&str, &str)], stdin: &str) -> Output {
    let mut child = Command::new(env!("CARGO_BIN_EXE_sluice-cni"))
        .env_clear()
        .envs(environment.iter().copied())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // The plugin may have refused and gone before it read all of its input.
    let _ = child.stdin.take().unwrap().write_all(stdin.as_bytes());
    child.wait_with_output().unwrap()
}

fn call(command: &str, stdin: &str) -> Output {
    let mut environment = EVERYTHING.to_vec();
    environment.push(("CNI_COMMAND", command));
    plugin(&environment, stdin)
}

fn config(dir: &Path, version: &str) -> String {
    json!({"cniVersion": version, "name": "sluice", "type": "sluice-cni", "runDir": dir, "stateDir": dir}).to_string()
}

/// The error on stdout of a failed call.
fn error(output: &Output) -> CniError {
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    serde_json::from_slice(&output.stdout).unwrap_or_else(|e| panic!("{e}: {output:?}"))
}

/// An agent that gives one connection to `script`.
fn agent<T: Send + 'static>(dir: &TempDir, script: impl FnOnce(UnixStream) -> T + Send + 'static) -> JoinHandle<T> {
    let listener = UnixListener::bind(dir.path().join(SOCKET_NAME)).unwrap();
    thread::spawn(move || script(listener.accept().unwrap().0))
}

fn answering(dir: &TempDir, response: Response) -> JoinHandle<CniRequest> {
    agent(dir, move |mut stream| {
        let envelope: Envelope = frame::read(&mut stream, frame::MAX_REQUEST).unwrap();
        frame::write(&mut stream, &response, frame::MAX_ANSWER).unwrap();
        let Request::Cni(request) = envelope.request else { panic!("not a CNI request") };
        request
    })
}

#[test]
fn version_lists_what_is_supported() {
    for (stdin, named) in
        [("", "1.1.0"), (r#"{"cniVersion":"0.4.0"}"#, "0.4.0"), (r#"{"cniVersion":"9.0.0"}"#, "1.1.0")]
    {
        let output = plugin(&[("CNI_COMMAND", "VERSION")], stdin);
        assert!(output.status.success(), "{output:?}");
        let answer: Value = serde_json::from_slice(&output.stdout).unwrap();
        let wanted = json!({"cniVersion": named, "supportedVersions": ["0.3.1", "0.4.0", "1.0.0", "1.1.0"]});
        assert_eq!(answer, wanted);
    }
}

#[test]
fn verbs_that_are_not_carried_out_are_refused() {
    for verb in ["CHECK", "GC", "STATUS", "NONSENSE"] {
        let refused = error(&call(verb, r#"{"cniVersion":"1.1.0","name":"sluice"}"#));
        assert_eq!(refused.code, 4);
        assert!(refused.msg.contains("ADD, DEL, VERSION"), "{refused}");
    }
}

#[test]
fn missing_variables_are_named() {
    let refused = error(&plugin(&[], "{}"));
    assert_eq!(refused.code, 4);
    assert!(refused.msg.contains("CNI_COMMAND"), "{refused}");
    let refused = error(&plugin(&[("CNI_COMMAND", "ADD"), ("CNI_IFNAME", "")], "{}"));
    assert_eq!(refused.code, 4);
    for name in ["CNI_CONTAINERID", "CNI_NETNS", "CNI_IFNAME"] {
        assert!(refused.msg.contains(name), "{refused}");
    }
}

#[test]
fn bad_configurations_have_the_specified_codes() {
    for verb in ["ADD", "DEL"] {
        for (stdin, code) in [
            ("", 6),
            ("{", 6),
            ("\"text\"", 7),
            (r#"{"cniVersion":"1.0.0"}"#, 7),
            (r#"{"cniVersion":"0.2.0","name":"n"}"#, 1),
        ] {
            assert_eq!(error(&call(verb, stdin)).code, code, "{verb} {stdin}");
        }
        assert_eq!(error(&call(verb, &" ".repeat(600 * 1024))).code, 7);
    }
    assert_eq!(error(&call("ADD", r#"{"cniVersion":"1.0.0"}"#)).cni_version, "1.0.0");
    let foreign_ipam = error(&call("ADD", r#"{"cniVersion":"1.0.0","name":"n","ipam":{"type":"x"}}"#));
    assert_eq!((foreign_ipam.code, foreign_ipam.cni_version.as_str()), (2, "1.0.0"));
    assert!(foreign_ipam.msg.contains("ipam"), "{foreign_ipam}");
}

#[test]
fn an_add_hands_everything_over_and_prints_the_result() {
    let dir = tempfile::tempdir().unwrap();
    let result = json!({"cniVersion": "1.0.0", "ips": [{"address": "10.1.0.2/32"}]});
    let agent = answering(&dir, Response::Ok(result.clone()));
    let stdin = config(dir.path(), "1.0.0");
    let output = call("ADD", &stdin);
    assert!(output.status.success(), "{output:?}");
    assert_eq!(serde_json::from_slice::<Value>(&output.stdout).unwrap(), result);
    let request = serde_json::to_value(agent.join().unwrap()).unwrap();
    let wanted = json!({"command": "ADD", "containerId": "c1", "ifname": "eth0", "netns": "/run/netns/none",
        "args": "K8S_POD_NAME=web", "path": "/opt/cni/bin",
        "config": serde_json::from_str::<Value>(&stdin).unwrap()});
    assert_eq!(request, wanted);
}

#[test]
fn the_agents_refusal_is_printed_in_the_requests_version() {
    for verb in ["ADD", "DEL"] {
        let dir = tempfile::tempdir().unwrap();
        let agent = answering(&dir, Response::Error(CniError::new(102, "no address").with_details("all taken")));
        let refused = error(&call(verb, &config(dir.path(), "0.4.0")));
        assert_eq!((refused.code, refused.cni_version.as_str(), refused.details.as_str()), (102, "0.4.0", "all taken"));
        assert_eq!(Journal::in_state_dir(dir.path()).entries().unwrap().len(), 0, "a refused DEL is not journalled");
        agent.join().unwrap();
    }
}

#[test]
fn a_del_that_succeeds_prints_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let agent = answering(&dir, Response::Ok(Value::Null));
    let output = call("DEL", &config(dir.path(), "1.1.0"));
    assert!(output.status.success() && output.stdout.is_empty(), "{output:?}");
    agent.join().unwrap();
}

#[test]
fn an_add_without_an_agent_is_to_be_tried_again() {
    let dir = tempfile::tempdir().unwrap();
    let refused = error(&call("ADD", &config(dir.path(), "1.1.0")));
    assert_eq!(refused.code, 11);
    assert!(refused.msg.contains(SOCKET_NAME), "{refused}");
}

#[test]
fn an_agent_that_dies_during_the_call_counts_as_away() {
    for (verb, journalled) in [("ADD", 0), ("DEL", 1)] {
        let dir = tempfile::tempdir().unwrap();
        let agent = agent(&dir, |mut stream| drop(frame::read::<Envelope>(&mut stream, frame::MAX_REQUEST).unwrap()));
        let output = call(verb, &config(dir.path(), "1.1.0"));
        if verb == "ADD" {
            assert_eq!(error(&output).code, 11);
        } else {
            assert!(output.status.success() && output.stdout.is_empty(), "{output:?}");
        }
        assert_eq!(Journal::in_state_dir(dir.path()).entries().unwrap().len(), journalled);
        agent.join().unwrap();
    }
}

#[test]
fn a_del_without_an_agent_is_journalled_once() {
    let dir = tempfile::tempdir().unwrap();
    for _ in 0..2 {
        let output = call("DEL", &config(dir.path(), "1.1.0"));
        assert!(output.status.success() && output.stdout.is_empty(), "{output:?}");
        assert!(String::from_utf8_lossy(&output.stderr).contains("journal"), "{output:?}");
    }
    let entries = Journal::in_state_dir(dir.path()).entries().unwrap();
    assert_eq!(entries.len(), 1);
    let entry = entries.into_iter().next().unwrap().unwrap();
    assert_eq!(entry.attachment.to_string(), "c1/eth0");
    assert_eq!(entry.network, "sluice");
}

#[test]
fn a_del_that_can_be_neither_done_nor_journalled_fails() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("cni-journal"), b"").unwrap();
    let refused = error(&call("DEL", &config(dir.path(), "1.1.0")));
    assert_eq!(refused.code, 5);
    assert!(refused.msg.contains("cni-journal"), "{refused}");
}
