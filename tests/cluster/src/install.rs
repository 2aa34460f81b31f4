//! What `deploy/` installs, as docs/install.md says to change it for a cluster.

use std::path::{Path, PathBuf};

use serde_json::Value;
use sluice_lab::UPLINK;

use crate::error::ClusterError;

/// The manifests, by their names in `deploy/manifests`.
const MANIFESTS: [(&str, &str); 3] = [
    ("rbac.yaml", include_str!("../../../deploy/manifests/rbac.yaml")),
    ("config.yaml", include_str!("../../../deploy/manifests/config.yaml")),
    ("daemonset.yaml", include_str!("../../../deploy/manifests/daemonset.yaml")),
];

/// All objects, with the API server at `server` and the device of this cluster's nodes.
pub(crate) fn objects(server: &str) -> Result<Vec<Value>, ClusterError> {
    let mut all = Vec::new();
    for (name, text) in MANIFESTS {
        let mut objects: Vec<Value> =
            serde_saphyr::from_multiple(text).map_err(|error| bad(name, error.to_string()))?;
        for object in &mut objects {
            if object["kind"] == "ConfigMap" {
                configure(name, object, server)?;
            }
        }
        all.extend(objects);
    }
    Ok(all)
}

/// Sets the two lines that every cluster has to set.
fn configure(name: &str, config: &mut Value, server: &str) -> Result<(), ClusterError> {
    let text = &mut config["data"]["sluiced.yaml"];
    let before = text.as_str().ok_or_else(|| bad(name, "no sluiced.yaml in it".to_owned()))?;
    let mut set = 0;
    let mut after = String::new();
    for line in before.lines() {
        let key = line.trim_start().split(':').next().unwrap_or_default();
        let value = match key {
            "server" => server,
            "device" => UPLINK,
            _ => {
                after.extend([line, "\n"]);
                continue;
            }
        };
        set += 1;
        let indent = &line[..line.len() - line.trim_start().len()];
        after.extend([indent, key, ": ", value, "\n"]);
    }
    if set != 2 {
        return Err(bad(name, format!("{set} lines of server and device where two are due")));
    }
    *text = after.into();
    Ok(())
}

fn bad(name: &str, problem: String) -> ClusterError {
    let path: PathBuf = Path::new("deploy/manifests").join(name);
    ClusterError::Manifest { path, problem }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_configuration_names_this_cluster_s_server_and_device() {
        let objects = objects("https://192.0.2.250:6443").expect("the manifests");
        let config = objects.iter().find(|object| object["kind"] == "ConfigMap").expect("a ConfigMap");
        let text = config["data"]["sluiced.yaml"].as_str().expect("text");
        let keys: Value = serde_saphyr::from_str(text).expect("YAML");
        assert_eq!(keys["source"]["kubernetes"]["server"], "https://192.0.2.250:6443");
        assert_eq!(keys["uplink"]["device"], UPLINK);
        assert_eq!(keys["services"]["cidrs"].as_array().map(Vec::len), Some(2));
    }

    #[test]
    fn the_daemon_is_not_privileged_and_its_image_is_the_one_that_is_built() {
        let objects = objects("https://192.0.2.250:6443").expect("the manifests");
        let daemons = objects.iter().find(|object| object["kind"] == "DaemonSet").expect("a DaemonSet");
        let container = &daemons["spec"]["template"]["spec"]["containers"][0];
        assert_eq!(container["image"], crate::images::SLUICE.name);
        assert_eq!(container["securityContext"]["privileged"], false);
        assert!(container["resources"]["limits"].is_null());
    }
}
