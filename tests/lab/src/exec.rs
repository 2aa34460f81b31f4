//! Becoming a command inside a namespace.

use std::ffi::OsString;
use std::os::fd::AsFd;
use std::os::unix::process::CommandExt;
use std::process::Command;

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use sluice_host::Netns;

use crate::error::LabError;

/// Moves this thread into the namespace called `netns` and replaces the process by `command`, so that terminal,
/// signals and exit code are the command's own. Returns only when that fails.
pub fn exec_in(netns: &str, command: &[OsString]) -> LabError {
    let namespace = match Netns::open_named(netns) {
        Ok(namespace) => namespace,
        Err(error) => return error.into(),
    };
    let Some((program, arguments)) = command.split_first() else {
        return LabError::Exec { program: String::new(), source: std::io::ErrorKind::InvalidInput.into() };
    };
    let failed = |source| LabError::Exec { program: program.to_string_lossy().into_owned(), source };
    if let Err(errno) = move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::Network)) {
        return failed(errno.into());
    }
    failed(Command::new(program).args(arguments).exec())
}
