//! etcd, in memory.

use std::fs;
use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use sluice_host::Netns;

use super::{Etcd, Place};
use crate::error::E2eError;
use crate::programs;
use crate::running::Running;

/// Where it serves, inside the namespace.
pub(super) const URL: &str = "http://127.0.0.1:2379";
const ADDRESS: &str = "127.0.0.1:2379";
const PEER_URL: &str = "http://127.0.0.1:2380";
/// How long a start may take.
const READY_BOUND: Duration = Duration::from_secs(120);
const LOOK_AGAIN: Duration = Duration::from_millis(20);
const ANSWER_BOUND: Duration = Duration::from_secs(30);
/// Bytes that it may keep: the objects of a large cluster with their history.
const QUOTA: u64 = 8 << 30;

/// A running etcd.
#[derive(Debug)]
pub(super) struct EtcdServer {
    _process: Running,
}

impl EtcdServer {
    pub(super) fn start(place: &Place, which: Etcd) -> Result<Self, E2eError> {
        let data = place.file("etcd");
        fs::create_dir_all(&data).map_err(E2eError::file(&data))?;
        let program = match which {
            Etcd::Current => programs::built("etcd", "ETCD")?,
            Etcd::Debian => programs::installed("etcd", "PATH")?,
        };
        // In a mount namespace of its own the data is in memory, for 3.4 cannot be told not to wait for a disk; it goes with it.
        let mount = "mount -t tmpfs -o mode=0700 tmpfs \"$0\" && exec \"$@\"";
        let mut command: Vec<String> =
            ["unshare", "--mount", "--propagation", "private", "sh", "-c", mount].map(str::to_owned).into();
        let data = data.to_string_lossy().into_owned();
        command.extend([data.clone(), program.to_string_lossy().into_owned()]);
        command.extend(
            [
                ("data-dir", data.as_str()),
                ("listen-client-urls", URL),
                ("advertise-client-urls", URL),
                ("listen-peer-urls", PEER_URL),
                ("initial-advertise-peer-urls", PEER_URL),
                ("initial-cluster", &format!("default={PEER_URL}")),
                ("quota-backend-bytes", &QUOTA.to_string()),
                // As installers of clusters set it, so that bookmarks come also where nothing happens.
                ("experimental-watch-progress-notify-interval", "5s"),
                ("logger", "zap"),
                ("log-level", "warn"),
            ]
            .map(|(flag, value)| format!("--{flag}={value}")),
        );
        let netns = place.netns()?;
        let mut process = Running::start(&netns, &command, &place.file("etcd.log"))?;
        let start = Instant::now();
        while let Err(last) = ask(&netns, "/v3/kv/range", &json!({ "key": "Lw==" })) {
            let ended = process.ended();
            if ended.is_some() || start.elapsed() > READY_BOUND {
                let last = ended.map_or_else(|| last.to_string(), |status| format!("it ended with {status}"));
                let tail = process.tail();
                return Err(E2eError::NotReady { program: "etcd", waited: start.elapsed(), last, tail });
            }
            std::thread::sleep(LOOK_AGAIN);
        }
        Ok(Self { _process: process })
    }

    /// Forgets every revision but the last.
    pub(super) fn compact(&self, netns: &Netns) -> Result<(), E2eError> {
        let failed = |reason: String| E2eError::Unreachable { request: "compaction of etcd".to_owned(), reason };
        let now = ask(netns, "/v3/kv/range", &json!({ "key": "Lw==" })).map_err(|error| failed(error.to_string()))?;
        let revision = now["header"]["revision"].as_str().ok_or_else(|| failed(format!("no revision in {now}")))?;
        let order = json!({ "revision": revision, "physical": true });
        ask(netns, "/v3/kv/compaction", &order).map_err(|error| failed(error.to_string())).map(drop)
    }
}

/// A call of etcd's JSON gateway.
fn ask(netns: &Netns, path: &str, body: &Value) -> io::Result<Value> {
    let body = body.to_string();
    let mut answer = String::new();
    let asked = netns.run(|| -> io::Result<()> {
        let mut stream = TcpStream::connect(ADDRESS)?;
        stream.set_read_timeout(Some(ANSWER_BOUND))?;
        write!(stream, "POST {path} HTTP/1.0\r\nContent-Length: {}\r\n\r\n{body}", body.len())?;
        stream.read_to_string(&mut answer)?;
        Ok(())
    });
    asked.map_err(io::Error::other)??;
    let (head, text) = answer.split_once("\r\n\r\n").unwrap_or_default();
    if !head.starts_with("HTTP/1.0 200") && !head.starts_with("HTTP/1.1 200") {
        return Err(io::Error::other(answer));
    }
    serde_json::from_str(text).map_err(io::Error::other)
}
