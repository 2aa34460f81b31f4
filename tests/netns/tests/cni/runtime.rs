//! The runtime's side: calls of the plugin.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::{Value, json};
use sluice_cni_protocol::CniError;

use crate::node::{Node, Pod};

/// One call, changed as the test needs it.
pub(crate) struct Call {
    verb: &'static str,
    environment: Vec<(&'static str, String)>,
    config: Value,
}

impl Call {
    /// A call of `node`'s plugin in the newest version, about no container yet.
    pub(crate) fn new(node: &Node, verb: &'static str) -> Self {
        let config = json!({"cniVersion": "1.1.0", "name": "sluice", "type": "sluice-cni",
            "runDir": node.path("run"), "stateDir": node.path("state")});
        Self { verb, environment: vec![("CNI_PATH", "/opt/cni/bin".to_owned())], config }
    }

    /// About `pod`'s interface.
    pub(crate) fn about(self, pod: &Pod, ifname: &str) -> Self {
        let arguments = format!("K8S_POD_NAMESPACE=default;K8S_POD_NAME={};IgnoreUnknown=1", pod.container);
        let set = [("CNI_CONTAINERID", pod.container.clone()), ("CNI_NETNS", pod.netns.path())];
        set.into_iter()
            .chain([("CNI_IFNAME", ifname.to_owned()), ("CNI_ARGS", arguments)])
            .fold(self, |call, (key, to)| call.env(key, &to))
    }

    /// With this in the environment.
    pub(crate) fn env(mut self, key: &'static str, to: &str) -> Self {
        self.environment.retain(|(known, _)| *known != key);
        self.environment.push((key, to.to_owned()));
        self
    }

    /// With this in the configuration.
    pub(crate) fn with(mut self, key: &str, value: Value) -> Self {
        self.config[key] = value;
        self
    }

    /// In this version.
    pub(crate) fn version(self, version: &str) -> Self {
        self.with("cniVersion", version.into())
    }

    /// Executes the plugin.
    pub(crate) fn output(&self) -> Output {
        let mut command = Command::new(program("sluice-cni"));
        command.env_clear().env("CNI_COMMAND", self.verb).envs(self.environment.iter().map(|(key, to)| (key, to)));
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("sluice-cni starts");
        // It may have refused and gone before it read all of its input.
        let _ = child.stdin.take().expect("piped").write_all(self.config.to_string().as_bytes());
        child.wait_with_output().expect("our child")
    }

    /// What it printed; it must succeed. `null` for nothing.
    #[track_caller]
    pub(crate) fn done(&self) -> Value {
        let output = self.output();
        assert!(output.status.success(), "{}: {output:?}", self.verb);
        if output.stdout.is_empty() { Value::Null } else { serde_json::from_slice(&output.stdout).expect("JSON") }
    }

    /// The error that it printed; it must fail.
    #[track_caller]
    pub(crate) fn refused(&self) -> CniError {
        let output = self.output();
        assert_eq!(output.status.code(), Some(1), "{}: {output:?}", self.verb);
        serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output:?}"))
    }
}

/// A program that was built beside this test.
pub(crate) fn program(name: &str) -> PathBuf {
    let test = std::env::current_exe().expect("this program has a path");
    test.ancestors().nth(2).unwrap_or(Path::new("/")).join(name)
}
