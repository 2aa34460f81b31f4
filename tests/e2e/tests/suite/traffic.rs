//! Traffic that goes on while something happens, and is counted.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::call::{Connection, ask};
use crate::place::Place;

/// Between two rounds.
const PAUSE: Duration = Duration::from_millis(10);
/// How long an answer may take: servers that start need the whole machine. What is lost for good is not answered within this.
const PATIENCE: Duration = Duration::from_secs(10);

/// What became of the traffic.
#[derive(Debug, Default)]
pub(crate) struct Counted {
    /// Messages that came back on the connection that was open all the time.
    pub(crate) exchanged: u64,
    /// New connections that were answered.
    pub(crate) connected: u64,
    /// Datagrams that came back.
    pub(crate) datagrams: u64,
    /// What failed, in words.
    pub(crate) failed: Vec<String>,
}

/// A client that goes on calling until it is asked how it went.
#[derive(Debug)]
pub(crate) struct Traffic {
    end: Arc<AtomicBool>,
    thread: JoinHandle<Counted>,
}

impl Traffic {
    /// Begins, with a connection that is answered.
    pub(crate) fn start(from: Place, to: SocketAddr) -> Self {
        from.await_tcp(to);
        let open = from.connect(to).unwrap_or_else(|error| panic!("{to}: {error}"));
        let end = Arc::new(AtomicBool::new(false));
        let raised = Arc::clone(&end);
        Self { end, thread: std::thread::spawn(move || call(&from, to, open, &raised)) }
    }

    /// Ends it; nothing may have failed.
    pub(crate) fn end_whole(self) {
        self.end.store(true, Ordering::Release);
        let counted = self.thread.join().expect("the traffic ends");
        assert!(counted.failed.is_empty(), "{counted:?}");
        assert!(counted.exchanged > 0 && counted.connected > 0 && counted.datagrams > 0, "{counted:?}");
    }
}

fn call(from: &Place, to: SocketAddr, mut open: Connection, end: &AtomicBool) -> Counted {
    let mut counted = Counted::default();
    let datagrams = from.udp_socket(to, 0);
    // At least one round, for who ends it may come before this thread has begun.
    loop {
        match open.exchange(b"still here") {
            Ok(()) => counted.exchanged += 1,
            Err(error) => counted.failed.push(format!("the open connection: {error}")),
        }
        match from.connect(to) {
            Ok(_) => counted.connected += 1,
            Err(error) => counted.failed.push(format!("a new connection: {error}")),
        }
        // One datagram may be lost, as anywhere; two one after the other are not.
        match ask(&datagrams, b"still here", PATIENCE).or_else(|_| ask(&datagrams, b"still here", PATIENCE)) {
            Ok(_) => counted.datagrams += 1,
            Err(error) => counted.failed.push(format!("two datagrams: {error}")),
        }
        if end.load(Ordering::Acquire) || counted.failed.len() >= 5 {
            return counted;
        }
        std::thread::sleep(PAUSE);
    }
}
