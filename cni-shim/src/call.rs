//! ADD and DEL against the agent, and what becomes of them while it is away.

use serde_json::Value;
use sluice_cni_protocol::{
    AddSettings, Client, ClientError, CniError, CniRequest, Command, Journal, JournalEntry, NetworkConfig, Request,
    Response, code,
};

use crate::environment::Parameters;

/// Attaches the container. The answer is the CNI result.
pub(crate) fn add(parameters: Parameters, config: &NetworkConfig, raw: Value) -> Result<Value, CniError> {
    AddSettings::from_value(&raw)?;
    let request = request(Command::Add, parameters, raw);
    match Client::in_run_dir(&config.run_dir).call(Request::Cni(request)) {
        Ok(Response::Ok(result)) => Ok(result),
        Ok(Response::Error(refused)) => Err(refused),
        Err(away) => Err(try_again(&away)),
    }
}

/// Detaches the container, or leaves the DEL in the journal for an agent that is away: the runtime must be able to
/// remove a pod while the agent is being replaced.
pub(crate) fn del(parameters: Parameters, config: &NetworkConfig, raw: Value) -> Result<(), CniError> {
    let entry = JournalEntry::new(parameters.attachment.clone(), parameters.netns.clone(), config.name.clone());
    let request = request(Command::Del, parameters, raw);
    match Client::in_run_dir(&config.run_dir).call(Request::Cni(request)) {
        Ok(Response::Ok(_)) => Ok(()),
        Ok(Response::Error(refused)) => Err(refused),
        Err(away) => {
            Journal::in_state_dir(&config.state_dir)
                .store(&entry)
                .map_err(|e| CniError::new(code::IO_FAILURE, e.to_string()).with_details(away.to_string()))?;
            eprintln!("sluice-cni: DEL of {} left in the journal: {away}", entry.attachment);
            Ok(())
        }
    }
}

fn request(command: Command, parameters: Parameters, config: Value) -> CniRequest {
    let Parameters { attachment, netns, args, path } = parameters;
    CniRequest { command, attachment, netns, args, path, config }
}

fn try_again(away: &ClientError) -> CniError {
    CniError::new(code::TRY_AGAIN_LATER, away.to_string())
        .with_details("the pod was not attached; the runtime may try again when sluiced answers")
}
