//! Namespaces that play nodes and pods, each node with a real `sluiced`, each pod attached by the real `sluice-cni`.
//!
//! ```text
//! manifests in DIR -> Topology -> up: per node  namespace + sluiced in it
//!                                     per pod   namespace + sluice-cni ADD, run in the node's namespace
//!                                     on request  a wire that joins the nodes, and an outside behind it
//! ```
//!
//! What a lab consists of is written to `/run/sluice-lab/NAME/lab.json` before it is made, so that [`down`] also
//! removes what a crashed [`up`] left. Nothing here touches the root namespace's devices, addresses or settings.

#![forbid(unsafe_code)]

mod agent;
mod binaries;
mod cni;
mod down;
mod error;
mod exec;
mod inhabitants;
mod layout;
mod lock;
mod manifests;
mod name;
mod nodes;
mod objects;
mod pods;
mod process;
mod record;
mod status;
mod stop;
mod topology;
mod underlay;
mod up;
mod wire;

pub use agent::{AgentSettings, ObjectSource};
pub use binaries::Binaries;
pub use down::{Removed, down};
pub use error::LabError;
pub use exec::exec_in;
pub use layout::{LABS, Layout};
pub use name::LabName;
pub use process::ProcessId;
pub use record::{NodeRecord, PodAttachment, PodRecord, Record};
pub use status::{LabStatus, NodeStatus, PodStatus, agent_status, labs, record, status};
pub use stop::Stop;
pub use underlay::{BEYOND_V4, BEYOND_V6, UPLINK, UnderlayRecord};
pub use up::{Change, UpOptions, up};
pub use wire::{WireHost, raise_wire, set_wire};
