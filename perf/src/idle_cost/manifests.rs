//! A node and its pods, as many as wanted.

use std::fmt::Write;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

/// The node's name.
pub(super) const NODE: &str = "node";

/// Its pods' networks have room for as many pods as the command line allows.
const NODE_MANIFEST: &str = "\
apiVersion: v1
kind: Node
metadata: {name: node}
spec:
  podCIDR: 10.244.1.0/24
  podCIDRs: [10.244.1.0/24, fd00:10:244:1::/64]
status:
  addresses:
    - {type: InternalIP, address: 192.0.2.11}
    - {type: InternalIP, address: 2001:db8::11}
";

/// Begins a directory of manifests with the node alone.
pub(super) fn write_node(directory: &Path) -> Result<()> {
    fs::create_dir_all(directory).with_context(|| format!("cannot create {}", directory.display()))?;
    write(&directory.join("node.yaml"), NODE_MANIFEST)
}

/// Adds the pods.
pub(super) fn write_pods(directory: &Path, pods: u16) -> Result<()> {
    // Agents watch the directory: the file appears with all its pods in it.
    let (beside, file) = (directory.join("pods.new"), directory.join("pods.yaml"));
    write(&beside, &pods_manifest(pods))?;
    fs::rename(&beside, &file).with_context(|| format!("cannot rename to {}", file.display()))
}

fn pods_manifest(pods: u16) -> String {
    (0..pods).fold(String::new(), |mut text, pod| {
        let _ = writeln!(
            text,
            "---\napiVersion: v1\nkind: Pod\nmetadata: {{name: pod-{pod}, namespace: idle}}\n\
             spec:\n  nodeName: {NODE}\n  containers: [{{name: pause, image: registry.example/pause}}]"
        );
        text
    })
}

fn write(file: &Path, text: &str) -> Result<()> {
    fs::write(file, text).with_context(|| format!("cannot write {}", file.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_pod_has_a_name_of_its_own_on_the_node() {
        let text = pods_manifest(12);
        assert_eq!(text.matches("kind: Pod").count(), 12);
        assert_eq!(text.matches("nodeName: node\n").count(), 12);
        for pod in 0..12 {
            assert_eq!(text.matches(&format!("name: pod-{pod},")).count(), 1, "{pod}");
        }
        assert!(NODE_MANIFEST.contains(&format!("name: {NODE}}}")));
    }
}
