//! What an operator and a container runtime are told, held against what is there.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use serde_json::{Value, json};
use sluice_cni_protocol::NetworkConfig;
use sluice_netns::Namespace;

use crate::driver::{Lab, program};

/// Executes the plugin against the lab's agent.
fn plugin(lab: &Lab, verb: &str, pod: &Namespace, version: &str) -> Output {
    let run_dir = lab.agent_run_dir();
    let config = json!({"cniVersion": version, "name": "sluice", "type": "sluice-cni", "runDir": run_dir,
        "stateDir": run_dir.with_file_name("state")});
    let mut command = Command::new(program("sluice-cni"));
    command.env_clear().env("CNI_COMMAND", verb).env("CNI_CONTAINERID", "by-hand").env("CNI_IFNAME", "eth0");
    command.env("CNI_NETNS", pod.path()).env("CNI_PATH", "/opt/cni/bin");
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("sluice-cni starts");
    child.stdin.take().expect("piped").write_all(config.to_string().as_bytes()).expect("it reads its input");
    child.wait_with_output().expect("our child")
}

/// What `ip -json ...` tells inside `pod`.
fn told(pod: &Namespace, arguments: &[&str]) -> Value {
    let output = pod.output(Command::new("ip").arg("-json").args(arguments)).expect("ip starts");
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output:?}"))
}

#[test]
fn the_result_of_an_add_is_what_is_found_in_the_pod() {
    let lab = Lab::new("result");
    lab.up();
    let pod = Namespace::new("by-hand");
    for version in ["0.3.1", "0.4.0", "1.0.0", "1.1.0"] {
        let added = plugin(&lab, "ADD", &pod, version);
        assert!(added.status.success(), "{added:?}");
        let result: Value = serde_json::from_slice(&added.stdout).expect("a CNI result");
        assert_eq!(result["cniVersion"], version);

        let link = told(&pod, &["address", "show", "dev", "eth0"])[0].clone();
        let inside = &result["interfaces"][1];
        assert_eq!((&inside["name"], &inside["sandbox"]), (&json!("eth0"), &json!(pod.path())));
        assert_eq!(inside["mac"], link["address"]);
        let present = link["addr_info"].as_array().expect("addresses").iter().filter(|one| one["scope"] == "global");
        let present: Vec<String> = present.map(|one| format!("{}/{}", text(&one["local"]), one["prefixlen"])).collect();
        let ips = result["ips"].as_array().expect("ips");
        assert_eq!(ips.iter().map(|ip| text(&ip["address"])).collect::<Vec<_>>(), present);
        for (ip, (number, gateway)) in ips.iter().zip([("4", "169.254.1.1"), ("6", "fe80::1")]) {
            assert_eq!((&ip["interface"], &ip["gateway"]), (&json!(1), &json!(gateway)));
            assert_eq!(ip.get("version").is_some_and(|told| told == number), version < "1.0.0", "{ip}");
        }

        let newest = version == "1.1.0";
        assert_eq!(inside.get("mtu"), newest.then_some(&link["mtu"]));
        for (family, destination) in [("-4", "0.0.0.0/0"), ("-6", "::/0")] {
            let routes = result["routes"].as_array().expect("routes");
            let route = routes.iter().find(|route| route["dst"] == destination).expect("a default route");
            let kernel = told(&pod, &[family, "route", "show", "default"])[0].clone();
            assert_eq!(route["gw"], kernel["gateway"], "{kernel}");
            let metrics = &kernel["metrics"][0];
            assert_eq!(route.get("mtu"), newest.then_some(&metrics["mtu"]), "{kernel}");
            assert_eq!(route.get("advmss"), newest.then_some(&metrics["advmss"]), "{kernel}");
        }

        let deleted = plugin(&lab, "DEL", &pod, version);
        assert!(deleted.status.success() && deleted.stdout.is_empty(), "{deleted:?}");
    }
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_else(|| panic!("{value} is no text")).to_owned()
}

#[test]
fn status_tells_what_the_agent_does() {
    let lab = Lab::new("status");
    lab.up();
    let status = lab.agent_status();
    assert_eq!((&status["ready"], &status["node"]), (&json!(true), &json!("node-a")));
    assert_eq!(status["pid"], lab.agent_pid());
    assert_eq!(status["attachments"].as_array().map(Vec::len), Some(3), "{status}");
    let run_dir = lab.agent_run_dir();
    let shown = Command::new(program("sluice")).arg("status").arg("--run-dir").arg(&run_dir).output().expect("starts");
    assert_eq!(shown.status.code(), Some(0));
    let shown = String::from_utf8_lossy(&shown.stdout).into_owned();
    for wanted in ["multi_buffer", "demo/web", &lab.addresses("web")[0]] {
        assert!(shown.contains(wanted), "{shown}");
    }
    lab.ok(&["down"]);
    let away = Command::new(program("sluice")).arg("status").arg("--run-dir").arg(&run_dir).output().expect("starts");
    assert_eq!(away.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&away.stderr).contains("is sluiced running"), "{away:?}");
}

#[test]
fn the_examples_are_accepted() {
    let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy/examples");
    let file = examples.join("sluiced.yaml").display().to_string();
    let printed = |arguments: [&str; 2]| {
        let read = Command::new(program("sluiced")).arg("--print-config").args(arguments).output().expect("starts");
        assert!(read.status.success(), "{read:?}");
        String::from_utf8(read.stdout).expect("text")
    };
    let configuration = printed(["--config", &file]);
    assert_eq!(configuration, printed(["--source-directory", "/etc/sluice/manifests"]), "it shows the defaults");

    let list = std::fs::read(examples.join("cni/10-sluice.conflist")).expect("readable");
    let list: Value = serde_json::from_slice(&list).expect("JSON");
    // What a runtime makes of a list: the plugin's entry with the list's version and name.
    let mut config = list["plugins"][0].clone();
    config["cniVersion"] = list["cniVersion"].clone();
    config["name"] = list["name"].clone();
    let config = NetworkConfig::from_value(&config).expect("a network configuration");
    for line in [format!("runDir: {}", config.run_dir.display()), format!("stateDir: {}", config.state_dir.display())] {
        assert!(configuration.contains(&line), "plugin and daemon meet where they do by default: {line}");
    }
}
