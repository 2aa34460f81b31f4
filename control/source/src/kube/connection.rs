//! The connection to the API server, which all watches and the reporter share: how it is made, and made anew when the
//! server can no longer be talked to, as its certificates, or ours, may have been replaced.

use std::time::Duration;

use http::{Method, Request, StatusCode};
use http_body_util::BodyExt;
use hyper_util::client::legacy::connect::{Connect, HttpConnector};
use hyper_util::rt::TokioExecutor;
use kube::client::{Body, ConfigExt};
use kube::{Client, Config};
use serde_json::Value;
use tokio::sync::Mutex;
use tokio::time::timeout;
use tower::{BoxError, ServiceBuilder};

use crate::failure::Failure;
use crate::kube::access::{Access, AccessError, causes};
use crate::kube::answer::Answer;
use crate::kube::setback::{Setback, failure_of};

/// Of an object its metadata alone.
pub(crate) const METADATA: &str = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1,application/json";

/// The connection is asked whether it lives after so long without a byte...
const KEEPALIVE: Duration = Duration::from_secs(20);
/// ...then so often...
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(10);
/// ...and is given up after so many without an answer, or when what was sent is not acknowledged for as long.
const KEEPALIVE_RETRIES: u32 = 3;

/// How long is waited for the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Patience {
    /// For a connection.
    pub(crate) connect: Duration,
    /// For an answer to begin, and to go on until it is whole.
    pub(crate) answer: Duration,
}

/// A connection that is made when it is needed.
pub(crate) struct Connection {
    access: Access,
    patience: Patience,
    /// The client in use, and how many were made before it.
    client: Mutex<(u64, Option<Client>)>,
}

impl Connection {
    pub(crate) fn new(access: Access, patience: Patience) -> Connection {
        Connection { access, patience, client: Mutex::new((0, None)) }
    }

    /// Sends a request and returns the answer when its status is a success.
    pub(crate) async fn send(&self, request: Request<Body>) -> Result<Answer, Setback> {
        let (made, client) = self.client().await?;
        let after = self.patience.answer;
        let sent = match timeout(after, client.send(request)).await {
            Ok(sent) => sent.map_err(|error| Setback::from(failure_of(&error))),
            Err(_) => Err(Failure::Silent { after }.into()),
        };
        let answered = match sent {
            Ok(response) if response.status().is_success() => Ok(Answer::new(response)),
            Ok(response) => Err(Answer::new(response).refusal(after).await),
            Err(setback) => Err(setback),
        };
        if let Err(setback) = &answered
            && setback.may_be_access()
        {
            self.discard(made).await;
        }
        answered
    }

    /// Asks for something.
    pub(crate) async fn get(&self, path: &str) -> Result<Answer, Setback> {
        let request = Request::get(path).header(http::header::ACCEPT, "application/json").body(Body::empty());
        self.send(request.map_err(bad_request)?).await
    }

    /// Writes a body of a type, and reads what is answered to it.
    pub(crate) async fn write(&self, method: Method, path: &str, kind: &str, body: &Value) -> Result<Vec<u8>, Setback> {
        let request = Request::builder().method(method).uri(path).header(http::header::CONTENT_TYPE, kind);
        let request = request.header(http::header::ACCEPT, "application/json");
        let answer = self.send(request.body(Body::from(body.to_string().into_bytes())).map_err(bad_request)?).await?;
        answer.whole(self.patience.answer).await
    }

    /// Reads something short.
    pub(crate) async fn read(&self, path: &str, accept: &str) -> Result<Vec<u8>, Setback> {
        let request = Request::get(path).header(http::header::ACCEPT, accept).body(Body::empty());
        self.send(request.map_err(bad_request)?).await?.whole(self.patience.answer).await
    }

