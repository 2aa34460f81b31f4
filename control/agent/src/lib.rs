//! sluiced: the node's network in one daemon.
//!
//! ```text
//! sluice-cni --socket--> cni_server --> attach / detach --+--> host devices
//! source     --feed----> objects ----> ledger, host_port  +--> dataplane (sockets, XDP program, workers)
//!    ^                                    |              `--> state file
//!    `-- api <-- faults --- generations --tables--> dataplane
//!                               ^--- last_good (objects on disk)
//! HTTP <-- http <-- status, metrics, readiness
//! ```
//!
//! | module | subject |
//! |---|---|
//! | `run`, `start`, `recover` | the life of the process: start, repair what an earlier one left, serve, leave |
//! | [`config`], `logging`, `cores`, `descriptors`, `lock` | what it is told, and what it takes for itself |
//! | `agent` | all parts together |
//! | `cni_server`, `attach`, `wishes`, `bandwidth`, `detach`, `pod_check`, `garbage`, `availability` | requests, and what they do |
//! | `serial`, `undo` | what keeps them apart, and what takes them back |
//! | `ledger`, [`ipam`], [`state`] | what is attached, with which addresses, kept on disk |
//! | `pod_link`, `host_port`, `shape`, `link_name` | devices |
//! | `feed`, `objects`, `generations`, `pace`, `beyond` | Kubernetes objects to tables |
//! | `last_good` | the objects on disk |
//! | `install` | plugin and network list on the node |
//! | `faults`, `api` | what is wrong, and what the API is told |
//! | `detour` | the programs around the node's own stack |
//! | `uplink` | the device towards other nodes, and what the kernel knows of the way out by it |
//! | `dataplane`, `connections`, `inventory` | the switch, and what it got of the kernel and the machine |
//! | `repair` | what to do about what is found at the start: a pure function |
//! | `http`, `status`, `metrics`, `histogram`, `readiness`, `health_checks` | reports, and answers to load balancers |

#![forbid(unsafe_code)]

mod agent;
mod api;
mod attach;
mod availability;
mod bandwidth;
mod beyond;
mod cni_server;
mod conditions;
pub mod config;
mod connections;
mod cores;
mod dataplane;
mod descriptors;
mod detach;
mod detour;
mod faults;
mod feed;
mod garbage;
mod generations;
mod health_checks;
mod histogram;
mod host_port;
mod http;
mod idle_cores;
mod install;
mod inventory;
pub mod ipam;
mod last_good;
mod ledger;
mod link_name;
mod lock;
mod logging;
mod metrics;
mod objects;
mod pace;
mod pod_check;
mod pod_identity;
mod pod_link;
mod readiness;
mod recover;
mod repair;
mod run;
mod serial;
mod shape;
mod start;
pub mod state;
mod status;
mod undo;
mod uplink;
mod wishes;

pub use run::main;
