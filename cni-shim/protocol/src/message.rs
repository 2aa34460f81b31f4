//! Requests to the agent and its answers.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::error::CniError;
use crate::identity::AttachmentId;

/// The version of these messages. An agent that is sent another one answers "try again later" (CNI error 11), whatever the
/// request is: shim and agent come from one image, and the agent installs the shim, so they differ only while one of them is
/// being replaced.
pub const PROTOCOL_VERSION: u32 = 2;

/// What is sent over a connection: exactly one of these, then the answer is read. Who hangs up before an ADD has begun
/// takes it back.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Envelope {
    /// [`PROTOCOL_VERSION`] of the sender.
    pub version: u32,
    /// The request.
    pub request: Request,
}

impl Envelope {
    /// `request` in this crate's protocol version.
    pub fn new(request: Request) -> Self {
        Self { version: PROTOCOL_VERSION, request }
    }
}

/// A request to the agent.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Request {
    /// A CNI verb.
    Cni(CniRequest),
    /// The CNI verb GC.
    Gc(GcRequest),
    /// The CNI verb STATUS: whether pods can be attached now. Answered at once, whatever else waits.
    Availability,
    /// The agent's state as JSON, the same document as `GET /status`.
    Status,
}

/// The CNI verbs about one attachment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Command {
    /// Attach a container.
    Add,
    /// Detach a container; succeeds when there is nothing to detach.
    Del,
    /// Compare a container with the result of its ADD.
    Check,
}

/// What GC leaves of a network's attachments; all others of that network go.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GcRequest {
    /// The network's name.
    pub network: String,
    /// `cni.dev/valid-attachments`.
    pub valid: Vec<AttachmentId>,
}

/// One call of the plugin by the runtime.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CniRequest {
    /// `CNI_COMMAND`.
    pub command: Command,
    /// `CNI_CONTAINERID` and `CNI_IFNAME`.
    #[serde(flatten)]
    pub attachment: AttachmentId,
    /// `CNI_NETNS`; always there with ADD and CHECK, and may be missing or gone with DEL.
    pub netns: Option<PathBuf>,
    /// `CNI_ARGS`; empty when unset.
    #[serde(default)]
    pub args: String,
    /// `CNI_PATH`; empty when unset.
    #[serde(default)]
    pub path: String,
    /// The network configuration as it came on stdin; see [`crate::NetworkConfig::from_value`].
    pub config: Value,
}

/// The agent's answer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Response {
    /// Success: for ADD the result in the request's CNI version, for Status the status document, else null.
    Ok(Value),
    /// Failure, ready to be printed.
    Error(CniError),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_reads_back() {
        let text = r#"{"version":2,"request":{"cni":{"command":"ADD","containerId":"c1","ifname":"eth0",
            "netns":"/run/netns/x","args":"","path":"/opt/cni/bin","config":{"cniVersion":"1.1.0"}}}}"#;
        let envelope: Envelope = serde_json::from_str(text).unwrap();
        let again: Envelope = serde_json::from_value(serde_json::to_value(&envelope).unwrap()).unwrap();
        assert_eq!(envelope, again);
        let Request::Cni(request) = envelope.request else { panic!("not a CNI request") };
        assert_eq!(request.command, Command::Add);
        assert_eq!(request.attachment.to_string(), "c1/eth0");
    }
}
