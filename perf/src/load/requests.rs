//! Many requests at once, with a bar that says how long it still takes.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use http::Request;
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::Value;
use sluice_lab::Stop;
use tokio::task::JoinSet;

/// Tries of a request that the server is too busy for, or that was cut off.
const TRIES: u32 = 8;
/// Before the second try; doubled at each further one.
const BACKOFF: Duration = Duration::from_millis(100);
/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(60);
/// The statuses of a server that is busy or starting (RFC 9110, RFC 6585).
const BUSY: [u16; 4] = [429, 500, 503, 504];

/// One object to be made or changed.
#[derive(Debug, Clone)]
pub(super) struct Step {
    method: &'static str,
    path: String,
    body: Vec<u8>,
    /// Path and body of the change of its status.
    status: Option<(String, Vec<u8>)>,
}

impl Step {
    pub(super) fn create(collection: &str, object: &Value) -> Self {
        let body = object.to_string().into_bytes();
        Self { method: "POST", path: collection.to_owned(), body, status: None }.named(object)
    }

    pub(super) fn merge(path: &str, change: &Value) -> Self {
        Self { method: "PATCH", path: path.to_owned(), body: change.to_string().into_bytes(), status: None }
    }

    /// Deletes the objects of a collection that bear a label, at once.
    pub(super) fn delete(path: String) -> Self {
        let options = br#"{"apiVersion":"v1","kind":"DeleteOptions","gracePeriodSeconds":0}"#;
        Self { method: "DELETE", path, body: options.to_vec(), status: None }
    }

    /// Then writes its status, which the server takes apart from the object.
    pub(super) fn then_status(mut self, status: &Value) -> Self {
        if let Some((path, body)) = &mut self.status {
            path.push_str("/status");
            *body = status.to_string().into_bytes();
        }
        self
    }

    /// Remembers where the object will be; dropped again when it gets no status.
    fn named(mut self, object: &Value) -> Self {
        let name = object["metadata"]["name"].as_str().unwrap_or_default();
        self.status = Some((format!("{}/{name}", self.path), Vec::new()));
        self
    }
}

/// What sends requests.
#[derive(Clone)]
pub(super) struct Requests {
    client: kube::Client,
    parallel: usize,
    stop: Stop,
}

impl Requests {
    pub(super) fn new(client: kube::Client, parallel: usize, stop: Stop) -> Self {
        Self { client, parallel: parallel.max(1), stop }
    }

    /// The same for what is to be done also after a stop.
    pub(super) fn without_stop(&self) -> Self {
        Self { stop: Stop::default(), ..self.clone() }
    }

    pub(super) fn parallel(&self) -> usize {
        self.parallel
    }

    pub(super) fn stop(&self) -> &Stop {
        &self.stop
    }

    /// Takes all steps, many at once.
    pub(super) async fn run(&self, what: &'static str, count: u64, steps: Vec<Step>) -> Result<()> {
        let bar = ProgressBar::new(count).with_message(what);
        bar.set_style(ProgressStyle::with_template("{msg:16} {bar:30} {pos}/{len}, {per_sec}, {eta} left")?);
        let steps = Arc::new(Mutex::new(steps.into_iter()));
        let mut workers = JoinSet::new();
        for _ in 0..self.parallel {
            let (requests, steps, bar) = (self.clone(), Arc::clone(&steps), bar.clone());
            workers.spawn(async move {
                loop {
                    requests.stop.check()?;
                    let step = steps.lock().unwrap_or_else(PoisonError::into_inner).next();
                    let Some(step) = step else { return anyhow::Ok(()) };
                    requests.take(&step).await?;
                    bar.inc(1);
                }
            });
        }
        while let Some(ended) = workers.join_next().await {
            // The first failure ends all: the others go with the set.
            ended.context("a task of requests ended")??;
        }
        bar.finish_and_clear();
        Ok(())
    }

    /// Takes one step. What is there already is as good.
    pub(super) async fn take(&self, step: &Step) -> Result<()> {
        self.send(step.method, &step.path, &step.body).await?;
        match &step.status {
            Some((path, body)) if !body.is_empty() => self.send("PATCH", path, body).await,
            _ => Ok(()),
        }
    }

    async fn send(&self, method: &str, path: &str, body: &[u8]) -> Result<()> {
        let content = if method == "PATCH" { "application/merge-patch+json" } else { "application/json" };
        let mut pause = BACKOFF;
        let mut last = String::new();
        for _ in 0..TRIES {
            let request = Request::builder().method(method).uri(path).header("Content-Type", content);
            let asked = self.client.request_text(request.body(body.to_vec())?);
            match tokio::time::timeout(PATIENCE, asked).await {
                Ok(Ok(_)) => return Ok(()),
                Ok(Err(kube::Error::Api(status))) if method == "POST" && status.code == 409 => return Ok(()),
                Ok(Err(kube::Error::Api(status))) if method == "DELETE" && status.code == 404 => return Ok(()),
                Ok(Err(kube::Error::Api(status))) if !BUSY.contains(&status.code) => {
                    bail!("{method} {path}: {} {}", status.code, status.message)
                }
                Ok(Err(error)) => last = error.to_string(),
                Err(_) => last = format!("no answer in {PATIENCE:?}"),
            }
            self.stop.check()?;
            tokio::time::sleep(pause).await;
            pause *= 2;
        }
        bail!("{method} {path}: {last}, {TRIES} times")
    }
}
