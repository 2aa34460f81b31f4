//! `sluice uninstall`: the runtime forgets Sluice.

use std::fs;
use std::io::ErrorKind;
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context, Result};
use serde_json::Value;
use sluice_cni_protocol::Installation;

use crate::args::UninstallArgs;

pub(crate) fn run(args: &UninstallArgs) -> Result<ExitCode> {
    let UninstallArgs { conf_dir, bin_dir, state_dir, force } = args;
    let installation = Installation { conf_dir: conf_dir.clone(), bin_dir: bin_dir.clone() };
    let attached = attached(state_dir)?;
    if !attached.is_empty() && !force {
        // A runtime without a network list does not detach pods either: containerd calls no plugin then.
        println!("nothing is removed while these are attached: {}", attached.join(", "));
        println!("delete the pods (kubectl drain) and call this again, or give --force and reboot the node");
        return Ok(ExitCode::FAILURE);
    }
    // First: nothing new is attached any more.
    say("network list", conf_dir, installation.withdraw()?);
    say("plugin", bin_dir, installation.remove_plugin()?);
    Ok(ExitCode::SUCCESS)
}

fn say(what: &str, from: &Path, was_there: bool) {
    let done = if was_there { "removed from" } else { "was not in" };
    println!("{what} {done} {}", from.display());
}

/// The attachments of the agent's state file, whatever its version. Without a file there are none.
fn attached(state_dir: &Path) -> Result<Vec<String>> {
    let path = state_dir.join("state.json");
    let bytes = match fs::read(&path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        bytes => bytes.with_context(|| format!("reading {}", path.display()))?,
    };
    let state: Value = serde_json::from_slice(&bytes)
        .with_context(|| format!("{} cannot be read; --force removes the plugin all the same", path.display()))?;
    let listed = state["state"]["attachments"].as_array().map(Vec::as_slice).unwrap_or_default();
    let text = |one: &Value, key: &str| one[key].as_str().unwrap_or("?").to_owned();
    Ok(listed.iter().map(|one| format!("{}/{}", text(one, "podNamespace"), text(one, "podName"))).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_attached_is_read_from_the_state_file() {
        let dir = std::env::temp_dir().join(format!("sluice-uninstall-{}", std::process::id()));
        fs::create_dir_all(&dir).expect("writable");
        assert_eq!(attached(&dir).expect("none"), [] as [&str; 0]);
        let state = r#"{"version": 9, "state": {"attachments": [{"podNamespace": "demo", "podName": "web"}]}}"#;
        fs::write(dir.join("state.json"), state).expect("writable");
        assert_eq!(attached(&dir).expect("one"), ["demo/web"]);
        fs::write(dir.join("state.json"), "{").expect("writable");
        assert!(attached(&dir).expect_err("it is none").to_string().contains("--force"));
        fs::remove_dir_all(&dir).expect("ours");
    }
}
