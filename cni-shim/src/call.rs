//! The verbs against the agent, and what becomes of them while it is away.

use std::time::Duration;

use serde_json::Value;
use sluice_cni_protocol::config::ConfigError;
use sluice_cni_protocol::{
    AddSettings, Client, ClientError, CniError, CniRequest, Command, Garbage, GcRequest, Journal, JournalEntry,
    NetworkConfig, Request, Response, code,
};

use crate::environment::Parameters;

/// How long STATUS waits. It is asked every few seconds, and an agent that takes longer cannot attach pods.
const STATUS_TIMEOUT: Duration = Duration::from_secs(5);

/// Attaches the container. The answer is the CNI result.
pub(crate) fn add(parameters: Parameters, config: &NetworkConfig, raw: Value) -> Result<Value, CniError> {
    AddSettings::from_value(&raw)?;
    const LATER: &str = "the pod was not attached; the runtime may try again when sluiced answers";
    ask(&client(config), Request::Cni(request(Command::Add, parameters, raw)), LATER)
}

/// Compares the container with the result of its ADD.
pub(crate) fn check(parameters: Parameters, config: &NetworkConfig, raw: Value) -> Result<(), CniError> {
    if config.disable_check {
        return Ok(());
    }
    AddSettings::from_value(&raw)?.prev_result.ok_or(ConfigError::Missing("prevResult"))?;
    const LATER: &str = "nothing is known against the pod; the runtime may check again when sluiced answers";
    ask(&client(config), Request::Cni(request(Command::Check, parameters, raw)), LATER).map(drop)
}

/// Detaches the container, or leaves the DEL in the journal for an agent that is away or of another release: the runtime must
/// be able to remove a pod while the agent is being replaced.
pub(crate) fn del(parameters: Parameters, config: &NetworkConfig, raw: Value) -> Result<(), CniError> {
    let entry = JournalEntry::new(parameters.attachment.clone(), parameters.netns.clone(), config.name.clone());
    let request = request(Command::Del, parameters, raw);
    let away = match client(config).call(Request::Cni(request)) {
        Ok(Response::Ok(_)) => return Ok(()),
        Ok(Response::Error(later)) if later.code == code::TRY_AGAIN_LATER => later.to_string(),
        Ok(Response::Error(refused)) => return Err(refused),
        Err(away) => away.to_string(),
    };
    Journal::in_state_dir(&config.state_dir)
        .store(&entry)
        .map_err(|e| CniError::new(code::IO_FAILURE, e.to_string()).with_details(away.clone()))?;
    eprintln!("sluice-cni: DEL of {} left in the journal: {away}", entry.attachment);
    Ok(())
}

/// Removes every attachment of this network that the runtime does not name.
pub(crate) fn collect_garbage(config: &NetworkConfig, raw: &Value) -> Result<(), CniError> {
    let Garbage { valid } = Garbage::from_value(raw)?;
    if config.disable_gc {
        return Ok(());
    }
    const LATER: &str = "nothing was removed; the runtime may try again when sluiced answers";
    ask(&client(config), Request::Gc(GcRequest { network: config.name.clone(), valid }), LATER).map(drop)
}

/// Whether an ADD of this network could be carried out now. An agent that does not answer cannot carry one out.
pub(crate) fn status(config: &NetworkConfig, raw: &Value) -> Result<(), CniError> {
    AddSettings::from_value(raw)?;
    const LATER: &str = "pods that are attached keep their devices and addresses, and are served when sluiced is back";
    ask(&client(config).with_answer_timeout(STATUS_TIMEOUT), Request::Availability, LATER).map(drop).map_err(|error| {
        match error.code {
            code::TRY_AGAIN_LATER | code::IO_FAILURE => CniError { code: code::LIMITED, ..error },
            _ => error,
        }
    })
}

fn client(config: &NetworkConfig) -> Client {
    Client::in_run_dir(&config.run_dir)
}

/// What the agent answers; one that is away is told with `later`.
fn ask(client: &Client, request: Request, later: &str) -> Result<Value, CniError> {
    match client.call(request) {
        Ok(Response::Ok(answer)) => Ok(answer),
        Ok(Response::Error(refused)) => Err(refused),
        // No wait mends this: somebody has to remove the socket.
        Err(foreign @ ClientError::Foreign { .. }) => Err(CniError::new(code::IO_FAILURE, foreign.to_string())),
        Err(away) => Err(CniError::new(code::TRY_AGAIN_LATER, away.to_string()).with_details(later)),
    }
}

fn request(command: Command, parameters: Parameters, config: Value) -> CniRequest {
    let Parameters { attachment, netns, args, path } = parameters;
    CniRequest { command, attachment, netns, args, path, config }
}
