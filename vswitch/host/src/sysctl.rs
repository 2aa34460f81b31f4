//! Settings under `/proc/sys/net`, which the kernel keeps once per network namespace.
//!
//! Keys are written with slashes, as device names may hold dots: `net/ipv4/conf/eth0.1/rp_filter`.
//!
//! In a container that is not privileged `/proc/sys` is read-only. There the node's `/proc/sys/net` is mounted at
//! `/host/proc/sys/net` (deploy/manifests/daemonset.yaml), and is used instead; which namespace's settings it shows follows the
//! thread as well.

use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use crate::error::{Error, ErrorKind, Failure};
use crate::netns::{HERE, Netns};

/// Where the settings are, and where a container has those of its node.
const SETTINGS: &str = "/proc/sys";
const OF_THE_NODE: &str = "/host/proc/sys";

/// Room for the longest value, a list of ports of which every other one is in it.
const LONGEST: usize = 256 << 10;

/// Sets `key` to `value` in the calling thread's namespace. The kernel looks up `/proc/sys/net` by the thread that
/// opens it, so inside [`Netns::run`] this is that namespace's setting.
///
/// # Errors
/// [`ErrorKind::NotFound`] for a key this kernel lacks or of a device that does not exist, [`ErrorKind::Invalid`] for
/// a value it refuses, [`ErrorKind::BadName`] for a key that is not below `net/`.
pub fn set(key: &str, value: &str) -> Result<(), Error> {
    write(key, value).map_err(|failure| Error::new("set", format!("{key}={value}"), HERE, failure))
}

/// The value of `key` in the calling thread's namespace, without the line's end.
///
/// # Errors
/// As [`set`].
pub fn get(key: &str) -> Result<String, Error> {
    read(key).map_err(|failure| Error::new("read", key, HERE, failure))
}

/// Sets several keys, in order, in `netns`.
///
/// # Errors
/// The first that fails, as [`set`]; those before it stay set.
pub fn set_in(netns: &Netns, settings: &[(&str, &str)]) -> Result<(), Error> {
    netns.run(|| {
        settings.iter().try_for_each(|(key, value)| {
            write(key, value).map_err(|failure| Error::new("set", format!("{key}={value}"), netns.label(), failure))
        })
    })?
}

fn write(key: &str, value: &str) -> Result<(), Failure> {
    Ok(fs::write(path_of(key)?, value)?)
}

/// The whole value by one read(2): of some settings, such as lists of ports, the kernel gives as much as a first read asks for and then
/// says that this was the end (`proc_do_large_bitmap`, kernel/sysctl.c), and std's first read asks for 32 bytes.
fn read(key: &str) -> Result<String, Failure> {
    let mut bytes = vec![0; LONGEST];
    let length = fs::File::open(path_of(key)?)?.read(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes[..length]).trim_end().to_owned())
}

/// A device name is part of some keys and may come from outside: a key must not lead out of the namespace's settings.
fn path_of(key: &str) -> Result<PathBuf, Failure> {
    let inside = key
        .strip_prefix("net/")
        .is_some_and(|rest| rest.split('/').all(|part| !matches!(part, "" | "." | "..")) && !rest.contains('\0'));
    if !inside {
        return Err(ErrorKind::BadName(
            "a sysctl key starts with net/ and has slashes, for example net/ipv4/ip_forward",
        )
        .into());
    }
    Ok(settings().join(key))
}

fn settings() -> &'static Path {
    static CHOSEN: OnceLock<&Path> = OnceLock::new();
    CHOSEN.get_or_init(|| {
        let of_the_node = Path::new(OF_THE_NODE);
        if of_the_node.join("net").is_dir() { of_the_node } else { Path::new(SETTINGS) }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_outside_the_namespace_are_refused() {
        for key in
            ["kernel/panic", "net/../kernel/panic", "net/", "/net/ipv4", "net//ipv4", "net.ipv4.ip_forward", "net/a\0"]
        {
            assert!(matches!(path_of(key).unwrap_err().kind, ErrorKind::BadName(_)), "{key:?}");
        }
        assert_eq!(path_of("net/ipv4/conf/a.1/rp_filter").unwrap(), Path::new("/proc/sys/net/ipv4/conf/a.1/rp_filter"));
    }
}
