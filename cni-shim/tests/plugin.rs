//! The real binary, as a runtime executes it, against a scripted agent.

use std::io::Write;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::thread::{self, JoinHandle};

use serde_json::{Value, json};
use sluice_cni_protocol::{CniError, CniRequest, Envelope, GcRequest, Journal, Request, Response, SOCKET_NAME, frame};
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
fn unknown_verbs_are_refused_with_those_that_there_are() {
    let refused = error(&call("NONSENSE", r#"{"cniVersion":"1.1.0","name":"sluice"}"#));
    assert_eq!(refused.code, 4);
    assert!(refused.msg.contains("ADD, CHECK, DEL, GC, STATUS, VERSION"), "{refused}");
}

#[test]
fn verbs_are_refused_to_configurations_of_versions_before_them() {
    for (verb, versions) in
        [("CHECK", &["0.3.1"][..]), ("GC", &["0.3.1", "0.4.0", "1.0.0"]), ("STATUS", &["0.3.1", "0.4.0", "1.0.0"])]
    {
        for version in versions {
            let dir = tempfile::tempdir().unwrap();
            let refused = error(&call(verb, &config(dir.path(), version)));
            assert_eq!((refused.code, refused.cni_version.as_str()), (1, *version), "{verb} {refused}");
            assert!(refused.msg.contains(verb), "{refused}");
        }
    }
}

#[test]
fn missing_variables_are_named() {
    let refused = error(&plugin(&[], "{}"));
    assert_eq!(refused.code, 4);
    assert!(refused.msg.contains("CNI_COMMAND"), "{refused}");
    for verb in ["ADD", "CHECK"] {
        let refused = error(&plugin(&[("CNI_COMMAND", verb), ("CNI_IFNAME", "")], "{}"));
        assert_eq!(refused.code, 4);
        for name in ["CNI_CONTAINERID", "CNI_NETNS", "CNI_IFNAME"] {
            assert!(refused.msg.contains(name), "{verb} {refused}");
        }
    }
}

#[test]
fn bad_configurations_have_the_specified_codes() {
    for verb in ["ADD", "DEL", "CHECK", "GC", "STATUS"] {
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
fn names_that_no_device_can_have_are_refused() {
    for name in ["sixteen-bytes-xx", "a/b", "..", "eth 0"] {
        let mut environment: Vec<_> = EVERYTHING.into_iter().filter(|(key, _)| *key != "CNI_IFNAME").collect();
        environment.extend([("CNI_IFNAME", name), ("CNI_COMMAND", "ADD")]);
        let refused = error(&plugin(&environment, r#"{"cniVersion":"1.0.0","name":"n"}"#));
        assert!(refused.code == 4 && refused.msg.contains("CNI_IFNAME") && refused.msg.contains(name), "{refused}");
    }
}

#[test]
fn a_check_needs_the_result_of_its_add_and_an_agent() {
    let dir = tempfile::tempdir().unwrap();
    let refused = error(&call("CHECK", &config(dir.path(), "1.0.0")));
    assert!(refused.code == 7 && refused.msg.contains("prevResult"), "{refused}");
    let mut with_result: Value = serde_json::from_str(&config(dir.path(), "1.0.0")).unwrap();
    with_result["prevResult"] = json!({"cniVersion": "1.0.0", "ips": [{"address": "10.1.0.2/32"}]});
    assert_eq!(error(&call("CHECK", &with_result.to_string())).code, 11, "an agent that is away is no failed check");
    let agent = answering(&dir, Response::Ok(Value::Null));
    let output = call("CHECK", &with_result.to_string());
    assert!(output.status.success() && output.stdout.is_empty(), "{output:?}");
    assert_eq!(serde_json::to_value(agent.join().unwrap()).unwrap()["command"], "CHECK");
    with_result["disableCheck"] = true.into();
    assert!(call("CHECK", &with_result.to_string()).status.success());
}

/// What the agent is asked by a verb about no attachment.
fn asked(dir: &TempDir, response: Response) -> JoinHandle<Request> {
    agent(dir, move |mut stream| {
        let envelope: Envelope = frame::read(&mut stream, frame::MAX_REQUEST).unwrap();
        frame::write(&mut stream, &response, frame::MAX_ANSWER).unwrap();
        envelope.request
    })
}

#[test]
fn a_collection_of_garbage_hands_over_network_and_valid_attachments() {
    let dir = tempfile::tempdir().unwrap();
    let mut config: Value = serde_json::from_str(&config(dir.path(), "1.1.0")).unwrap();
    let gc = |config: &Value| plugin(&[("CNI_COMMAND", "GC"), ("CNI_PATH", "/opt/cni/bin")], &config.to_string());
    let refused = error(&gc(&config));
    assert!(refused.code == 7 && refused.msg.contains("cni.dev/valid-attachments"), "{refused}");
    config["cni.dev/valid-attachments"] = json!([{"containerID": "c1", "ifname": "eth0"}]);
    assert_eq!(error(&gc(&config)).code, 11, "without an agent");
    let agent = asked(&dir, Response::Ok(Value::Null));
    let output = gc(&config);
    assert!(output.status.success() && output.stdout.is_empty(), "{output:?}");
    let Request::Gc(GcRequest { network, valid }) = agent.join().unwrap() else { panic!("not GC") };
    assert_eq!((network.as_str(), valid.len(), valid[0].to_string().as_str()), ("sluice", 1, "c1/eth0"));
    config["disableGC"] = true.into();
    assert!(gc(&config).status.success(), "nobody is asked");
}

#[test]
fn a_status_needs_no_container_and_tells_50_or_51() {
    let status = |stdin: &str| plugin(&[("CNI_COMMAND", "STATUS")], stdin);
    for code in [50, 51] {
        let dir = tempfile::tempdir().unwrap();
        let agent = asked(&dir, Response::Error(CniError::new(code, "because")));
        assert_eq!(error(&status(&config(dir.path(), "1.1.0"))).code, code);
        assert_eq!(agent.join().unwrap(), Request::Availability);
    }
    let dir = tempfile::tempdir().unwrap();
    let agent = asked(&dir, Response::Ok(Value::Null));
    let output = status(&config(dir.path(), "1.1.0"));
    assert!(output.status.success() && output.stdout.is_empty(), "{output:?}");
    agent.join().unwrap();
    let away = error(&status(&config(tempfile::tempdir().unwrap().path(), "1.1.0")));
    assert_eq!(away.code, 51, "without an agent nothing is forwarded: {away}");
    let foreign_ipam = error(&status(r#"{"cniVersion":"1.1.0","name":"n","ipam":{"type":"x"}}"#));
    assert_eq!(foreign_ipam.code, 2, "no ADD of this network can be carried out");
}

#[test]
fn a_del_that_an_agent_of_another_release_does_not_understand_is_journalled() {
    let dir = tempfile::tempdir().unwrap();
    let agent = answering(&dir, Response::Error(CniError::new(11, "another protocol version")));
    let output = call("DEL", &config(dir.path(), "1.1.0"));
    assert!(output.status.success() && output.stdout.is_empty(), "{output:?}");
    assert_eq!(Journal::in_state_dir(dir.path()).entries().unwrap().len(), 1);
    agent.join().unwrap();
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
