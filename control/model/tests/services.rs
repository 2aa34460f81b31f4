//! Services to frontends and backends. One module a part of the specification; each test is named by what it holds.

#[path = "services/addresses.rs"]
mod addresses;
#[path = "services/conflicts.rs"]
mod conflicts;
#[path = "services/derived.rs"]
mod derived;
#[path = "services/health.rs"]
mod health;
#[path = "services/known.rs"]
mod known;
#[path = "services/port_mappings.rs"]
mod port_mappings;
#[path = "services/scene.rs"]
mod scene;
#[path = "services/which.rs"]
mod which;
