//! From a request to its answer.

use serde::Deserialize;
use serde_json::Value;
use sluice_cni_protocol::config::ConfigError;
use sluice_cni_protocol::frame::{self, FrameError};
use sluice_cni_protocol::{
    AddResult, AddSettings, CniError, CniRequest, Command, Envelope, NetworkConfig, PROTOCOL_VERSION, Request,
    Response, code,
};
use tracing::info;

use super::Calls;

/// A message, as far as this agent can read it.
#[derive(Debug)]
pub(super) enum Received {
    /// In our protocol version.
    Request(Request),
    /// In another, whatever it asks for.
    OtherVersion(u32),
}

/// The version of any message: in every version it is there, under this name.
#[derive(Deserialize)]
struct VersionOnly {
    version: u32,
}

/// Reads a message. One of another version is told by its number, not by the first thing in it that we do not know.
pub(super) fn read_request(body: &[u8]) -> Result<Received, FrameError> {
    let VersionOnly { version } = frame::decode(body)?;
    if version != PROTOCOL_VERSION {
        return Ok(Received::OtherVersion(version));
    }
    Ok(Received::Request(frame::decode::<Envelope>(body)?.request))
}

/// "Try again later": one of the two is being replaced. The shim leaves a DEL in the journal.
pub(super) fn other_version(version: u32) -> Response {
    let msg = format!(
        "request in protocol version {version}, but this sluiced speaks {PROTOCOL_VERSION}; install sluice-cni and sluiced \
         of one release"
    );
    Response::Error(CniError::new(code::TRY_AGAIN_LATER, msg))
}

/// A call that panicked. Its own clean-up has run; the agent goes on.
pub(super) fn internal_error() -> Response {
    let msg = "sluiced failed on this request; its log has the reason";
    Response::Error(CniError::new(code::TRY_AGAIN_LATER, msg))
}

/// Carries out a request. Blocks.
pub(super) fn answer(calls: &impl Calls, request: Request) -> Response {
    let done = match request {
        Request::Status => return Response::Ok(calls.status()),
        // Asked every few seconds: what is wrong is logged where it arises.
        Request::Availability => return answered(calls.availability().map(|()| Value::Null)),
        Request::Gc(request) => calls.collect_garbage(&request).map(|()| Value::Null).inspect_err(|error| {
            info!(network = request.network, verb = "GC", %error, details = %error.details, "refused");
        }),
        Request::Cni(request) => cni(calls, &request).inspect_err(|error| {
            info!(attachment = %request.attachment, verb = ?request.command, %error, details = %error.details, "refused");
        }),
    };
    answered(done)
}

fn answered(done: Result<Value, CniError>) -> Response {
    done.map_or_else(Response::Error, Response::Ok)
}

fn cni(calls: &impl Calls, request: &CniRequest) -> Result<Value, CniError> {
    let config = NetworkConfig::from_value(&request.config)?;
    match request.command {
        Command::Add => {
            let settings = AddSettings::from_value(&request.config)?;
            let ours = calls.add(request, &config, &settings)?;
            let AddSettings { dns, prev_result, .. } = settings;
            let ours = AddResult { dns, ..ours };
            let whole = prev_result.unwrap_or_default().extended_by(ours);
            Ok(whole.render(config.cni_version))
        }
        Command::Del => calls.del(request).map(|()| Value::Null),
        Command::Check => {
            let AddSettings { prev_result, runtime, .. } = AddSettings::from_value(&request.config)?;
            let told = prev_result.ok_or(ConfigError::Missing("prevResult"))?;
            calls.check(request, &config, &told, &runtime).map(|()| Value::Null)
        }
    }
}
