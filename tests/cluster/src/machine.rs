//! What plays a machine: namespaces, mounts and a first process.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use sluice_e2e::Running;
use sluice_host::Netns;

use crate::error::ClusterError;
use crate::wait::wait_for;

const SCRIPT: &str = include_str!("machine.sh");

/// A running machine. All that runs on it ends with this value; its files stay.
#[derive(Debug)]
pub struct Machine {
    name: String,
    netns: String,
    directory: PathBuf,
    /// unshare(1), in whose namespaces the first process is its only child.
    unshare: Running,
    /// The first process, as the real machine counts it.
    first: u32,
}

impl Machine {
    /// Starts the machine called `name` in a network namespace that is there, with its files in `directory`, which is in
    /// `cluster`, below `/run`.
    ///
    /// # Errors
    /// What cannot be mounted, by the end of the machine's log.
    pub fn boot(name: &str, netns: &str, cluster: &Path, directory: &Path) -> Result<Self, ClusterError> {
        fs::create_dir_all(directory).map_err(ClusterError::file("make", directory))?;
        let script = directory.join("machine.sh");
        fs::write(&script, SCRIPT).map_err(ClusterError::file("write", &script))?;
        let booted = directory.join("booted");
        let _ = fs::remove_file(&booted);
        let text = |path: &Path| path.to_string_lossy().into_owned();
        let mut command: Vec<String> = "unshare --mount --uts --pid --fork --kill-child --propagation private sh"
            .split(' ')
            .map(str::to_owned)
            .collect();
        command.extend([text(&script), text(cluster), text(directory), name.to_owned()]);
        let mut unshare = Running::start(&Netns::open_named(netns)?, &command, &directory.join("machine.log"))?;
        let first = wait_for(&format!("machine {name} to boot"), || match (booted.exists(), unshare.ended()) {
            (true, _) => child_of(unshare.pid()).ok_or_else(|| "no first process".to_owned()).map(Ok),
            (false, Some(status)) => Ok(Err(format!("it ended with {status}\n{}", unshare.tail()))),
            (false, None) => Err(unshare.tail()),
        })?;
        let first = first.map_err(|output| ClusterError::Failed {
            command: format!("machine {name}"),
            status: "a failure".to_owned(),
            output,
        })?;
        Ok(Self { name: name.to_owned(), netns: netns.to_owned(), directory: directory.to_owned(), unshare, first })
    }

    /// Its host name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The name of its network namespace.
    pub fn netns(&self) -> &str {
        &self.netns
    }

    /// Where its files are.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// A command that runs on it.
    pub fn command(&self, program: &str) -> Command {
        let mut command = Command::new("nsenter");
        command.args(["--target", &self.first.to_string(), "--mount", "--uts", "--net", "--pid", "--", program]);
        command.current_dir("/");
        command
    }

    /// Runs a script of sh(1) on it, to its end.
    ///
    /// # Errors
    /// [`ClusterError::Failed`] with what it printed.
    pub fn run(&self, script: &str) -> Result<String, ClusterError> {
        let mut command = self.command("sh");
        let output = command.args(["-c", script]).output();
        outcome(&format!("on {}: {script}", self.name), output.map_err(ClusterError::file("start", "nsenter"))?)
    }

    /// Ends all that runs on it, at once, as when its power goes.
    pub fn power_off(&self) {
        self.unshare.signal(rustix::process::Signal::KILL);
    }
}

/// What a command printed, or how it failed.
pub(crate) fn outcome(command: &str, output: Output) -> Result<String, ClusterError> {
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    if output.status.success() {
        return Ok(text);
    }
    let (command, status) = (command.to_owned(), output.status.to_string());
    let output = format!("{text}{}", String::from_utf8_lossy(&output.stderr));
    Err(ClusterError::Failed { command, status, output })
}

fn child_of(pid: u32) -> Option<u32> {
    let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).ok()?;
    children.split_whitespace().next()?.parse().ok()
}
