//! A server that follows a script: it shows what a real API server cannot be made to show.

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

/// What a request asked for.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    pub(crate) method: String,
    /// With its query.
    pub(crate) path: String,
    pub(crate) headers: BTreeMap<String, String>,
    pub(crate) body: String,
    /// When it was read.
    pub(crate) at: Instant,
}

impl Asked {
    /// The plural in the path: `pods`.
    fn resource(&self) -> &str {
        let path = self.path.split('?').next().unwrap_or_default();
        let parts: Vec<&str> = path.split('/').collect();
        ["nodes", "namespaces", "pods", "services", "endpointslices", "networkpolicies", "events"]
            .into_iter()
            .rfind(|resource| parts.contains(resource) && (*resource != "namespaces" || parts.last() == Some(resource)))
            .unwrap_or("?")
    }

    pub(crate) fn is_stream(&self) -> bool {
        self.path.contains("sendInitialEvents=true")
    }
}

/// How an answer ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ending {
    /// In order.
    Whole,
    /// The connection is closed in the middle.
    Broken,
    /// Never: nothing more comes.
    Open,
    /// Not even a status comes.
    Silent,
}

/// What is answered.
#[derive(Clone, Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
    pub(crate) ending: Ending,
}

impl Reply {
    pub(crate) fn json(status: u16, body: impl Into<String>) -> Reply {
        let headers = vec![("content-type".into(), "application/json".into())];
        Reply { status, headers, body: body.into().into_bytes(), ending: Ending::Whole }
    }

    /// Lines of a watch that stays open.
    pub(crate) fn lines(lines: &[String]) -> Reply {
        let body: String = lines.iter().flat_map(|line| [line.as_str(), "\n"]).collect();
        Reply::json(200, body).ending(Ending::Open)
    }

    /// What the server says when it refuses.
    pub(crate) fn status(code: u16, message: &str) -> Reply {
        Reply::json(code, status(code, message))
    }

    pub(crate) fn silent() -> Reply {
        Reply::json(200, "").ending(Ending::Silent)
    }

    pub(crate) fn ending(self, ending: Ending) -> Reply {
        Reply { ending, ..self }
    }

    pub(crate) fn header(mut self, name: &str, value: &str) -> Reply {
        self.headers.retain(|(other, _)| other != name);
        self.headers.push((name.into(), value.into()));
        self
    }
}

