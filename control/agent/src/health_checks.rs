//! What load balancers outside the cluster ask the node: has it endpoints of this Service, and does its switch work?
//!
//! Each Service with a health check node port is answered at that port, and `/healthz` at port 10256, as kube-proxy does
//! (pkg/proxy/healthcheck of Kubernetes): status 200 or 503 with a line of JSON. Both at the addresses at which NodePorts are
//! served.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::http::StatusCode;
use axum::{Json, Router};
use serde_json::{Value, json};
use sluice_model::HealthCheck;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tracing::{info, warn};

use crate::agent::Agent;
use crate::http::BoundedListener;

/// The port at which kube-proxy says whether it works.
const HEALTHZ_PORT: u16 = 10256;
/// Between two looks at which ports are to be served.
const ROUND: Duration = Duration::from_millis(500);

/// One place at which questions are answered.
#[derive(Clone)]
struct Place {
    agent: Arc<Agent>,
    port: u16,
}

/// Serves until the task is dropped.
pub(crate) async fn serve(agent: Arc<Agent>) {
    let mut listening: HashMap<SocketAddr, Listening> = HashMap::new();
    let mut refused: HashMap<SocketAddr, String> = HashMap::new();
    let mut rounds = tokio::time::interval(ROUND);
    loop {
        rounds.tick().await;
        let asking = Arc::clone(&agent);
        let Ok(wanted) = tokio::task::spawn_blocking(move || places(&asking)).await else { continue };
        listening.retain(|place, task| wanted.contains(place) && !task.0.is_finished());
        refused.retain(|place, _| wanted.contains(place));
        for place in wanted {
            if listening.contains_key(&place) {
                continue;
            }
            match TcpListener::bind(place).await {
                Ok(listener) => {
                    info!(%place, "answering health checks");
                    refused.remove(&place);
                    listening.insert(
                        place,
                        Listening::start(listener, Place { agent: Arc::clone(&agent), port: place.port() }),
                    );
                }
                Err(error) => {
                    let text = error.to_string();
                    if refused.get(&place) != Some(&text) {
                        warn!(%place, error = text, "health checks are not answered here; another program may have the port");
                        refused.insert(place, text);
                    }
                }
            }
        }
    }
}

/// A task that ends with this value.
struct Listening(JoinHandle<()>);

impl Listening {
    fn start(listener: TcpListener, place: Place) -> Self {
        let routes = Router::new().fallback(answer).with_state(place);
        Self(tokio::spawn(async move {
            // Ends with the task alone.
            let _ = axum::serve(BoundedListener::new(listener), routes).await;
        }))
    }
}

impl Drop for Listening {
    fn drop(&mut self) {
        self.0.abort();
    }
}

fn places(agent: &Agent) -> Vec<SocketAddr> {
    let checks = agent.generations.health_checks();
    let addresses: Vec<IpAddr> = agent.generations.node_port_addresses();
    let ports = checks.iter().map(|check| check.node_port).chain([HEALTHZ_PORT]);
    let mut places: Vec<SocketAddr> =
        ports.flat_map(|port| addresses.iter().map(move |address| SocketAddr::new(*address, port))).collect();
    places.sort_unstable();
    places.dedup();
    places
}

async fn answer(State(place): State<Place>) -> (StatusCode, Json<Value>) {
    let Place { agent, port } = place;
    let asked = tokio::task::spawn_blocking(move || {
        let healthy = agent.dataplane.dead_workers().is_empty() && agent.generations.refused().is_none();
        (agent.generations.health_checks(), Health { healthy, eligible: !agent.generations.node().leaving })
    });
    match asked.await {
        Ok((checks, health)) => said(port, &checks, health),
        Err(_) => (StatusCode::INTERNAL_SERVER_ERROR, Json(Value::Null)),
    }
}

/// How the node is.
#[derive(Clone, Copy)]
struct Health {
    /// Its switch works.
    healthy: bool,
    /// It is not being removed: balancers may send it new connections. Those that it has go on, so a Service's own check does not
    /// ask for this (KEP-3836).
    eligible: bool,
}

/// The answer at `port`, in kube-proxy's words.
fn said(port: u16, checks: &[HealthCheck], Health { healthy, eligible }: Health) -> (StatusCode, Json<Value>) {
    let status = |good| if good { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    if port == HEALTHZ_PORT {
        let body = json!({ "serviceProxyHealthy": healthy, "nodeEligible": eligible });
        return (status(healthy && eligible), Json(body));
    }
    let Some(check) = checks.iter().find(|check| check.node_port == port) else {
        return (StatusCode::NOT_FOUND, Json(Value::Null));
    };
    let HealthCheck { node_port: _, service, local_ready_endpoints } = check;
    let body = json!({
        "service": { "namespace": service.namespace().as_str(), "name": service.name() },
        "localEndpoints": local_ready_endpoints,
        "serviceProxyHealthy": healthy,
    });
    (status(healthy && *local_ready_endpoints > 0), Json(body))
}

#[cfg(test)]
mod tests {
    use sluice_model::ServiceName;

    use super::*;

    const GOOD: Health = Health { healthy: true, eligible: true };

    fn check(local_ready_endpoints: usize) -> HealthCheck {
        HealthCheck { node_port: 30123, service: ServiceName::parse("demo", "web").unwrap(), local_ready_endpoints }
    }

    #[test]
    fn a_node_is_good_for_a_service_while_it_has_ready_endpoints_and_its_switch_works() {
        let code = |endpoints, healthy| said(30123, &[check(endpoints)], Health { healthy, eligible: true }).0;
        assert_eq!(code(1, true), StatusCode::OK);
        assert_eq!(code(0, true), StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(code(1, false), StatusCode::SERVICE_UNAVAILABLE);
        let (_, Json(body)) = said(30123, &[check(2)], GOOD);
        assert_eq!(body["service"], json!({ "namespace": "demo", "name": "web" }));
        assert_eq!((&body["localEndpoints"], &body["serviceProxyHealthy"]), (&json!(2), &json!(true)));
    }

    #[test]
    fn healthz_says_whether_the_switch_works() {
        assert_eq!(said(HEALTHZ_PORT, &[], GOOD).0, StatusCode::OK);
        assert_eq!(said(HEALTHZ_PORT, &[], Health { healthy: false, ..GOOD }).0, StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(said(1, &[check(1)], GOOD).0, StatusCode::NOT_FOUND);
    }

    #[test]
    fn healthz_says_whether_the_node_is_being_removed_and_a_services_check_does_not_ask() {
        let leaving = Health { eligible: false, ..GOOD };
        let (code, Json(body)) = said(HEALTHZ_PORT, &[], leaving);
        assert_eq!((code, &body["nodeEligible"]), (StatusCode::SERVICE_UNAVAILABLE, &json!(false)));
        assert_eq!(said(30123, &[check(1)], leaving).0, StatusCode::OK);
    }
}