    /// The client in use, or a new one from what the files of the access say now.
    async fn client(&self) -> Result<(u64, Client), Setback> {
        let mut client = self.client.lock().await;
        if let (made, Some(client)) = &*client {
            return Ok((*made, client.clone()));
        }
        let after = self.patience.answer;
        // A kubeconfig may name a program that gives the credentials, and that may hang.
        let new = timeout(after, connect(&self.access, self.patience.connect)).await.unwrap_or_else(|_| {
            let reason = format!("the credentials have not come within {} s", after.as_secs_f32());
            Err(AccessError::Credentials { reason })
        });
        let new = new.map_err(|error| Failure::Access { reason: error.to_string() })?;
        *client = (client.0 + 1, Some(new.clone()));
        Ok((client.0, new))
    }

    /// Has the files read again before the next request: what answers may not be the server any more.
    pub(crate) async fn renew(&self) {
        self.client.lock().await.1 = None;
    }

    /// Lets a client go, unless another one has taken its place already.
    async fn discard(&self, made: u64) {
        let mut client = self.client.lock().await;
        if client.0 == made {
            client.1 = None;
        }
    }
}

pub(crate) fn bad_request(error: http::Error) -> Setback {
    Failure::Unreachable { reason: error.to_string() }.into()
}

async fn connect(access: &Access, patience: Duration) -> Result<Client, AccessError> {
    let config = access.read().await?;
    if let Some(proxy) = &config.proxy_url {
        let reason = format!("proxy-url {proxy} is not supported; remove it and give the server's own URL");
        return Err(AccessError::Credentials { reason });
    }
    // A program that gives credentials is waited for where that blocks nobody.
    let built = tokio::task::spawn_blocking(move || build(&config, patience)).await;
    match built {
        Ok(built) => built.map_err(|error| AccessError::Credentials { reason: causes(&error) }),
        Err(panic) => Err(AccessError::Credentials { reason: format!("reading them failed: {panic}") }),
    }
}

fn build(config: &Config, patience: Duration) -> kube::Result<Client> {
    let mut http = HttpConnector::new();
    http.enforce_http(false);
    http.set_nodelay(true);
    http.set_connect_timeout(Some(patience));
    http.set_keepalive(Some(KEEPALIVE));
    http.set_keepalive_interval(Some(KEEPALIVE_INTERVAL));
    http.set_keepalive_retries(Some(KEEPALIVE_RETRIES));
    http.set_tcp_user_timeout(Some(KEEPALIVE_INTERVAL * KEEPALIVE_RETRIES));
    if config.cluster_url.scheme_str() == Some("http") {
        return client(config, http);
    }
    client(config, config.rustls_https_connector_with_connector(http)?)
}

/// Without the library's own retries and log lines: a failure is told once, by the watch that has it.
fn client<C: Connect + Clone + Send + Sync + 'static>(config: &Config, connector: C) -> kube::Result<Client> {
    let http = hyper_util::client::legacy::Client::builder(TokioExecutor::new()).build::<_, Body>(connector);
    let service = ServiceBuilder::new()
        .layer(config.base_uri_layer())
        .option_layer(config.auth_layer()?)
        .layer(config.extra_headers_layer()?)
        .map_err(BoxError::from)
        .service(http);
    Ok(Client::new(service, config.default_namespace.clone()))
}

/// The whole body of a short answer, as far as it comes.
pub(crate) async fn start_of_body(body: Body, limit: usize, patience: Duration) -> Vec<u8> {
    let mut body = std::pin::pin!(body);
    let mut bytes = Vec::new();
    while bytes.len() < limit {
        match timeout(patience, body.frame()).await {
            Ok(Some(Ok(frame))) => bytes.extend_from_slice(frame.data_ref().map_or(&[], |data| &data[..])),
            _ => break,
        }
    }
    bytes.truncate(limit);
    bytes
}

/// Whether a status may say that the server cannot do what a request's parameters ask for.
pub(crate) fn is_not_understood(status: u16) -> bool {
    let known = [
        StatusCode::BAD_REQUEST,
        StatusCode::UNPROCESSABLE_ENTITY,
        StatusCode::NOT_IMPLEMENTED,
        // "the required storage feature RequestWatchProgress is disabled", with etcd 3.4.
        StatusCode::INTERNAL_SERVER_ERROR,
    ];
    known.iter().any(|known| known.as_u16() == status)
}
