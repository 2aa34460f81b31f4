//! A program that runs in a namespace until it is ended.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};

use rustix::process::{Pid, Signal, kill_process};
use sluice_host::Netns;

use crate::error::E2eError;

/// Lines of its log shown with a failure.
const TAIL_LINES: usize = 25;

/// A process of ours. Dropping it kills it.
#[derive(Debug)]
pub struct Running {
    child: Child,
    log: PathBuf,
}

impl Running {
    /// Starts it in a session of its own (a Ctrl-C at the terminal is not meant for it); what it prints goes to `log`.
    ///
    /// # Errors
    /// When the log cannot be written or the program not be started.
    pub fn start(netns: &Netns, command: &[String], log: &Path) -> Result<Self, E2eError> {
        let open = || File::options().create(true).append(true).open(log);
        let out = open().map_err(E2eError::file(log))?;
        let errors = out.try_clone().map_err(E2eError::file(log))?;
        // setsid(1) replaces itself by the program, so the child's id is the program's.
        let mut setsid = Command::new("setsid");
        setsid.args(command).current_dir("/").stdin(Stdio::null()).stdout(out).stderr(errors);
        Ok(Self { child: netns.spawn(&mut setsid)?, log: log.to_owned() })
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// How it ended, if it has.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().ok().flatten()
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: Signal) {
        let pid = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw);
        // One that has ended is a zombie until we wait for it, so the id is surely the child's.
        let _ = pid.map(|pid| kill_process(pid, signal));
    }

    /// Whether every thread of it is stopped: the kernel stops one after the other.
    pub(crate) fn is_stopped(&self) -> bool {
        let threads = fs::read_dir(format!("/proc/{}/task", self.child.id())).into_iter().flatten().flatten();
        // "ID (NAME) STATE ...", and a name may have anything in it (proc_pid_stat(5)).
        let is_stopped = |stat: &str| stat.rsplit_once(')').is_some_and(|(_, rest)| rest.trim_start().starts_with('T'));
        threads.map(|thread| thread.path().join("stat")).all(|stat| {
            // One that cannot be read has ended.
            fs::read_to_string(stat).map_or(true, |stat| is_stopped(&stat))
        })
    }

    /// The end of what it printed.
    pub fn tail(&self) -> String {
        let text = fs::read(&self.log).unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        let lines: Vec<&str> = text.lines().collect();
        let tail = lines[lines.len().saturating_sub(TAIL_LINES)..].join("\n");
        format!("--- end of {}:\n{tail}", self.log.display())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
