//! A server inside a place: says who it is and whom it sees, then repeats what it is told.

use std::io::{ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::place::Place;

/// How often a server looks whether it is to end.
const TICK: Duration = Duration::from_millis(50);

/// TCP and UDP on one port of both addresses. Over TCP it begins with the line `NAME PEER`; over UDP that line precedes the same
/// bytes that came. Ends with this value.
#[derive(Debug)]
pub(crate) struct Server {
    end: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

impl Server {
    /// Listens on the addresses of `place`.
    pub(crate) fn start(place: &Place, port: u16) -> Self {
        let end = Arc::new(AtomicBool::new(false));
        let mut threads = Vec::new();
        for at in place.at(port) {
            let (tcp, udp) = place.inside(|| (TcpListener::bind(at), UdpSocket::bind(at)));
            let (tcp, udp) = (tcp.expect("the port is free"), udp.expect("the port is free"));
            let (name, stop) = (place.name.clone(), Arc::clone(&end));
            threads.push(std::thread::spawn(move || accept(&name, &tcp, &stop)));
            let (name, stop) = (place.name.clone(), Arc::clone(&end));
            threads.push(std::thread::spawn(move || repeat_datagrams(&name, &udp, &stop)));
        }
        Self { end, threads }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.end.store(true, Ordering::Release);
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

fn accept(name: &str, listener: &TcpListener, end: &Arc<AtomicBool>) {
    let tick = Timespec { tv_sec: 0, tv_nsec: i64::from(TICK.subsec_nanos()) };
    let mut connections = Vec::new();
    while !end.load(Ordering::Acquire) {
        let mut ready = [PollFd::new(listener, PollFlags::IN)];
        if !matches!(poll(&mut ready, Some(&tick)), Ok(1..)) {
            continue;
        }
        // A client may have given up before it is accepted.
        let Ok((stream, peer)) = listener.accept() else { continue };
        let greeting = format!("{name} {peer}\n");
        let end = Arc::clone(end);
        connections.push(std::thread::spawn(move || repeat_stream(&greeting, stream, &end)));
    }
    for connection in connections {
        let _ = connection.join();
    }
}

/// Ends with the connection, whichever way.
fn repeat_stream(greeting: &str, mut stream: TcpStream, end: &AtomicBool) {
    let mut block = vec![0; 64 * 1024];
    let made = stream.set_read_timeout(Some(TICK)).and_then(|()| stream.write_all(greeting.as_bytes()));
    while made.is_ok() && !end.load(Ordering::Acquire) {
        match stream.read(&mut block) {
            Ok(0) => return,
            Ok(length) if stream.write_all(&block[..length]).is_err() => return,
            Ok(_) => {}
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => {}
            Err(_) => return,
        }
    }
}

fn repeat_datagrams(name: &str, socket: &UdpSocket, end: &AtomicBool) {
    let mut block = vec![0; 65536];
    socket.set_read_timeout(Some(TICK)).expect("a socket has timeouts");
    while !end.load(Ordering::Acquire) {
        // An error is an ICMP message about an earlier answer.
        let Ok((length, peer)) = socket.recv_from(&mut block) else { continue };
        let mut answer = format!("{name} {peer}\n").into_bytes();
        answer.extend_from_slice(&block[..length]);
        let _ = socket.send_to(&answer, peer);
    }
}
