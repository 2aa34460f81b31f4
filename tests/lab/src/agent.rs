//! A node's `sluiced`: its configuration, its start, its readiness.

use std::collections::BTreeMap;
use std::fs::{self, OpenOptions};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Map, Value, json};
use sluice_cni_protocol::{Client, Request, Response};
use sluice_host::Netns;

use crate::error::LabError;
use crate::inhabitants;
use crate::layout::Layout;
use crate::process::{ProcessId, wait_for_child};
use crate::stop::Stop;

/// How long an agent may take from its start to its readiness.
const READY_BOUND: Duration = Duration::from_secs(60);

/// Time between two looks at an agent that is starting.
const LOOK_AGAIN: Duration = Duration::from_millis(20);

/// Bound on one status request.
pub(crate) const ANSWER_BOUND: Duration = Duration::from_secs(10);

/// Lines of the agent's log shown with a failure.
const TAIL_LINES: usize = 25;

/// Where the agents of a lab get their objects from.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum ObjectSource {
    /// A directory: the manifests, and in a lab with a wire what became of the pods.
    #[default]
    Directory,
    /// An API server, by a kubeconfig that every node can read. The manifests then only say which nodes and pods there are;
    /// the caller brings the objects to the API server.
    Kubeconfig(PathBuf),
}

/// What every agent of a lab is told beside its node's name and directories.
#[derive(Debug, Clone, Default)]
pub struct AgentSettings {
    /// Where its objects come from.
    pub source: ObjectSource,
    /// Cores for the switch; empty for the machine's last one.
    pub cores: Vec<usize>,
    /// Further keys of the agent's configuration, dots between nested keys: `features.txMetadata` to `off`.
    pub set: BTreeMap<String, Value>,
}

impl AgentSettings {
    /// Adds a `KEY=VALUE` setting; the value is YAML.
    ///
    /// # Errors
    /// [`LabError::Setting`] when it is not of that form.
    pub fn set(&mut self, setting: &str) -> Result<(), LabError> {
        let bad = || LabError::Setting { setting: setting.to_owned() };
        let (key, value) = setting.split_once('=').ok_or_else(bad)?;
        if key.is_empty() || key.split('.').any(str::is_empty) {
            return Err(bad());
        }
        // `off` is a word here, not the boolean of YAML 1.1, so plain words stay words.
        let value = match value.parse::<i64>() {
            Ok(number) => Value::from(number),
            Err(_) => serde_json::from_str(value).unwrap_or_else(|_| Value::from(value)),
        };
        self.set.insert(key.to_owned(), value);
        Ok(())
    }

    /// The cores the switch gets.
    pub fn cores(&self) -> Vec<usize> {
        if self.cores.is_empty() { vec![last_core()] } else { self.cores.clone() }
    }

    /// The agent's configuration file.
    fn config(&self, layout: &Layout, node: &str, manifests: &Path) -> String {
        let source = match &self.source {
            ObjectSource::Directory => json!({ "directory": manifests }),
            ObjectSource::Kubeconfig(file) => json!({ "kubernetes": { "kubeconfig": file } }),
        };
        let mut config = json!({
            "nodeName": node,
            "runDir": layout.run_dir(node),
            "stateDir": layout.state_dir(node),
            "source": source,
            "cores": self.cores(),
        });
        for (key, value) in &self.set {
            insert(&mut config, key, value.clone());
        }
        let mut text = String::from("# Written by `sluice lab up`; changed by the next one.\n");
        // JSON is YAML, and the reader needs no more than that.
        text.push_str(&serde_json::to_string_pretty(&config).unwrap_or_default());
        text.push('\n');
        text
    }
}

/// The last core this process may run on: the first ones are where everything else of a small machine happens.
fn last_core() -> usize {
    let allowed = rustix::thread::sched_getaffinity(None).unwrap_or_default();
    (0..rustix::thread::CpuSet::MAX_CPU).rev().find(|core| allowed.is_set(*core)).unwrap_or(0)
}

fn insert(into: &mut Value, dotted: &str, value: Value) {
    let mut at = into;
    let mut keys = dotted.split('.').peekable();
    while let Some(key) = keys.next() {
        if !at.is_object() {
            *at = Value::Object(Map::new());
        }
        at = &mut at[key];
        if keys.peek().is_none() {
            *at = value;
            return;
        }
    }
}

/// Writes a node's configuration; true when it differs from what was there.
pub(crate) fn configure(
    settings: &AgentSettings,
    layout: &Layout,
    node: &str,
    manifests: &Path,
) -> Result<bool, LabError> {
    for directory in [layout.run_dir(node), layout.state_dir(node)] {
        fs::create_dir_all(&directory).map_err(LabError::file("create", &directory))?;
    }
    let path = layout.config(node);
    let text = settings.config(layout, node, manifests);
    if fs::read_to_string(&path).is_ok_and(|old| old == text) {
        return Ok(false);
    }
    fs::write(&path, text).map_err(LabError::file("write", &path))?;
    Ok(true)
}

