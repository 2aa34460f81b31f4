//! Liveness, readiness, metrics and status over HTTP.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use tokio::net::TcpListener;
use tracing::error;

use crate::agent::Agent;
use crate::metrics;

/// Why HTTP cannot be served.
#[derive(Debug, thiserror::Error)]
#[error(
    "cannot listen on http {address}: {source}; set http to a free address of this network namespace whose device is up"
)]
pub(crate) struct HttpError {
    address: SocketAddr,
    source: std::io::Error,
}

/// Listens on `address`.
pub(crate) async fn listen(address: SocketAddr) -> Result<TcpListener, HttpError> {
    TcpListener::bind(address).await.map_err(|source| HttpError { address, source })
}

/// Serves until the task is dropped.
pub(crate) async fn serve(listener: TcpListener, agent: Arc<Agent>) {
    let routes = Router::new()
        .route("/livez", get(async || "ok\n"))
        .route("/readyz", get(readyz))
        .route("/metrics", get(metrics_text))
        .route("/status", get(status))
        .with_state(agent);
    if let Err(error) = axum::serve(listener, routes).await {
        error!(%error, "HTTP is not served any more");
    }
}

async fn readyz(State(agent): State<Arc<Agent>>) -> Response {
    let reasons = agent.readiness.reasons();
    if reasons.is_empty() {
        return "ok\n".into_response();
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
