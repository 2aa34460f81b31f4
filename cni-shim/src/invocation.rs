//! One execution of the plugin: from stdin and environment to stdout and exit code.

use std::io::{IsTerminal, Read, Write};
use std::process::ExitCode;

use serde_json::{Value, json};
use sluice_cni_protocol::config::ConfigError;
use sluice_cni_protocol::{CniError, CniVersion, NetworkConfig, code};

use crate::call::{add, check, collect_garbage, del, status};
use crate::environment::{Variables, Verb};

/// Largest network configuration taken, in bytes. It goes into one message to the agent, which is limited to 1 MiB.
const MAX_CONFIG: usize = 512 * 1024;

/// Carries out the runtime's call and reports it on `output`.
pub(crate) fn run(variables: &Variables, input: impl Read + IsTerminal, mut output: impl Write) -> ExitCode {
    let (answer, code) = match answer(variables, input) {
        Ok(answer) => (answer, ExitCode::SUCCESS),
        Err(error) => (Some(json!(error)), ExitCode::FAILURE),
    };
    let Some(answer) = answer else { return code };
    match writeln!(output, "{answer}").and_then(|()| output.flush()) {
        Ok(()) => code,
        Err(e) => {
            eprintln!("sluice-cni: cannot write the result to stdout: {e}");
            ExitCode::FAILURE
        }
    }
}

/// What goes to stdout on success; only ADD and VERSION have something to say.
fn answer(variables: &Variables, input: impl Read + IsTerminal) -> Result<Option<Value>, CniError> {
    let verb = variables.verb()?;
    if verb == Verb::Version {
        return Ok(Some(versions(&read_config(input)?)));
    }
    let parameters = match verb {
        Verb::Add | Verb::Del | Verb::Check => Some(variables.parameters(verb)?),
        Verb::Gc | Verb::Status | Verb::Version => None,
    };
    let bytes = read_config(input)?;
    let raw: Value = serde_json::from_slice(&bytes)
        .map_err(|e| CniError::new(code::DECODE_FAILURE, format!("network configuration on stdin is not JSON: {e}")))?;
    let in_its_version = |error: CniError| error.in_version(version_named_in(&raw));
    let config = NetworkConfig::from_value(&raw).map_err(|e| in_its_version(e.into()))?;
    let version = config.cni_version;
    version.knows(verb.as_str(), verb.since()).map_err(|e| in_its_version(ConfigError::from(e).into()))?;
    match (verb, parameters) {
        (Verb::Add, Some(parameters)) => add(parameters, &config, raw).map(Some),
        (Verb::Del, Some(parameters)) => del(parameters, &config, raw).map(|()| None),
        (Verb::Check, Some(parameters)) => check(parameters, &config, raw).map(|()| None),
        (Verb::Gc, _) => collect_garbage(&config, &raw).map(|()| None),
        (Verb::Status, _) => status(&config, &raw).map(|()| None),
        _ => Ok(None),
    }
    .map_err(|e| e.in_version(version))
}

/// All of stdin, within [`MAX_CONFIG`]. A terminal has no configuration to give; reading it would wait for a person.
fn read_config(input: impl Read + IsTerminal) -> Result<Vec<u8>, CniError> {
    let mut bytes = Vec::new();
    if input.is_terminal() {
        return Ok(bytes);
    }
    let limit = MAX_CONFIG as u64 + 1;
    input.take(limit).read_to_end(&mut bytes).map_err(|e| {
        CniError::new(code::IO_FAILURE, format!("cannot read the network configuration from stdin: {e}"))
    })?;
    if bytes.len() > MAX_CONFIG {
        let msg = format!("network configuration on stdin is longer than {MAX_CONFIG} bytes");
        return Err(CniError::new(code::INVALID_CONFIG, msg));
    }
    Ok(bytes)
}

/// The version to answer in: the one that `raw` names if it is supported, else the newest.
fn version_named_in(raw: &Value) -> CniVersion {
    raw.get("cniVersion").and_then(Value::as_str).and_then(|v| v.parse().ok()).unwrap_or(CniVersion::LATEST)
}

/// The answer to VERSION. Its input may be empty: runtimes before 1.0 sent none.
fn versions(input: &[u8]) -> Value {
    let named = serde_json::from_slice(input).map_or(CniVersion::LATEST, |raw| version_named_in(&raw));
    json!({ "cniVersion": named.as_str(), "supportedVersions": CniVersion::ALL.map(CniVersion::as_str) })
}
