//! The measuring side's end of a generator process.

use std::ffi::OsString;
use std::io::{BufRead, BufReader, Read};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use serde::de::DeserializeOwned;
use sluice_host::Netns;
use sluice_lab::Stop;

use crate::generators::Ready;

/// Time between two looks at the stop flag.
const TICK: Duration = Duration::from_millis(50);

/// The running program itself, also after its file was replaced by a newer one.
const THIS_PROGRAM: &str = "/proc/self/exe";

/// How long a server may take to listen.
const START_BOUND: Duration = Duration::from_secs(5);

/// A generator process inside a namespace; it ends with this value at the latest.
pub(crate) struct Worker {
    what: String,
    child: Child,
    lines: Receiver<String>,
    complaints: Option<JoinHandle<String>>,
    stop: Stop,
}

impl Worker {
    /// Starts a generator in `netns` on `core`; `role` is its part of the command line.
    pub(crate) fn spawn(netns: &Netns, core: usize, role: &[&str], stop: &Stop) -> Result<Self> {
        let mut command = Command::new(THIS_PROGRAM);
        command.arg("worker").arg("--core").arg(core.to_string()).args(role.iter().map(OsString::from));
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        // A Ctrl-C at the terminal is for us; we end the generators ourselves.
        command.process_group(0);
        let mut child = netns.spawn(&mut command)?;
        let (sender, lines) = channel();
        if let Some(stdout) = child.stdout.take() {
            std::thread::spawn(move || {
                let lines = BufReader::new(stdout).lines().map_while(Result::ok);
                lines.for_each(|line| drop(sender.send(line)));
            });
        }
        let complaints = child.stderr.take().map(|mut stderr| {
            std::thread::spawn(move || {
                let mut text = String::new();
                let _ = stderr.read_to_string(&mut text);
                text
            })
        });
        let what = format!("{} in {}", role.first().unwrap_or(&"generator"), netns.label());
        Ok(Self { what, child, lines, complaints, stop: stop.clone() })
    }

    /// Waits until a server listens.
    pub(crate) fn ready(&mut self) -> Result<Ready> {
        self.answer(START_BOUND)
    }

    /// Tells a server that no more will come.
    pub(crate) fn no_more(&mut self) {
        drop(self.child.stdin.take());
    }

    /// Waits for the next line of the process and reads it.
    pub(crate) fn answer<T: DeserializeOwned>(&mut self, bound: Duration) -> Result<T> {
        let deadline = Instant::now() + bound;
        loop {
            self.stop.check()?;
            match self.lines.recv_timeout(TICK) {
                Ok(line) => return serde_json::from_str(&line).with_context(|| format!("{}: {line:?}", self.what)),
                Err(RecvTimeoutError::Timeout) if Instant::now() < deadline => {}
                Err(RecvTimeoutError::Timeout) => bail!("{}: no answer within {bound:?}", self.what),
                Err(RecvTimeoutError::Disconnected) => {
                    // Its output has ended, so its complaints are complete too.
                    let said = self.complaints.take().and_then(|thread| thread.join().ok()).unwrap_or_default();
                    bail!("{}: {}", self.what, said.trim())
                }
            }
        }
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        // It has ended already, or it has no result we want.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
