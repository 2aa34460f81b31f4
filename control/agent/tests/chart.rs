//! The Helm chart knows the keys that sluiced knows, and gives the version that is built.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

/// Keys that values of the chart give, so that its `config` has none of them; and those for outside of a pod.
const GIVEN: [&str; 12] = [
    "cni.binDir",
    "cni.confDir",
    "http",
    "nodeName",
    "runDir",
    "services.cidrs",
    "source.directory",
    "source.kubernetes.context",
    "source.kubernetes.kubeconfig",
    "source.kubernetes.server",
    "stateDir",
    "uplink.device",
];

fn chart(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy/chart").join(path)
}

fn read(path: &str) -> Value {
    let text = fs::read_to_string(chart(path)).expect("a file of the chart");
    serde_saphyr::from_str(&text).expect("YAML")
}

/// The paths of what is no mapping.
fn leaves(value: &Value, below: &str, step: fn(&Value) -> Option<&serde_json::Map<String, Value>>) -> BTreeSet<String> {
    let Some(fields) = step(value) else { return BTreeSet::from([below.trim_start_matches('.').to_owned()]) };
    fields.iter().flat_map(|(key, field)| leaves(field, &format!("{below}.{key}"), step)).collect()
}

/// The configuration that the chart's check of every value has, written as sluiced reads it.
fn everything() -> Value {
    let mut config = read("checks/good/everything.yaml")["config"].clone();
    // The machine that tests may not have these.
    config.as_object_mut().expect("a mapping").remove("cores");
    config
}

/// Every key with its value, as sluiced prints them.
fn printed(config: &Value) -> Value {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("sluiced.yaml");
    fs::write(&path, config.to_string()).expect("a file");
    let mut command = Command::new(env!("CARGO_BIN_EXE_sluiced"));
    command.args(["--print-config", "--source-kubernetes-kubeconfig=/k", "--uplink-device=eth0"]);
    command.args(["--cni-conf-dir=/c", "--node-name=n", "--config"]).arg(&path);
    let output = command.output().expect("sluiced starts");
    assert!(output.status.success(), "{output:?}");
    serde_saphyr::from_str(&String::from_utf8(output.stdout).expect("text")).expect("YAML")
}

#[test]
fn the_schema_has_the_keys_of_sluiced_that_no_other_value_gives() {
    let given: BTreeSet<String> = GIVEN.map(str::to_owned).into();
    let known: BTreeSet<String> =
        leaves(&printed(&everything()), "", Value::as_object).difference(&given).cloned().collect();
    let schema = read("values.schema.json");
    let allowed = leaves(&schema["properties"]["config"], "", |schema| schema["properties"].as_object());
    assert_eq!(allowed, known, "deploy/chart/values.schema.json (left) and sluiced (right) differ in their keys");
}

#[test]
fn the_chart_s_check_of_every_value_sets_every_key_to_what_is_no_default() {
    let (config, defaults) = (everything(), printed(&Value::Object(serde_json::Map::new())));
    let schema = read("values.schema.json");
    let mut allowed = leaves(&schema["properties"]["config"], "", |schema| schema["properties"].as_object());
    // The machine may lack the cores, and the other has one value in a pod.
    allowed.retain(|path| path != "cores" && path != "idleCores");
    for path in allowed {
        let pointer = format!("/{}", path.replace('.', "/"));
        let set = config.pointer(&pointer).unwrap_or_else(|| panic!("checks/good/everything.yaml leaves out {path}"));
        assert_ne!(Some(set), defaults.pointer(&pointer), "{path}");
    }
}

#[test]
fn the_chart_installs_the_version_that_is_built() {
    assert_eq!(read("Chart.yaml")["appVersion"], env!("CARGO_PKG_VERSION"));
}
