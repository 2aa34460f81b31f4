//! Requests to the API server from inside a namespace.

use std::fmt;
use std::path::Path;
use std::sync::mpsc;
use std::thread::JoinHandle;
use std::time::Duration;

use http::Request;
use kube::config::{KubeConfigOptions, Kubeconfig};
use serde_json::{Value, json};
use sluice_host::Netns;
use tokio::runtime::Handle;
use tokio::sync::oneshot;

use crate::error::E2eError;
use crate::paths::path_of;

/// Bound on one request.
const PATIENCE: Duration = Duration::from_secs(30);

/// Who the fields belong to that are set here.
const FIELD_MANAGER: &str = "sluice-tests";

/// A user of the API. Its sockets are in the namespace it was made for; the calls wait for their answers.
pub struct Client {
    client: kube::Client,
    runtime: Handle,
    end: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Client {
    /// A user as a kubeconfig says, in a namespace.
    ///
    /// # Errors
    /// [`E2eError::Unreachable`] when the kubeconfig cannot be used.
    pub fn new(netns: Netns, kubeconfig: &Path) -> Result<Self, E2eError> {
        let bad = |reason: String| E2eError::Unreachable { request: kubeconfig.display().to_string(), reason };
        let config = Kubeconfig::read_from(kubeconfig).map_err(|error| bad(error.to_string()))?;
        let (made, answer) = mpsc::channel();
        let (end, ended) = oneshot::channel();
        let thread = std::thread::spawn(move || {
            // Every task runs on this thread, for a socket is in the namespace of the thread that opens it.
            let outcome = netns.run(|| serve(config, &made, ended));
            drop(outcome);
        });
        let (client, runtime) = answer.recv().map_err(|_| bad("its thread ended".to_owned()))?.map_err(bad)?;
        Ok(Self { client, runtime, end: Some(end), thread: Some(thread) })
    }

    /// Runs `work` with the client itself and waits for what it returns.
    ///
    /// # Errors
    /// [`E2eError::Unreachable`] when `work` panics.
    pub fn run<T, F>(&self, work: impl FnOnce(kube::Client) -> F) -> Result<T, E2eError>
    where
        T: Send + 'static,
        F: Future<Output = T> + Send + 'static,
    {
        let (done, answer) = mpsc::channel();
        let work = work(self.client.clone());
        self.runtime.spawn(async move {
            // Nobody waits any more when the caller has panicked.
            let _ = done.send(work.await);
        });
        answer.recv().map_err(|_| E2eError::Unreachable { request: "the client".into(), reason: "it ended".into() })
    }

    /// One request, its answer as JSON.
    ///
    /// # Errors
    /// [`E2eError::Refused`] with the server's reason, [`E2eError::Unreachable`] also when there is no answer in 30 s.
    pub fn request(&self, method: &str, path: &str, content: &str, body: &Value) -> Result<Value, E2eError> {
        let named = format!("{method} {path}");
        let bytes = if body.is_null() { Vec::new() } else { body.to_string().into_bytes() };
        let request = Request::builder().method(method).uri(path).header("Content-Type", content).body(bytes);
        let request = request.map_err(|error| E2eError::Object(format!("{named}: {error}")))?;
        let asked = self.run(|client| async move {
            tokio::time::timeout(PATIENCE, async { client.request_text(request).await }).await
        })?;
        match asked {
            // Some answers are plain text, such as that of /readyz.
            Ok(Ok(text)) => Ok(serde_json::from_str(&text).unwrap_or(Value::String(text))),
            Ok(Err(error)) => Err(explain(named, error)),
            Err(_) => Err(E2eError::Unreachable { request: named, reason: format!("no answer in {PATIENCE:?}") }),
        }
    }

    /// What is at a path.
    ///
    /// # Errors
    /// As [`Self::request`].
    pub fn get(&self, path: &str) -> Result<Value, E2eError> {
        self.request("GET", path, "application/json", &Value::Null)
    }

    /// Makes an object, or brings it to what is given: its status too, where it has one. Returns it as it is then.
    ///
    /// # Errors
    /// As [`Self::request`].
    pub fn apply(&self, object: &Value) -> Result<Value, E2eError> {
        let path = path_of(object)?;
        let mut object = object.clone();
        let status = object.as_object_mut().and_then(|fields| fields.remove("status"));
        let applied = self.apply_at(&path, &object)?;
        let Some(status) = status else { return Ok(applied) };
        // Not applied: a Node's two addresses of one type are the same entry to who applies.
        self.merge(&format!("{path}/status"), &json!({ "status": status }))
    }

    fn apply_at(&self, path: &str, object: &Value) -> Result<Value, E2eError> {
        let query = format!("{path}?fieldManager={FIELD_MANAGER}&force=true");
        self.request("PATCH", &query, "application/apply-patch+yaml", object)
    }

    /// Merges a change into the object at a path.
    ///
    /// # Errors
    /// As [`Self::request`].
    pub fn merge(&self, path: &str, change: &Value) -> Result<Value, E2eError> {
        self.request("PATCH", path, "application/merge-patch+json", change)
    }

    /// Deletes the object at a path, at once (there is no kubelet that would end a pod).
    ///
    /// # Errors
    /// As [`Self::request`].
    pub fn delete(&self, path: &str) -> Result<(), E2eError> {
        let options = json!({ "apiVersion": "v1", "kind": "DeleteOptions", "gracePeriodSeconds": 0 });
        self.request("DELETE", path, "application/json", &options).map(drop)
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").finish_non_exhaustive()
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        drop(self.end.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

type Made = Result<(kube::Client, Handle), String>;

/// Makes the client and then drives its tasks until the other end goes.
fn serve(config: Kubeconfig, made: &mpsc::Sender<Made>, ended: oneshot::Receiver<()>) {
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return drop(made.send(Err(error.to_string()))),
    };
    runtime.block_on(async {
        let _ = made.send(connect(config).await.map(|client| (client, Handle::current())));
        let _ = ended.await;
    });
}

async fn connect(config: Kubeconfig) -> Result<kube::Client, String> {
    let config = kube::Config::from_custom_kubeconfig(config, &KubeConfigOptions::default()).await;
    let config = config.map_err(|error| error.to_string())?;
    kube::Client::try_from(config).map_err(|error| error.to_string())
}

fn explain(request: String, error: kube::Error) -> E2eError {
    match error {
        kube::Error::Api(status) => {
            E2eError::Refused { request, code: status.code, reason: status.reason, message: status.message }
        }
        other => {
            let mut reason = other.to_string();
            let mut cause = std::error::Error::source(&other);
            while let Some(inner) = cause {
                reason = format!("{reason}: {inner}");
                cause = inner.source();
            }
            E2eError::Unreachable { request, reason }
        }
    }
}
