//! How containerd is told what it is to do.

use std::fs;
use std::path::Path;

use super::{Service, script};
use crate::error::ClusterError;
use crate::images::TOOLS;

pub(super) fn configure(directory: &Path) -> Result<(), ClusterError> {
    let path = directory.join("containerd.toml");
    fs::write(&path, config()).map_err(ClusterError::file("write", &path))?;
    script(
        directory,
        Service::Containerd,
        &["containerd".to_owned(), "--config".to_owned(), path.display().to_string()],
    )
}

/// The pods' sandboxes are of the image that is there anyway, whose entry point sleeps.
fn config() -> String {
    format!(
        r#"version = 2
root = "/var/lib/containerd"
state = "/run/containerd"
disabled_plugins = [
  "io.containerd.snapshotter.v1.aufs", "io.containerd.snapshotter.v1.btrfs", "io.containerd.snapshotter.v1.zfs",
  "io.containerd.snapshotter.v1.devmapper", "io.containerd.internal.v1.opt",
]
[grpc]
address = "/run/containerd/containerd.sock"
[plugins."io.containerd.grpc.v1.cri"]
sandbox_image = "{}"
# Lowering a process's score takes CAP_SYS_RESOURCE, which the tests may not have.
restrict_oom_score_adj = true
[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
runtime_type = "io.containerd.runc.v2"
[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
SystemdCgroup = false
[plugins."io.containerd.grpc.v1.cri".cni]
bin_dir = "/opt/cni/bin"
conf_dir = "/etc/cni/net.d"
"#,
        TOOLS.name
    )
}
