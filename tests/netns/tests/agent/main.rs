//! sluiced and sluice-cni as a node runs them: the real programs, real namespaces as pods, the CNI protocol.
//!
//! ```text
//! namespace of the node: sluiced, sluice_host, slu...      namespaces of pods: eth0
//!        ^ CNI by sluice-cni, status by the socket, HTTP on 127.0.0.1
//! ```
//!
//! | file | subject |
//! |---|---|
//! | `pods` | what an attached pod can do, and what is left of a detached one |
//! | `outside` | what the node's own routing carries on for a pod |
//! | `refusals` | requests that cannot be carried out, and that nothing is left of them |
//! | `restarts` | agents that are away, killed, stopped, started twice |
//! | `objects_kept` | starts without the place that the objects come from |
//! | `pod_cidrs` | addresses that run out, come along and go |
//! | `capabilities` | the least that the daemon is to be given, and what fails without each |
//! | `settings` | configuration, objects that come late, reports |

mod capabilities;
mod node;
mod objects_kept;
mod outside;
mod pod_cidrs;
mod pods;
mod refusals;
mod restarts;
mod settings;
