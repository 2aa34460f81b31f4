//! What `deploy/chart` renders, as a real API server judges it: each field is one that its kind has.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;
use sluice_e2e::{Etcd, built, path_of};

use crate::fixture::alone;

/// Only looked at, with every field that the kind has not refused.
const DRY: &str = "fieldManager=sluice-tests&dryRun=All&fieldValidation=Strict";

/// Of the Prometheus operator, which this server does not know.
const UNKNOWN: &str = "ServiceMonitor";

fn chart() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy/chart")
}

/// The objects that the chart gives with these values, hooks included.
fn rendered(values: &Path) -> Vec<Value> {
    let program = built("chart-render", "CHART_RENDER").unwrap_or_else(|error| panic!("{error}"));
    let output =
        Command::new(program).args(["-hooks", "-values"]).arg(values).arg(chart()).output().expect("it starts");
    assert!(output.status.success(), "{}: {output:?}", values.display());
    let text = String::from_utf8(output.stdout).expect("text");
    serde_saphyr::from_multiple(&text).unwrap_or_else(|error| panic!("{}: {error}\n{text}", values.display()))
}

/// Every file of values that is good.
fn good() -> Vec<PathBuf> {
    let more = fs::read_dir(chart().join("checks/good")).expect("the chart's checks");
    let more = more.map(|entry| entry.expect("readable").path());
    std::iter::once(chart().join("checks/manifests.yaml")).chain(more).collect()
}

#[test]
fn the_server_takes_each_object_that_the_chart_renders() {
    let alone = alone("chart", Etcd::Current);
    let mut kinds = BTreeMap::new();
    for values in good() {
        for object in rendered(&values) {
            let kind = object["kind"].as_str().expect("a kind").to_owned();
            if kind != UNKNOWN {
                let path = format!("{}?{DRY}", path_of(&object).unwrap_or_else(|error| panic!("{error}")));
                let taken = alone.server.admin().request("PATCH", &path, "application/apply-patch+yaml", &object);
                taken.unwrap_or_else(|error| panic!("{}: {error}\n{object:#}", values.display()));
            }
            *kinds.entry(kind).or_insert(0) += 1;
        }
    }
    let each =
        ["ServiceAccount", "ClusterRole", "ClusterRoleBinding", "ConfigMap", "DaemonSet", "Job", "NetworkPolicy"];
    for kind in each.iter().chain(&["Service", UNKNOWN]) {
        assert!(kinds.contains_key(*kind), "no {kind} is rendered: {kinds:?}");
    }
}

#[test]
fn the_monitor_names_the_service_and_its_port() {
    let objects = rendered(&chart().join("checks/good/everything.yaml"));
    let of = |kind: &str| objects.iter().find(|object| object["kind"] == kind).unwrap_or_else(|| panic!("no {kind}"));
    let (service, monitor, daemons) = (of("Service"), of(UNKNOWN), of("DaemonSet"));
    assert_eq!(monitor["spec"]["endpoints"][0]["port"], service["spec"]["ports"][0]["name"]);
    for (key, value) in monitor["spec"]["selector"]["matchLabels"].as_object().expect("labels") {
        assert_eq!(&service["metadata"]["labels"][key], value);
    }
    for (key, value) in service["spec"]["selector"].as_object().expect("labels") {
        assert_eq!(&daemons["spec"]["template"]["metadata"]["labels"][key], value);
    }
    assert_eq!(service["spec"]["clusterIP"], "None");
}