pub(crate) fn status(code: u16, message: &str) -> String {
    format!(r#"{{"kind":"Status","apiVersion":"v1","status":"Failure","code":{code},"message":"{message}"}}"#)
}

/// A watch line.
pub(crate) fn line(event: &str, object: &str) -> String {
    format!(r#"{{"type":"{event}","object":{object}}}"#)
}

pub(crate) fn bookmark(kind: &str, version: u64, complete: bool) -> String {
    let annotations = if complete { r#","annotations":{"k8s.io/initial-events-end":"true"}"# } else { "" };
    line(
        "BOOKMARK",
        &format!(
            r#"{{"kind":"{kind}","metadata":{{"resourceVersion":"{version}","creationTimestamp":null{annotations}}}}}"#
        ),
    )
}

pub(crate) fn pod(name: &str, version: u64) -> String {
    format!(
        r#"{{"kind":"Pod","apiVersion":"v1","metadata":{{"name":"{name}","namespace":"default","uid":"u-{name}","resourceVersion":"{version}"}},"spec":{{"nodeName":"n1","containers":[{{"name":"c"}}]}}}}"#
    )
}

/// A Pod whose form makes no sense to the model.
pub(crate) fn bad_pod(name: &str, version: u64) -> String {
    pod(name, version).replace(r#""n1""#, r#""N_1""#)
}

/// A list of Pods.
pub(crate) fn pods(items: &[String], version: u64, next: &str) -> String {
    format!(
        r#"{{"kind":"PodList","apiVersion":"v1","metadata":{{"resourceVersion":"{version}","continue":"{next}"}},"items":[{}]}}"#,
        items.join(",")
    )
}

#[derive(Default)]
struct Script {
    /// What is answered next, by resource.
    next: BTreeMap<&'static str, VecDeque<Reply>>,
    asked: Vec<Asked>,
}

/// The server; it ends when it is dropped.
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    script: Arc<Mutex<Script>>,
    _accepting: JoinSet<()>,
}

impl Server {
    pub(crate) async fn start() -> Server {
        Server::start_at("127.0.0.1:0", None).await
    }

    /// At an address that another one may have left, with a certificate or without.
    pub(crate) async fn start_at(address: &str, tls: Option<TlsAcceptor>) -> Server {
        let listener = listen(address).await;
        let address = listener.local_addr().expect("the address");
        let script = Arc::new(Mutex::new(Script::default()));
        let mut accepting = JoinSet::new();
        accepting.spawn(accept(listener, tls, Arc::clone(&script)));
        Server { address, script, _accepting: accepting }
    }

    /// What is answered to requests of Pods, one after the other. A resource without a script has no objects.
    pub(crate) fn answer_pods(&self, replies: impl IntoIterator<Item = Reply>) {
        self.answer("pods", replies);
    }

    pub(crate) fn answer(&self, resource: &'static str, replies: impl IntoIterator<Item = Reply>) {
        self.script.lock().expect("the script").next.entry(resource).or_default().extend(replies);
    }

    /// The same in place of what would have been answered next.
    pub(crate) fn answer_now(&self, resource: &'static str, replies: impl IntoIterator<Item = Reply>) {
        self.script.lock().expect("the script").next.insert(resource, replies.into_iter().collect());
    }

    /// Requests of a resource so far.
    pub(crate) fn asked(&self, resource: &str) -> Vec<Asked> {
        let script = self.script.lock().expect("the script");
        script.asked.iter().filter(|asked| asked.resource() == resource).cloned().collect()
    }
}

/// The task of a server that was dropped may hold its address for a moment longer.
async fn listen(address: &str) -> TcpListener {
    let mut tries = 0;
    loop {
        match TcpListener::bind(address).await {
            Ok(listener) => return listener,
            Err(error) => assert!(tries < 1000, "an address to listen at: {error}"),
        }
        tries += 1;
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

async fn accept(listener: TcpListener, tls: Option<TlsAcceptor>, script: Arc<Mutex<Script>>) {
    let mut connections = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        let (tls, script) = (tls.clone(), Arc::clone(&script));
        connections.spawn(async move {
            match tls {
                None => serve(stream, script).await,
                Some(tls) => {
                    if let Ok(stream) = tls.accept(stream).await {
                        serve(stream, script).await;
                    }
                }
            }
        });
    }
}

async fn serve(stream: impl AsyncRead + AsyncWrite + Unpin, script: Arc<Mutex<Script>>) {
    let mut stream = BufReader::new(stream);
    while let Some(asked) = request(&mut stream).await {
        let reply = {
            let mut script = script.lock().expect("the script");
            script.asked.push(asked.clone());
            let next = script.next.iter_mut().find(|(resource, _)| **resource == asked.resource());
            next.map(|(_, replies)| replies.pop_front())
        };
        let reply = match reply {
            Some(Some(reply)) => reply,
            // Its script is over: nothing happens any more.
            Some(None) => Reply::lines(&[]),
            None => empty(&asked),
        };
        if !write(&mut stream, &reply).await {
            return;
        }
    }
}

/// A list without objects, as a stream or a page; a watch on which nothing happens; or a write that went well.
fn empty(asked: &Asked) -> Reply {
    if asked.method != "GET" {
        return Reply::json(200, "{}");
    }
    let kind = match asked.resource() {
        "nodes" => "Node",
        "namespaces" => "Namespace",
        "pods" => "Pod",
        "services" => "Service",
        "endpointslices" => "EndpointSlice",
        _ => "NetworkPolicy",
    };
    if asked.is_stream() {
        Reply::lines(&[bookmark(kind, 1, true)])
    } else if asked.path.contains("watch=true") {
        Reply::lines(&[])
    } else {
        Reply::json(200, format!(r#"{{"kind":"{kind}List","metadata":{{"resourceVersion":"1"}},"items":[]}}"#))
    }
}

async fn request(stream: &mut BufReader<impl AsyncRead + AsyncWrite + Unpin>) -> Option<Asked> {
    let mut head = Vec::new();
    loop {
        let mut line = String::new();
        if stream.read_line(&mut line).await.ok()? == 0 {
            return None;
        }
        if line.trim().is_empty() {
            break;
        }
        head.push(line.trim().to_owned());
    }
    let mut words = head.first()?.split(' ');
    let (method, path) = (words.next()?.to_owned(), words.next()?.to_owned());
    let headers: BTreeMap<String, String> = head[1..]
        .iter()
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.to_lowercase(), value.trim().to_owned()))
        .collect();
    let length = headers.get("content-length").and_then(|length| length.parse().ok()).unwrap_or(0);
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await.ok()?;
    Some(Asked { method, path, headers, body: String::from_utf8_lossy(&body).into_owned(), at: Instant::now() })
}

/// `false` when the connection is over.
async fn write(stream: &mut (impl AsyncWrite + AsyncRead + Unpin), reply: &Reply) -> bool {
    if reply.ending == Ending::Silent {
        return wait_for_end(stream).await;
    }
    let mut head = format!("HTTP/1.1 {} Scripted\r\ntransfer-encoding: chunked\r\n", reply.status);
    for (name, value) in &reply.headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    let mut bytes = format!("{head}\r\n").into_bytes();
    // In pieces, so that no line or page comes as a whole.
    for piece in reply.body.chunks(97) {
        bytes.extend(format!("{:x}\r\n", piece.len()).into_bytes());
        bytes.extend(piece);
        bytes.extend(b"\r\n");
    }
    if reply.ending == Ending::Whole {
        bytes.extend(b"0\r\n\r\n");
    }
    if stream.write_all(&bytes).await.is_err() || stream.flush().await.is_err() {
        return false;
    }
    match reply.ending {
        Ending::Whole => true,
        Ending::Broken => false,
        Ending::Open | Ending::Silent => wait_for_end(stream).await,
    }
}

/// Until the client has gone.
async fn wait_for_end(stream: &mut (impl AsyncRead + Unpin)) -> bool {
    let mut bytes = [0; 64];
    while stream.read(&mut bytes).await.is_ok_and(|read| read > 0) {}
    false
}
