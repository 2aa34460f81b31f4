//! Calls of the CNI plugin as a container runtime makes them: the real program, in the node's namespace.

use std::io::{Read, Write};
use std::net::IpAddr;
use std::path::Path;
use std::process::{Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use ipnet::IpNet;
use serde_json::{Value, json};
use sluice_host::Netns;

use crate::error::LabError;
use crate::layout::{Layout, netns_path};
use crate::process::wait_for_child;
use crate::record::{PodAttachment, PodRecord};

/// How long one call may take; kubelet gives a pod's sandbox four minutes.
const CALL_BOUND: Duration = Duration::from_secs(60);

/// The interface every pod gets.
pub(crate) const INTERFACE: &str = "eth0";

/// The plugin as one node's runtime calls it.
pub(crate) struct Plugin<'a> {
    /// The program.
    pub(crate) program: &'a Path,
    /// The node's namespace, in which it runs.
    pub(crate) node_netns: &'a Netns,
    /// Where the node's agent is found.
    pub(crate) layout: &'a Layout,
}

/// What a call printed, how it ended, how long it took.
struct Outcome {
    status: ExitStatus,
    stdout: String,
    stderr: String,
    took: Duration,
}

impl Plugin<'_> {
    /// Attaches a pod.
    pub(crate) fn add(&self, pod: &PodRecord) -> Result<PodAttachment, LabError> {
        let outcome = self.call("ADD", pod)?;
        let unusable = |problem: &str| refused("ADD", pod, format!("{problem}: {:?}", outcome.stdout));
        let result: Value = serde_json::from_str(&outcome.stdout)
            .map_err(|error| unusable(&format!("its result is no JSON ({error})")))?;
        let (addresses, gateways) = addresses(&result).ok_or_else(|| unusable("its result has no usable ips"))?;
        let millis = outcome.took.as_secs_f64() * 1000.0;
        Ok(PodAttachment { interface: INTERFACE.to_owned(), addresses, gateways, millis })
    }

    /// Detaches a pod; fine when it was not attached.
    pub(crate) fn del(&self, pod: &PodRecord) -> Result<(), LabError> {
        self.call("DEL", pod).map(drop)
    }

    fn call(&self, verb: &'static str, pod: &PodRecord) -> Result<Outcome, LabError> {
        let outcome = self.execute(verb, pod)?;
        if outcome.status.success() {
            return Ok(outcome);
        }
        let said = serde_json::from_str::<Value>(&outcome.stdout).ok().and_then(|error| {
            let text = |key: &str| error.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
            Some(format!("{} {} (code {})", text("msg"), text("details"), error.get("code")?))
        });
        let printed = || format!("{}: {} {}", outcome.status, outcome.stdout.trim(), outcome.stderr.trim());
        Err(refused(verb, pod, said.unwrap_or_else(printed)))
    }

    fn execute(&self, verb: &'static str, pod: &PodRecord) -> Result<Outcome, LabError> {
        let failed = |what: &str, error: std::io::Error| refused(verb, pod, format!("{what}: {error}"));
        let mut command = Command::new(self.program);
        command.env_clear().envs(self.environment(verb, pod)).current_dir("/");
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let start = Instant::now();
        let mut child = self.node_netns.spawn(&mut command)?;
        if let Some(mut stdin) = child.stdin.take() {
            // A plugin that does not read its configuration says why on its own output.
            let _ = stdin.write_all(self.configuration(&pod.node).to_string().as_bytes());
        }
        let ended = wait_for_child(&mut child, CALL_BOUND).map_err(|error| failed("cannot wait for it", error))?;
        let took = start.elapsed();
        let Some(status) = ended else {
            let _ = child.kill();
            let _ = child.wait();
            return Err(refused(verb, pod, format!("no answer within {CALL_BOUND:?}, killed")));
        };
        let stdout = read_all(child.stdout.take()).map_err(|error| failed("cannot read its output", error))?;
        let stderr = read_all(child.stderr.take()).map_err(|error| failed("cannot read its output", error))?;
        Ok(Outcome { status, stdout, stderr, took })
    }

    fn environment(&self, verb: &str, pod: &PodRecord) -> Vec<(&'static str, String)> {
        let directory = self.program.parent().unwrap_or(Path::new("/"));
        vec![
            ("CNI_COMMAND", verb.to_owned()),
            ("CNI_CONTAINERID", pod.container_id.clone()),
            ("CNI_NETNS", netns_path(&pod.netns).display().to_string()),
            ("CNI_IFNAME", INTERFACE.to_owned()),
            ("CNI_PATH", directory.display().to_string()),
            ("CNI_ARGS", arguments(pod)),
        ]
    }

    /// The plugin's part of the network's conflist, with name and version carried over, as libcni hands it down.
    fn configuration(&self, node: &str) -> Value {
        json!({
            "cniVersion": "1.1.0",
            "name": "sluice",
            "type": "sluice-cni",
            "runDir": self.layout.run_dir(node),
            "stateDir": self.layout.state_dir(node),
        })
    }
}

/// What containerd tells every plugin about the pod.
fn arguments(pod: &PodRecord) -> String {
    format!(
        "IgnoreUnknown=1;K8S_POD_NAMESPACE={};K8S_POD_NAME={};K8S_POD_INFRA_CONTAINER_ID={};K8S_POD_UID={}",
        pod.namespace, pod.name, pod.container_id, pod.uid
    )
}

/// Addresses and gateways of a CNI result; none when there is no address or one cannot be read.
fn addresses(result: &Value) -> Option<(Vec<IpAddr>, Vec<IpAddr>)> {
    let ips = result.get("ips")?.as_array()?;
    let address = |ip: &Value| Some(ip.get("address")?.as_str()?.parse::<IpNet>().ok()?.addr());
    let gateway = |ip: &Value| ip.get("gateway")?.as_str()?.parse().ok();
    let addresses = ips.iter().map(address).collect::<Option<Vec<_>>>()?;
    (!addresses.is_empty()).then(|| (addresses, ips.iter().filter_map(gateway).collect()))
}

fn read_all(pipe: Option<impl Read>) -> std::io::Result<String> {
    let mut bytes = Vec::new();
    if let Some(mut pipe) = pipe {
        pipe.read_to_end(&mut bytes)?;
    }
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

fn refused(command: &'static str, pod: &PodRecord, reason: String) -> LabError {
    LabError::Cni { command, pod: format!("{}/{}", pod.namespace, pod.name), reason }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_from_a_result() {
        let result = json!({"ips": [
            {"address": "10.244.1.2/32", "gateway": "169.254.1.1", "interface": 1},
            {"address": "fd00:10:244:1::2/128"},
        ]});
        let (addresses, gateways) = addresses(&result).expect("usable");
        assert_eq!(addresses, ["10.244.1.2".parse::<IpAddr>().unwrap(), "fd00:10:244:1::2".parse().unwrap()]);
        assert_eq!(gateways, ["169.254.1.1".parse::<IpAddr>().unwrap()]);
    }

    #[test]
    fn a_result_without_addresses_is_none() {
        for result in [json!({}), json!({"ips": []}), json!({"ips": [{"address": "here"}]}), json!({"ips": 1})] {
            assert_eq!(addresses(&result), None, "{result}");
        }
    }
}
