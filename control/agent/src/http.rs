//! Liveness, readiness, metrics and status over HTTP.

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use sluice_tables::WorkerId;
use tokio::net::TcpListener;
use tracing::error;

use crate::agent::Agent;
use crate::dataplane::Occupancy;
use crate::lock::PATIENCE;
use crate::metrics;

mod bounded;

pub(crate) use self::bounded::BoundedListener;

/// Between two tries to listen.
const PAUSE: Duration = Duration::from_millis(50);

/// Why HTTP cannot be served.
#[derive(Debug, thiserror::Error)]
#[error(
    "cannot listen on http {address}: {source}; set http to a free address of this network namespace whose device is up"
)]
pub(crate) struct HttpError {
    address: SocketAddr,
    source: std::io::Error,
}

/// Listens on `address`. An agent that was killed just now may still have it, and is waited for as for its lock.
pub(crate) async fn listen(address: SocketAddr) -> Result<TcpListener, HttpError> {
    let start = Instant::now();
    loop {
        match TcpListener::bind(address).await {
            Err(error) if error.kind() == ErrorKind::AddrInUse && start.elapsed() < PATIENCE => {
                tokio::time::sleep(PAUSE).await;
            }
            bound => return bound.map_err(|source| HttpError { address, source }),
        }
    }
}

/// Serves until the task is dropped.
pub(crate) async fn serve(listener: TcpListener, agent: Arc<Agent>) {
    let routes = Router::new()
        .route("/livez", get(livez))
        .route("/readyz", get(readyz))
        .route("/metrics", get(metrics_text))
        .route("/status", get(status))
        .with_state(agent);
    if let Err(error) = axum::serve(BoundedListener::new(listener), routes).await {
        error!(%error, "HTTP is not served any more");
    }
}

async fn livez(State(agent): State<Arc<Agent>>) -> Response {
    liveness(&agent.dataplane.dead_workers()).into_response()
}

/// A worker that died takes its ports along, and only a new process mends that.
fn liveness(dead: &[WorkerId]) -> (StatusCode, String) {
    if dead.is_empty() {
        return (StatusCode::OK, "ok\n".to_owned());
    }
    let lines = dead.iter().map(|worker| format!("{worker} has ended: its pods have no network; restart sluiced\n"));
    (StatusCode::INTERNAL_SERVER_ERROR, lines.collect())
}

async fn readyz(State(agent): State<Arc<Agent>>) -> Response {
    let reasons = agent.readiness.reasons();
    if reasons.is_empty() {
        let Occupancy { free, total } = agent.dataplane.occupancy();
        return format!("ok\nframes: {free} free of {total}\n").into_response();
    }
    let lines: String = reasons.iter().map(|reason| format!("{reason}\n")).collect();
    (StatusCode::SERVICE_UNAVAILABLE, lines).into_response()
}

async fn metrics_text(State(agent): State<Arc<Agent>>) -> Response {
    match tokio::task::spawn_blocking(move || metrics::text(agent)).await {
        Ok(Ok(text)) => ([(header::CONTENT_TYPE, metrics::CONTENT_TYPE)], text).into_response(),
        _ => (StatusCode::INTERNAL_SERVER_ERROR, "the metrics could not be written\n").into_response(),
    }
}

async fn status(State(agent): State<Arc<Agent>>) -> Response {
    match tokio::task::spawn_blocking(move || crate::status::document(&agent)).await {
        Ok(document) => Json(document).into_response(),
        Err(_) => (StatusCode::INTERNAL_SERVER_ERROR, "the status could not be written\n").into_response(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_daemon_is_alive_while_all_its_workers_are() {
        assert_eq!(liveness(&[]), (StatusCode::OK, "ok\n".to_owned()));
        let (code, text) = liveness(&[WorkerId(1)]);
        assert_eq!(code, StatusCode::INTERNAL_SERVER_ERROR);
        assert!(text.contains("worker 1") && text.contains("restart sluiced"), "{text}");
    }
}