/// Starts a node's agent in its namespace, in a session of its own (a Ctrl-C at the terminal is not meant for it).
pub(crate) fn start(sluiced: &Path, layout: &Layout, node: &str, netns: &Netns) -> Result<Child, LabError> {
    let path = layout.log(node);
    let open = || OpenOptions::new().create(true).append(true).open(&path);
    let out = open().map_err(LabError::file("open", &path))?;
    let errors = out.try_clone().map_err(LabError::file("open", &path))?;
    // setsid(1) replaces itself by the agent, so the child's id is the agent's.
    let mut command = Command::new("setsid");
    command.arg(sluiced).arg("--config").arg(layout.config(node));
    command.current_dir("/").stdin(Stdio::null()).stdout(out).stderr(errors);
    Ok(netns.spawn(&mut command)?)
}

/// The agents of a node that run, recorded or not: what lives in its namespace and was given its configuration.
pub(crate) fn unrecorded(layout: &Layout, node: &str, netns: &str) -> Vec<ProcessId> {
    let config = layout.config(node);
    let given = |process: &ProcessId| {
        let arguments = fs::read(format!("/proc/{}/cmdline", process.pid)).unwrap_or_default();
        arguments.split(|byte| *byte == 0).any(|argument| argument == config.as_os_str().as_bytes())
    };
    inhabitants::of(&[netns.to_owned()]).into_iter().filter(given).collect()
}

/// An agent that is waited for.
pub(crate) enum Watched<'a> {
    /// Started by this call.
    Child(&'a mut Child),
    /// Started by an earlier one.
    Earlier(ProcessId),
}

/// How the wait for an agent ended.
pub(crate) enum Readiness {
    /// It is ready.
    Ready,
    /// It has ended; the status is known for a child.
    Ended(Option<ExitStatus>),
}

/// Waits until an agent answers that it is ready, or has ended.
pub(crate) fn wait_ready(
    layout: &Layout,
    node: &str,
    mut agent: Watched<'_>,
    stop: &Stop,
) -> Result<Readiness, LabError> {
    let start = Instant::now();
    loop {
        stop.check()?;
        let last = match ask(layout, node) {
            Ok(status) if status.get("ready") != Some(&Value::Bool(false)) => return Ok(Readiness::Ready),
            Ok(status) => format!("it answers that it is not ready: {}", status["notReadyBecause"]),
            Err(error) => error.to_string(),
        };
        match &mut agent {
            Watched::Child(child) => {
                let ended = wait_for_child(child, LOOK_AGAIN).map_err(LabError::file("wait for", "sluiced"))?;
                if ended.is_some() {
                    return Ok(Readiness::Ended(ended));
                }
            }
            Watched::Earlier(agent) if !agent.is_running() => return Ok(Readiness::Ended(None)),
            Watched::Earlier(_) => std::thread::sleep(LOOK_AGAIN),
        }
        if start.elapsed() > READY_BOUND {
            let (node, tail) = (node.to_owned(), log_tail(layout, node));
            return Err(LabError::AgentNotReady { node, waited: READY_BOUND, last, tail });
        }
    }
}

/// Asks a node's agent for its status document.
pub(crate) fn ask(layout: &Layout, node: &str) -> Result<Value, LabError> {
    let client = Client::new(layout.socket(node)).with_answer_timeout(ANSWER_BOUND);
    match client.call(Request::Status)? {
        Response::Ok(status) => Ok(status),
        Response::Error(error) => Err(LabError::Refused(error)),
    }
}

/// The end of a node's log, with its path.
pub(crate) fn log_tail(layout: &Layout, node: &str) -> String {
    let path = layout.log(node);
    let text = fs::read(&path).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let lines: Vec<&str> = text.lines().collect();
    let tail = lines[lines.len().saturating_sub(TAIL_LINES)..].join("\n");
    format!("--- end of {}:\n{tail}", path.display())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::name::LabName;

    #[test]
    fn settings_land_in_the_configuration() {
        let mut settings = AgentSettings { cores: vec![3], ..Default::default() };
        for setting in ["superFrames=off", "features.txMetadata=off", "features.txBudget=auto", "podMtu=1400"] {
            settings.set(setting).expect("valid");
        }
        let text = settings.config(&Layout::of(&LabName::default()), "a", Path::new("/m"));
        let config: Value = serde_saphyr::from_str(&text).expect("YAML");
        assert_eq!(config["nodeName"], "a");
        assert_eq!(config["runDir"], "/run/sluice-lab/default/nodes/a/run");
        assert_eq!(config["source"]["directory"], "/m");
        assert_eq!(config["cores"], json!([3]));
        assert_eq!(config["superFrames"], "off");
        assert_eq!(config["features"], json!({"txMetadata": "off", "txBudget": "auto"}));
        assert_eq!(config["podMtu"], 1400);
    }

    #[test]
    fn an_agent_watches_an_api_server_or_a_directory_and_settings_go_before() {
        let source = ObjectSource::Kubeconfig("/k".into());
        let mut settings = AgentSettings { source, ..Default::default() };
        settings.set("source.kubernetes.server=https://192.0.2.250:6443").expect("valid");
        let text = settings.config(&Layout::of(&LabName::default()), "a", Path::new("/m"));
        let config: Value = serde_saphyr::from_str(&text).expect("YAML");
        let server = "https://192.0.2.250:6443";
        assert_eq!(config["source"], json!({"kubernetes": {"kubeconfig": "/k", "server": server}}));
    }

    #[test]
    fn what_is_no_setting_is_refused() {
        for bad in ["", "superFrames", "=off", "a..b=1", ".a=1"] {
            assert!(matches!(AgentSettings::default().set(bad), Err(LabError::Setting { .. })), "{bad:?}");
        }
    }
}
