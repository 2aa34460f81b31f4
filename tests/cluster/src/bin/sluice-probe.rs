//! What runs in the tests' pods: a server that says who it is, and clients that count.
//!
//! ```text
//! sluice-probe serve PORT [QUIET]    HTTP and UDP on all addresses: answers with its own name and the client's address. Told to end
//!                                    (SIGTERM), it serves on until it has had no request for QUIET seconds (none); kubelet's do not count
//! sluice-probe ask HOST PORT         one request; prints the answer
//! sluice-probe ask-udp HOST PORT     one datagram; prints the answer
//! sluice-probe load HOST PORT        requests on a new connection each, one after the other, until it is told to stop by the end of
//!                                    its standard input, and one more; prints `ok N failed M` and the first failures
//! sluice-probe try HOST PORT         the same, with less patience
//! sluice-probe hold HOST PORT        the same on one connection for all; it never makes a second one
//! sluice-probe resolve NAME          the addresses that the system's resolver finds
//! ```

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream, ToSocketAddrs, UdpSocket};
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use signal_hook::consts::SIGTERM;

type Failure = Box<dyn std::error::Error + Send + Sync>;

/// How long an answer may take: to a single question, which may be one that nobody is to answer; to those of a client that counts; and on
/// a connection that is to outlive whatever happens.
const PATIENCE: Duration = Duration::from_secs(2);
const COUNTED_PATIENCE: Duration = Duration::from_secs(60);
const LONG_PATIENCE: Duration = Duration::from_secs(120);
/// Between two requests of a client that counts.
const PAUSE: Duration = Duration::from_millis(10);
/// Between two looks of a server whether it may end.
const LOOK: Duration = Duration::from_millis(20);
/// What kubelet's probes call themselves.
const KUBELET: &str = "kube-probe/";
/// Failures that are told word by word.
const TOLD: usize = 5;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let done = match words.as_slice() {
        ["serve", port] => serve(port, "0"),
        ["serve", port, quiet] => serve(port, quiet),
        ["ask", host, port] => {
            connect(host, port, PATIENCE).and_then(|stream| ask(&stream)).map(|answer| print!("{answer}"))
        }
        ["ask-udp", host, port] => ask_udp(host, port).map(|answer| print!("{answer}")),
        ["load", host, port] => load(host, port, COUNTED_PATIENCE),
        ["try", host, port] => load(host, port, PATIENCE),
        ["hold", host, port] => hold(host, port),
        ["resolve", name] => resolve(name),
        _ => Err("sluice-probe serve PORT [QUIET] | ask|ask-udp|load|try|hold HOST PORT | resolve NAME".into()),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("sluice-probe: {error}");
            ExitCode::FAILURE
        }
    }
}

/// When the last request of a client came.
type Last = Arc<Mutex<Instant>>;

fn serve(port: &str, quiet: &str) -> Result<(), Failure> {
    let port: u16 = port.parse()?;
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname")?.trim().to_owned();
    let quiet = Duration::from_secs(quiet.parse()?);
    // The first process of a container ends by no signal that it does not ask for.
    let told = Arc::new(AtomicBool::new(false));
    signal_hook::flag::register(SIGTERM, Arc::clone(&told))?;
    let last = Last::new(Mutex::new(Instant::now()));
    // Of both families: Linux lets a socket of IPv6 take IPv4 unless it is told not to.
    let listener = TcpListener::bind(("::", port))?;
    let datagrams = UdpSocket::bind(("::", port))?;
    let other = name.clone();
    std::thread::spawn(move || {
        let mut bytes = [0; 65536];
        while let Ok((_, from)) = datagrams.recv_from(&mut bytes) {
            let _ = datagrams.send_to(said(&other, from).as_bytes(), from);
        }
    });
    eprintln!("{name} serves port {port}");
    let heard = Arc::clone(&last);
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let (name, last) = (name.clone(), Arc::clone(&heard));
            std::thread::spawn(move || answer(&stream, &name, &last));
        }
    });
    while !told.load(Ordering::Relaxed) {
        std::thread::sleep(LOOK);
    }
    let since = Instant::now();
    while since.max(*last.lock().unwrap_or_else(PoisonError::into_inner)).elapsed() < quiet {
        std::thread::sleep(LOOK);
    }
    Ok(())
}

