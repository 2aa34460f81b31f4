//! Which cores this process may run on, and keeping the control side off the workers'.

use nix::errno::Errno;
use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
use nix::unistd::Pid;

/// The calling thread: `sched_setaffinity(2)` takes a thread's id, and 0 for the caller's.
const THIS_THREAD: Pid = Pid::from_raw(0);

/// Cores that the calling thread may run on, in rising order.
pub(crate) fn available() -> Result<Vec<usize>, Errno> {
    let set = sched_getaffinity(THIS_THREAD)?;
    Ok((0..CpuSet::count()).filter(|core| set.is_set(*core).unwrap_or(false)).collect())
}

/// Moves the calling thread, and so every thread it starts later, to the available cores that no worker has. Where
/// the workers have them all, nothing changes.
pub(crate) fn leave_to_workers(available: &[usize], workers: &[usize]) -> Result<(), Errno> {
    let rest: Vec<usize> = available.iter().copied().filter(|core| !workers.contains(core)).collect();
    if rest.is_empty() {
        return Ok(());
    }
    let mut set = CpuSet::new();
    rest.iter().try_for_each(|core| set.set(*core))?;
    sched_setaffinity(THIS_THREAD, &set)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_control_side_gets_what_the_workers_leave() {
        // On a thread of its own: the mask is the thread's.
        std::thread::spawn(|| {
            let all = available().unwrap();
            leave_to_workers(&all, &all).unwrap();
            assert_eq!(available().unwrap(), all);
            if let [first, rest @ ..] = all.as_slice()
                && !rest.is_empty()
            {
                leave_to_workers(&all, &[*first]).unwrap();
                assert_eq!(available().unwrap(), rest);
            }
        })
        .join()
        .unwrap();
    }
}
