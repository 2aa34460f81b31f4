//! The measures: each starts generators at both ends and reads what they say.

mod agent;
mod connect;
mod connections;
mod pingpong;
mod tcp;
mod udp;

pub(super) use agent::{Attach, Idle, Restart};
pub(super) use connect::Connect;
pub(super) use connections::Connections;
pub(super) use pingpong::PingPong;
pub(super) use tcp::Tcp;
pub(super) use udp::Udp;
