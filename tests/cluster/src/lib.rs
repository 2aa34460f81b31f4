//! A cluster of real components on one machine, whose only network is Sluice.
//!
//! ```text
//! node-a: containerd, kubelet, sluiced and pods --- uplink0 --+
//! node-b: containerd, kubelet, sluiced and pods --- uplink0 --+-- bridge --- outside
//! api: etcd, API server, controllers, scheduler --- uplink0 --+
//! ```
//!
//! `setup/cluster` gets the components, `deploy/` what is installed on them, as anybody would install it. A node is a
//! [`Machine`]: a network, mount, UTS and PID namespace with its own `/run`, `/var`, `/etc`, `/opt`, `/sys` and `/proc`, so that all
//! of it ends with its first process. There is no kube-proxy and no other CNI plugin. Nothing is in the root namespace; all of it
//! goes with the [`Cluster`], and what a crash left behind goes when the next of its name begins.

#![forbid(unsafe_code)]

mod cgroup;
mod cluster;
mod control_plane;
mod error;
mod images;
mod install;
mod kubectl;
mod machine;
mod node;
mod wait;

pub use cluster::{Cluster, NODES, down};
pub use control_plane::{ControlPlane, POD_RANGES};
pub use error::ClusterError;
pub use images::{Image, SLUICE, TOOLS};
pub use kubectl::Kubectl;
pub use machine::Machine;
pub use node::{Node, Service};
pub use wait::wait_for;
