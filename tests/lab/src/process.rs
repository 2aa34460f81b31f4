//! Processes of a lab, known by their id together with their start time, so that a reused id is never signalled.

use std::fs;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::process::{Child, ExitStatus};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, Signal, WaitId, WaitIdOptions, pidfd_open, pidfd_send_signal, waitid};
use serde::{Deserialize, Serialize};

/// How long a process may take to end after SIGTERM before it gets SIGKILL.
const GRACE: Duration = Duration::from_secs(5);

/// How long the kernel may take to end a killed process. An agent has a socket for each pod, and the kernel waits for its other
/// cores before it is done with one.
const KILL_GRACE: Duration = Duration::from_secs(30);

/// One process, told from a later one with the same id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct ProcessId {
    /// The process id.
    pub pid: u32,
    /// Field 22 of `/proc/PID/stat`: clock ticks from boot to the process's start.
    pub start: u64,
}

impl ProcessId {
    /// The process that has this id now, unless it has ended.
    pub fn of(pid: u32) -> Option<Self> {
        let start = start_of(pid)?;
        let process = Self { pid, start };
        process.is_running().then_some(process)
    }

    /// True while this very process runs, be it only that a thread of it has not finished dying: until then its locks
    /// and sockets are taken.
    pub fn is_running(self) -> bool {
        self.handle().is_some()
    }

    /// A handle that stays with this very process; none when it has ended.
    fn handle(self) -> Option<OwnedFd> {
        let handle = pidfd_open(Pid::from_raw(i32::try_from(self.pid).ok()?)?, PidfdFlags::empty()).ok()?;
        // Compared only now: from here on the id cannot pass to another process behind our back.
        let same = start_of(self.pid) == Some(self.start);
        (same && !has_ended(&handle)).then_some(handle)
    }
}

/// A handle becomes readable when the last thread has ended (pidfd_open(2)). The state in `/proc/PID/stat` is only the
/// first thread's, which may be a zombie while others still run.
fn has_ended(handle: &OwnedFd) -> bool {
    let mut ended = [PollFd::new(handle, PollFlags::IN)];
    poll(&mut ended, Some(&Timespec { tv_sec: 0, tv_nsec: 0 })).is_ok_and(|ready| ready > 0)
}

fn start_of(pid: u32) -> Option<u64> {
    let stat = fs::read(format!("/proc/{pid}/stat")).ok()?;
    start_time(&String::from_utf8_lossy(&stat))
}

/// Field 22 of `/proc/PID/stat` (proc_pid_stat(5)). The name in field 2 may hold spaces and parentheses.
fn start_time(stat: &str) -> Option<u64> {
    let (_, from_third) = stat.rsplit_once(')')?;
    from_third.split_ascii_whitespace().nth(19)?.parse().ok()
}

/// Waits for a child to end, at most `bound`; none when it still runs then.
pub(crate) fn wait_for_child(child: &mut Child, bound: Duration) -> io::Result<Option<ExitStatus>> {
    let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw).ok_or(io::ErrorKind::InvalidInput)?;
    // A child that has ended keeps its id until we wait for it, so this is surely the child.
    let handle = pidfd_open(pid, PidfdFlags::empty())?;
    let wait = Timespec::try_from(bound).map_err(|_| io::ErrorKind::InvalidInput)?;
    poll(&mut [PollFd::new(&handle, PollFlags::IN)], Some(&wait))?;
    child.try_wait()
}

/// Ends processes: SIGTERM, a bounded wait, SIGKILL, a bounded wait. Returns those that still run.
pub(crate) fn end_all(processes: &[ProcessId]) -> Vec<ProcessId> {
    let mut running: Vec<(ProcessId, OwnedFd)> =
        processes.iter().filter_map(|process| Some((*process, process.handle()?))).collect();
    for (signal, grace) in [(Signal::TERM, GRACE), (Signal::KILL, KILL_GRACE)] {
        for (_, handle) in &running {
            // It may have ended since; then there is nothing to signal.
            let _ = pidfd_send_signal(handle, signal);
        }
        wait_for_all(&mut running, grace);
    }
    running.into_iter().map(|(process, _)| process).collect()
}

/// Waits until all have ended or the time is over; keeps those that still run.
fn wait_for_all(running: &mut Vec<(ProcessId, OwnedFd)>, bound: Duration) {
    let deadline = Instant::now() + bound;
    while !running.is_empty() {
        let mut ended: Vec<PollFd<'_>> = running.iter().map(|(_, fd)| PollFd::new(fd, PollFlags::IN)).collect();
        let left = deadline.saturating_duration_since(Instant::now());
        let Ok(wait) = Timespec::try_from(left) else { return };
        let _ = poll(&mut ended, Some(&wait));
        let over: Vec<bool> = ended.iter().map(|fd| fd.revents().contains(PollFlags::IN)).collect();
        let mut over = over.into_iter();
        running.retain(|(_, handle)| {
            let ended = over.next().unwrap_or(false);
            if ended {
                // Our own child would stay as a zombie; for anybody else's this fails, which is right.
                let _ = waitid(WaitId::PidFd(handle.as_fd()), WaitIdOptions::EXITED);
            }
            !ended
        });
        if left.is_zero() {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    #[test]
    fn the_start_is_found_behind_any_name() {
        let tail = "S 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 4711 20";
        assert_eq!(start_time(&format!("17 (a b) c) {tail}")), Some(4711));
        for broken in ["", "17", "17 (x)", "17 (x) S", "17 (x) S 1 2"] {
            assert_eq!(start_time(broken), None, "{broken:?}");
        }
    }

    #[test]
    fn a_process_that_minds_sigterm_ends() {
        let mut child = Command::new("sleep").arg("60").spawn().expect("sleep is there");
        let process = ProcessId::of(child.id()).expect("it runs");
        assert!(process.is_running());
        assert_eq!(end_all(&[process]), vec![]);
        assert!(!process.is_running());
        assert!(child.wait().is_err(), "it has been waited for already");
    }

    #[test]
    fn another_process_with_the_same_id_is_left_alone() {
        let mut child = Command::new("sleep").arg("60").spawn().expect("sleep is there");
        let process = ProcessId::of(child.id()).expect("it runs");
        let earlier = ProcessId { start: process.start - 1, ..process };
        assert_eq!(end_all(&[earlier]), vec![]);
        assert!(process.is_running());
        child.kill().expect("it is ours");
        child.wait().expect("it ends");
    }
}
