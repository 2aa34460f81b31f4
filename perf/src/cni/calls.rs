//! Calls of the plugin as a container runtime makes them: a process of the real program each, in the node's namespace.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use serde_json::json;
use sluice_host::Netns;
use sluice_lab::Stop;

/// A namespace that plays a pod's.
#[derive(Debug)]
pub(super) struct Seat {
    pub(super) pod: String,
    pub(super) netns: PathBuf,
}

/// The plugin as the node's runtime calls it.
pub(super) struct Plugin<'a> {
    pub(super) program: &'a Path,
    pub(super) node: &'a Netns,
    pub(super) run_dir: PathBuf,
    pub(super) state_dir: PathBuf,
    /// The Kubernetes namespace of the pods.
    pub(super) namespace: &'a str,
}

impl Plugin<'_> {
    /// One call about a pod: how long it took, from before the process was started until its end was known.
    pub(super) fn call(&self, verb: &str, seat: &Seat) -> Result<Duration> {
        let Seat { pod, netns } = seat;
        let arguments = format!("IgnoreUnknown=1;K8S_POD_NAMESPACE={};K8S_POD_NAME={pod}", self.namespace);
        let mut command = self.command(verb);
        command
            .env("CNI_CONTAINERID", pod)
            .env("CNI_NETNS", netns)
            .env("CNI_IFNAME", "eth0")
            .env("CNI_ARGS", arguments);
        self.timed(verb, command).with_context(|| format!("{verb} of {pod}"))
    }

    /// One STATUS.
    pub(super) fn status(&self) -> Result<Duration> {
        self.timed("STATUS", self.command("STATUS"))
    }

    fn command(&self, verb: &str) -> Command {
        let mut command = Command::new(self.program);
        command.env_clear().env("CNI_COMMAND", verb).env("CNI_PATH", self.program.parent().unwrap_or(Path::new("/")));
        command.current_dir("/").stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    fn timed(&self, verb: &str, mut command: Command) -> Result<Duration> {
        let configuration = json!({
            "cniVersion": "1.1.0", "name": "sluice", "type": "sluice-cni",
            "runDir": self.run_dir, "stateDir": self.state_dir,
        });
        let configuration = configuration.to_string();
        let start = Instant::now();
        let mut child = self.node.spawn(&mut command)?;
        if let Some(mut stdin) = child.stdin.take() {
            stdin.write_all(configuration.as_bytes())?;
        }
        let output = child.wait_with_output()?;
        let took = start.elapsed();
        if !output.status.success() {
            bail!("{verb} failed: {}", String::from_utf8_lossy(&output.stdout).trim());
        }
        Ok(took)
    }

    /// Calls for all these pods, `parallel` at a time: each call's time in milliseconds, and that of all together in seconds.
    pub(super) fn all(&self, verb: &str, seats: &[Seat], parallel: usize, stop: &Stop) -> Result<(Vec<f64>, f64)> {
        let (next, times) = (AtomicUsize::new(0), Mutex::new(Vec::with_capacity(seats.len())));
        let start = Instant::now();
        std::thread::scope(|scope| {
            let caller = || -> Result<()> {
                while let Some(seat) = seats.get(next.fetch_add(1, Ordering::Relaxed)) {
                    stop.check()?;
                    let took = self.call(verb, seat)?;
                    times.lock().expect("no caller panics").push(took.as_secs_f64() * 1000.0);
                }
                Ok(())
            };
            let callers: Vec<_> = (0..parallel).map(|_| scope.spawn(caller)).collect();
            callers.into_iter().try_for_each(|caller| caller.join().expect("no caller panics"))
        })?;
        let total = start.elapsed().as_secs_f64();
        Ok((times.into_inner().expect("no caller panics"), total))
    }
}