fn said(name: &str, client: SocketAddr) -> String {
    format!("{name} {}\n", client.ip().to_canonical())
}

/// Answers requests until the client has no more.
fn answer(stream: &TcpStream, name: &str, last: &Last) -> Result<(), Failure> {
    let text = said(name, stream.peer_addr()?);
    let mut reader = BufReader::new(stream);
    loop {
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            if reader.read_line(&mut head)? == 0 {
                return Ok(());
            }
        }
        if !head.contains(KUBELET) {
            *last.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
        }
        let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{text}", text.len());
        (&mut &*stream).write_all(answer.as_bytes())?;
    }
}

fn connect(host: &str, port: &str, patience: Duration) -> Result<TcpStream, Failure> {
    let address = (host, port.parse()?).to_socket_addrs()?.next().ok_or("no address")?;
    let stream = TcpStream::connect_timeout(&address, patience)?;
    stream.set_read_timeout(Some(patience))?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

fn load(host: &str, port: &str, patience: Duration) -> Result<(), Failure> {
    first_answer(host, port)?;
    count(|| connect(host, port, patience).and_then(|stream| ask(&stream)))
}

fn hold(host: &str, port: &str) -> Result<(), Failure> {
    let stream = first_answer(host, port)?;
    stream.set_read_timeout(Some(LONG_PATIENCE))?;
    count(|| ask(&stream))
}

/// The connection of the first request that is answered. Until then nothing counts: what is asked may be just being made.
fn first_answer(host: &str, port: &str) -> Result<TcpStream, Failure> {
    let began = Instant::now();
    loop {
        match connect(host, port, PATIENCE).and_then(|stream| ask(&stream).map(|_| stream)) {
            Ok(stream) => return Ok(stream),
            Err(error) if began.elapsed() > LONG_PATIENCE => return Err(error),
            Err(_) => std::thread::sleep(PAUSE),
        }
    }
}

fn ask(mut stream: &TcpStream) -> Result<String, Failure> {
    stream.write_all(b"GET / HTTP/1.1\r\nHost: probe\r\n\r\n")?;
    let mut reader = BufReader::new(stream);
    let mut length = 0;
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line)? == 0 {
            return Err("the connection ended".into());
        }
        if let Some(value) = line.strip_prefix("Content-Length: ") {
            length = value.trim().parse()?;
        }
        if line == "\r\n" {
            break;
        }
    }
    let mut text = vec![0; length];
    reader.read_exact(&mut text)?;
    Ok(String::from_utf8(text)?)
}

fn ask_udp(host: &str, port: &str) -> Result<String, Failure> {
    let address = (host, port.parse()?).to_socket_addrs()?.next().ok_or("no address")?;
    let any = if address.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
    let socket = UdpSocket::bind(any)?;
    socket.set_read_timeout(Some(PATIENCE))?;
    socket.send_to(b"?", address)?;
    let mut bytes = [0; 2048];
    let (length, _) = socket.recv_from(&mut bytes)?;
    Ok(String::from_utf8(bytes[..length].to_vec())?)
}

/// Asks until standard input ends.
fn count(mut once: impl FnMut() -> Result<String, Failure>) -> Result<(), Failure> {
    let over = Arc::new(AtomicBool::new(false));
    let told = Arc::clone(&over);
    std::thread::spawn(move || {
        let _ = std::io::stdin().read_to_end(&mut Vec::new());
        told.store(true, Ordering::Relaxed);
    });
    let (mut ok, mut failed) = (0_u64, Vec::new());
    eprintln!("begun");
    loop {
        // The last one begins after all that the test did.
        let last = over.load(Ordering::Relaxed);
        match once() {
            Ok(_) => ok += 1,
            Err(error) => failed.push(error.to_string()),
        }
        if last {
            break;
        }
        std::thread::sleep(PAUSE);
    }
    println!("ok {ok} failed {}", failed.len());
    failed.iter().take(TOLD).for_each(|failure| println!("{failure}"));
    Ok(())
}

fn resolve(name: &str) -> Result<(), Failure> {
    let mut found: Vec<String> = (name, 0).to_socket_addrs()?.map(|address| address.ip().to_string()).collect();
    found.sort();
    found.dedup();
    println!("{}", found.join(" "));
    Ok(())
}
