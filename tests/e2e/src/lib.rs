//! Labs fed by a real API server: etcd and kube-apiserver in a network namespace on the lab's wire.
//!
//! ```text
//! node a: sluiced --- uplink0 --+
//! node b: sluiced --- uplink0 --+-- bridge --- outside
//! API server, etcd ---- uplink0 --+             (_api: 192.0.2.250, 2001:db8::250, and its own loopback)
//! ```
//!
//! `setup/e2e` builds the programs. Whoever uses this speaks with the API server over the loopback of its namespace, so that
//! its wire can be cut without losing it. Nothing is in the root namespace; all of it goes with the lab, also after a crash.

#![forbid(unsafe_code)]

mod api_server;
mod certificates;
mod client;
mod cluster;
mod error;
mod kubeconfig;
mod paths;
mod programs;
mod running;

pub use api_server::{ApiServer, ApiServerOptions, Etcd, LOOPBACK, PORT};
pub use client::Client;
pub use cluster::{API_V4, API_V6, Cluster, ClusterOptions, SERVICE_RANGES};
pub use error::E2eError;
pub use paths::path_of;
pub use programs::built;
pub use running::Running;
