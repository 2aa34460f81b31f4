//! Kubernetes objects to a validated model to tables.
//!
//! ```text
//! raw::Raw --check--> Object --Index::apply--> Index --Compiler--> Services, health checks -+
//!                                                        |-------> Policies, identities ----+
//!                                                        |-------> Peers -------------------+--compile(Inputs)--> Tables
//!                                                    node, attachments, uplink -------------+
//! ```
//!
//! Nothing here reads a file, a socket or a clock: objects are given, answers and faults come back as data. Raw types
//! ([`raw`]) hold only the fields that Sluice reads and tolerate every other; [`raw::Raw::check`] turns them into the
//! checked types once, and everything later takes only those.
#![forbid(unsafe_code)]

mod attachment;
mod check;
mod compile;
mod compiler;
mod derived_slices;
mod disjoint;
mod endpoint_slice;
mod endpoints;
mod fault;
mod index;
mod name;
mod namespace;
mod network_policy;
mod node;
mod object;
mod peers;
mod pod;
mod pod_cidr;
mod policy;
mod protocol;
pub mod raw;
mod selector;
mod service;
mod services;
mod spare;
mod stored;
mod timestamp;

pub use attachment::{Attachment, ContainerId, HostPort, UplinkPort};
pub use compile::{CompileError, Inputs, Owner, compile, masquerade};
pub use compiler::{Compiler, Setting};
pub use endpoint_slice::{AddressType, Endpoint, EndpointPort, EndpointSlice};
pub use fault::{Fault, FieldPath, LabelPart, Problem, Segment, Subject};
pub use index::{Applied, Index};
pub use name::{EndpointSliceName, NameError, NamespaceName, NetworkPolicyName, NodeName, PodName, ServiceName};
pub use namespace::Namespace;
pub use network_policy::{IpBlock, NetworkPolicy, PolicyPeer, PolicyPort, PolicyProblem, PolicyRule};
pub use node::{Node, TunnelEnd};
pub use object::{Key, Kind, Labels, Object};
pub use peers::{Peers, PeersConfig, TunnelConfig, compile_peers};
pub use pod::{Phase, Pod, PodPort};
pub use pod_cidr::{first_usable, last_usable};
pub use policy::{Policies, compile_policies};
pub use protocol::Protocol;
pub use selector::{LabelTest, Requirement, Selector, SelectorProblem};
pub use service::{Service, ServiceKind, ServicePort, TargetPort, TrafficDistribution};
pub use services::{HealthCheck, NodePortAddresses, PortMapping, ServicesConfig, compile_services, health_checks};
pub use sluice_tables::Family;
pub use timestamp::Timestamp;
