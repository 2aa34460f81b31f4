//! kubectl, as an operator uses it.

use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use serde_json::{Value, json};
use sluice_e2e::{ApiServer, built};
use sluice_host::Netns;

use crate::error::ClusterError;
use crate::machine::outcome;

/// kubectl with the administrator's rights, beside the API server.
#[derive(Debug)]
pub struct Kubectl {
    program: PathBuf,
    kubeconfig: PathBuf,
    netns: Netns,
}

impl Kubectl {
    pub(crate) fn of(api: &ApiServer) -> Result<Self, ClusterError> {
        let (program, netns) = (built("kubectl", "KUBECTL")?, Netns::open_named(api.netns())?);
        Ok(Self { program, kubeconfig: api.admin_kubeconfig(), netns })
    }

    /// kubectl with these arguments, still to be started.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.program);
        command.arg("--kubeconfig").arg(&self.kubeconfig).args(arguments).env("HOME", "/nonexistent");
        command
    }

    /// Runs it, and returns what it printed.
    ///
    /// # Errors
    /// [`ClusterError::Failed`] with what it printed.
    pub fn run(&self, arguments: &[&str]) -> Result<String, ClusterError> {
        let output = self.netns.output(&mut self.command(arguments))?;
        outcome(&format!("kubectl {}", arguments.join(" ")), output)
    }

    /// Starts one of its commands, inside its namespace.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn spawn(&self, command: &mut Command) -> Result<std::process::Child, ClusterError> {
        Ok(self.netns.spawn(command)?)
    }

    /// An object, or a list of those that a selector finds: `get(&["pods", "-n", "shop"])`.
    ///
    /// # Errors
    /// As [`Self::run`]; what it prints is JSON.
    pub fn get(&self, arguments: &[&str]) -> Result<Value, ClusterError> {
        let all: Vec<&str> = ["get", "-o", "json"].iter().chain(arguments).copied().collect();
        let text = self.run(&all)?;
        serde_json::from_str(&text).map_err(|error| ClusterError::Failed {
            command: format!("kubectl {}", all.join(" ")),
            status: error.to_string(),
            output: text,
        })
    }

    /// Applies objects, as from a file.
    ///
    /// # Errors
    /// What the API server refuses.
    pub fn apply(&self, objects: &[Value]) -> Result<(), ClusterError> {
        self.with(&["apply", "-f", "-"], objects)
    }

    /// Deletes objects, as from a file; does not wait for them to go.
    ///
    /// # Errors
    /// What the API server refuses.
    pub fn delete(&self, objects: &[Value]) -> Result<(), ClusterError> {
        self.with(&["delete", "--wait=false", "-f", "-"], objects)
    }

    fn with(&self, arguments: &[&str], objects: &[Value]) -> Result<(), ClusterError> {
        let list = json!({ "apiVersion": "v1", "kind": "List", "items": objects }).to_string();
        let mut command = self.command(arguments);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = self.netns.spawn(&mut command)?;
        let failed = ClusterError::file("write to", "kubectl");
        if let Some(mut stdin) = child.stdin.take() {
            stdin.write_all(list.as_bytes()).map_err(failed)?;
        }
        let output = child.wait_with_output().map_err(ClusterError::file("wait for", "kubectl"))?;
        outcome(&format!("kubectl {}", arguments.join(" ")), output).map(drop)
    }
}
