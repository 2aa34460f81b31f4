//! How kubelet is told what it is to do.

use std::fs;
use std::path::Path;

use serde_json::json;
use sluice_e2e::ApiServer;

use super::{Plan, Service, program, script};
use crate::error::ClusterError;

/// The cluster's name server, by kube-dns' usual place in the range of Services.
const DNS: &str = "10.96.0.10";

pub(super) fn configure(plan: &Plan<'_>, directory: &Path, group: &str, api: &ApiServer) -> Result<(), ClusterError> {
    let name = plan.name;
    let file = format!("{name}.kubeconfig");
    let kubeconfig = api.write_user_kubeconfig(&file, &api.url(), &format!("system:node:{name}"), "system:nodes")?;
    let path = directory.join("kubelet.json");
    let resolv = directory.join("resolv.conf");
    fs::write(&resolv, "# No name server beyond the cluster's.\n").map_err(ClusterError::file("write", &resolv))?;
    let config = json!({
        "apiVersion": "kubelet.config.k8s.io/v1beta1", "kind": "KubeletConfiguration",
        "authentication": {
            "anonymous": { "enabled": false }, "webhook": { "enabled": true },
            "x509": { "clientCAFile": api.file("users.crt") },
        },
        "authorization": { "mode": "Webhook" },
        "containerRuntimeEndpoint": "unix:///run/containerd/containerd.sock",
        "cgroupDriver": "cgroupfs", "cgroupRoot": format!("/{group}"), "failCgroupV1": false, "failSwapOn": false,
        // What takes a capability that the tests may not have, or would change the real machine.
        "oomScoreAdj": 0, "protectKernelDefaults": true, "makeIPTablesUtilChains": false,
        "clusterDNS": [DNS], "clusterDomain": "cluster.local", "resolvConf": resolv,
        // The disk is the real machine's, and not the cluster's to tidy.
        "evictionHard": { "memory.available": "0%", "nodefs.available": "0%", "imagefs.available": "0%" },
        "imageGCHighThresholdPercent": 100, "imageGCLowThresholdPercent": 99,
        // More than are started where figures are taken.
        "maxPods": 150,
        "shutdownGracePeriod": "0s", "nodeStatusUpdateFrequency": "2s",
    });
    fs::write(&path, config.to_string()).map_err(ClusterError::file("write", &path))?;
    let addresses: Vec<String> = plan.addresses.iter().map(ToString::to_string).collect();
    let command = [
        program("kubelet", "KUBELET")?,
        format!("--config={}", path.display()),
        format!("--kubeconfig={}", kubeconfig.display()),
        format!("--hostname-override={name}"),
        format!("--node-ip={}", addresses.join(",")),
    ];
    script(directory, Service::Kubelet, &command)
}
