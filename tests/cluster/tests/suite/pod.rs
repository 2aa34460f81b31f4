//! A pod as a client: what it hears, and how often it does not.
//!
//! Programs are started in its network namespace from its node, so that they need neither the API server nor kubelet nor the runtime.

use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, ChildStderr, Command, Output, Stdio};

use serde_json::Value;
use sluice_cluster::{Cluster, Node};

/// A pod that runs.
#[derive(Debug, Clone)]
pub(crate) struct Pod {
    pub(crate) name: String,
    pub(crate) node: String,
    pub(crate) v4: String,
    pub(crate) v6: String,
    /// The path of its network namespace on its node; none before it is attached, and of pods in the node's.
    netns: Option<String>,
}

impl Pod {
    pub(crate) fn of(pod: &Value, attachments: &[Value]) -> Self {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let all = pod["status"]["podIPs"].as_array().cloned().unwrap_or_default();
        let all: Vec<String> = all.iter().map(|address| text(&address["ip"])).collect();
        let family = |v6: bool| all.iter().find(|address| address.contains(':') == v6).cloned().unwrap_or_default();
        let name = text(&pod["metadata"]["name"]);
        let known_as = format!("{}/{name}", text(&pod["metadata"]["namespace"]));
        let attached = attachments.iter().find(|one| one["pod"] == known_as.as_str());
        Self {
            name,
            node: text(&pod["spec"]["nodeName"]),
            v4: family(false),
            v6: family(true),
            netns: attached.and_then(|one| one["netns"].as_str().map(str::to_owned)),
        }
    }

    /// The probe in the pod's network namespace.
    fn probe(&self, cluster: &Cluster, verb: &str, host: &str, port: u16) -> Command {
        let netns = self.netns.as_deref().unwrap_or_else(|| panic!("{self:?} is not attached"));
        let mut command = node(cluster, &self.node).machine().command("nsenter");
        command.arg(format!("--net={netns}")).arg(probe()).args([verb, host, &port.to_string()]);
        command
    }

    /// What it hears when it asks once.
    pub(crate) fn ask(&self, cluster: &Cluster, verb: &str, host: &str, port: u16) -> Result<Heard, String> {
        Heard::from(self.probe(cluster, verb, host, port).output())
    }

    /// Asks until it hears what is wanted.
    pub(crate) fn hears(
        &self,
        cluster: &Cluster,
        verb: &str,
        (host, port): (&str, u16),
        wanted: impl Fn(&Heard) -> bool,
    ) {
        let heard = cluster.until(&format!("the right answer to {verb} {host} {port} in {}", self.name), || {
            let heard = self.ask(cluster, verb, host, port)?;
            if wanted(&heard) { Ok(()) } else { Err(format!("{heard:?}")) }
        });
        heard.unwrap_or_else(|error| panic!("{error}"));
    }

    /// Starts a client that counts, and returns when it has had its first answer.
    pub(crate) fn counting(&self, cluster: &Cluster, verb: &str, host: &str, port: u16) -> Counting {
        let mut command = self.probe(cluster, verb, host, port);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("nsenter starts");
        let mut begun = String::new();
        let mut errors = BufReader::new(child.stderr.take().expect("a pipe"));
        errors.read_line(&mut begun).expect("a line");
        assert!(begun.contains("begun"), "{verb} {host} from {self:?}: {begun}");
        Counting { name: format!("{verb} {host} from {}", self.name), child, _errors: errors }
    }
}

/// A client that counts.
pub(crate) struct Counting {
    name: String,
    child: Child,
    _errors: BufReader<ChildStderr>,
}

impl Counting {
    /// Stops it after one more request: how many were answered, how many failed, and what it printed.
    pub(crate) fn stop(mut self) -> (u64, u64, String) {
        drop(self.child.stdin.take());
        let output = self.child.wait_with_output().expect("it ends");
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let words: Vec<&str> = text.split_whitespace().collect();
        let [_, ok, _, failed, ..] = words.as_slice() else { panic!("{}: a count: {text:?}", self.name) };
        (ok.parse().expect("a number"), failed.parse().expect("a number"), format!("{}: {text}", self.name))
    }
}

/// Stops them all, shows that every request of theirs was answered, the last ones among them, and says how many there were.
pub(crate) fn never_failed(all: impl IntoIterator<Item = Counting>) {
    let (mut clients, mut answers, mut failures) = (0, 0, String::new());
    for counting in all {
        let (ok, failed, told) = counting.stop();
        clients += 1;
        answers += ok;
        if failed > 0 || ok == 0 {
            failures += &told;
        }
    }
    assert!(failures.is_empty(), "{failures}");
    println!("    {answers} requests of {clients} clients, 0 failed");
}

/// Stops them all and says what they counted, where nothing is promised: a connection that begins while its node has no daemon fails when
/// that takes longer than a pod's kernel looks for its gateway, three seconds.
pub(crate) fn told(all: impl IntoIterator<Item = Counting>) {
    let counts =
        all.into_iter().map(Counting::stop).fold((0, 0), |(ok, failed), count| (ok + count.0, failed + count.1));
    println!("    new connections meanwhile: {} answered, {} failed", counts.0, counts.1);
}

/// The probe as a program of this machine, beside the running test.
pub(crate) fn probe() -> PathBuf {
    let running = std::env::current_exe().expect("a path");
    running.ancestors().nth(2).expect("the target directory").join("sluice-probe")
}

/// An answer of a probe: who answered, and as whom it saw the client.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Heard {
    pub(crate) from: String,
    pub(crate) client: String,
}

impl Heard {
    pub(crate) fn of(text: &str) -> Self {
        let mut words = text.split_whitespace().map(str::to_owned);
        Self { from: words.next().unwrap_or_default(), client: words.next().unwrap_or_default() }
    }

    /// What a program printed that asked.
    pub(crate) fn from<E: ToString>(output: Result<Output, E>) -> Result<Self, String> {
        let output = output.map_err(|error| error.to_string())?;
        if output.status.success() {
            Ok(Self::of(&String::from_utf8_lossy(&output.stdout)))
        } else {
            Err(format!("{output:?}"))
        }
    }
}

/// A node of the cluster.
pub(crate) fn node<'a>(cluster: &'a Cluster, name: &str) -> &'a Node {
    cluster.nodes().iter().find(|node| node.name() == name).expect("a node")
}

/// What the node's sluiced says of itself.
pub(crate) fn status(cluster: &Cluster, name: &str) -> Result<Value, String> {
    let text = node(cluster, name).run("curl --silent --show-error --max-time 20 http://127.0.0.1:9810/status");
    serde_json::from_str(&text.map_err(|error| error.to_string())?).map_err(|error| error.to_string())
}

/// The attachments that the node's sluiced knows.
pub(crate) fn attachments(cluster: &Cluster, node: &str) -> Vec<Value> {
    let status = cluster.until(&format!("the status of {node}"), || status(cluster, node));
    let status = status.unwrap_or_else(|error| panic!("{error}"));
    status["attachments"].as_array().cloned().unwrap_or_else(|| panic!("attachments in {status}"))
}
