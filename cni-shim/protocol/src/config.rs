//! The network configuration that the runtime gives on stdin.

use std::path::PathBuf;

use ipnet::IpNet;
use serde_json::{Map, Value};

use crate::error::{CniError, code};
use crate::result::{AddResult, Dns};
use crate::runtime_config::RuntimeConfig;
use crate::version::{CniVersion, UnsupportedVersion, VerbTooNew};
use crate::{DEFAULT_RUN_DIR, DEFAULT_STATE_DIR};

/// Why a network configuration is refused.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// Not JSON.
    #[error("network configuration is not JSON: {0}")]
    Decode(serde_json::Error),
    /// JSON, but not an object.
    #[error("network configuration must be a JSON object")]
    NotAnObject,
    /// A key that must be there is missing.
    #[error("network configuration lacks the key {0:?}")]
    Missing(&'static str),
    /// A key has a value of the wrong form.
    #[error("network configuration key {key:?} must be {wanted}, not {given}")]
    Invalid {
        /// The key.
        key: &'static str,
        /// What it must be.
        wanted: &'static str,
        /// What it is.
        given: String,
    },
    /// A key that asks for something Sluice does not do.
    #[error("network configuration key {key:?} with value {given} is not supported: {why}")]
    Unsupported {
        /// The key.
        key: &'static str,
        /// Its value.
        given: String,
        /// Why not, and what to do.
        why: &'static str,
    },
    /// `cniVersion` is missing or unknown.
    #[error(transparent)]
    Version(#[from] UnsupportedVersion),
    /// `cniVersion` has no such verb.
    #[error(transparent)]
    Verb(#[from] VerbTooNew),
}

impl ConfigError {
    /// The CNI error code, one of [`code`].
    pub fn code(&self) -> u32 {
        match self {
            Self::Decode(_) => code::DECODE_FAILURE,
            Self::NotAnObject | Self::Missing(_) | Self::Invalid { .. } => code::INVALID_CONFIG,
            Self::Unsupported { .. } => code::UNSUPPORTED_FIELD,
            Self::Version(_) | Self::Verb(_) => code::INCOMPATIBLE_VERSION,
        }
    }
}

impl From<ConfigError> for CniError {
    fn from(error: ConfigError) -> Self {
        CniError::new(error.code(), error.to_string())
    }
}

/// A checked network configuration.
#[derive(Debug, Clone, PartialEq)]
pub struct NetworkConfig {
    /// The version to answer in.
    pub cni_version: CniVersion,
    /// The network's name; unique on the node.
    pub name: String,
    /// Where the agent's socket is.
    pub run_dir: PathBuf,
    /// Where the DEL journal is.
    pub state_dir: PathBuf,
    /// Whether CHECK is to do nothing. The runtime is to see to that; this is for one that does not.
    pub disable_check: bool,
    /// The same for GC.
    pub disable_gc: bool,
}

/// What only ADD reads of a network configuration. A fault in it must not keep a DEL from being done.
#[derive(Debug, Clone, PartialEq)]
pub struct AddSettings {
    /// DNS settings that are handed through to the result.
    pub dns: Dns,
    /// The result of the plugins before this one in a chain.
    pub prev_result: Option<AddResult>,
    /// What the runtime wants for this container.
    pub runtime: RuntimeConfig,
    /// Whether the container gets default routes by this interface: no for a second one behind which only some networks lie.
    pub default_route: bool,
    /// Networks that the container reaches by this interface, besides.
    pub routes: Vec<IpNet>,
}

impl AddSettings {
    /// Reads the keys from decoded JSON, and refuses those that ask for what Sluice does not do.
    pub fn from_value(value: &Value) -> Result<Self, ConfigError> {
        let keys = value.as_object().ok_or(ConfigError::NotAnObject)?;
        check_ipam(keys)?;
        let runtime = RuntimeConfig::from_keys(keys)?;
        let dns = decoded(keys, "dns", "a CNI dns object")?.unwrap_or_default();
        Ok(Self {
            dns: runtime.dns.clone().unwrap_or(dns),
            prev_result: decoded(keys, "prevResult", "a CNI result")?,
            runtime,
            default_route: flag(keys, "defaultRoute")?.unwrap_or(true),
            routes: routes(keys)?,
        })
    }
}

impl NetworkConfig {
    /// Reads a configuration from `bytes`.
    pub fn parse(bytes: &[u8]) -> Result<Self, ConfigError> {
        Self::from_value(&serde_json::from_slice(bytes).map_err(ConfigError::Decode)?)
    }

    /// Reads a configuration from decoded JSON. Keys that other plugins use are left alone.
    pub fn from_value(value: &Value) -> Result<Self, ConfigError> {
        let keys = value.as_object().ok_or(ConfigError::NotAnObject)?;
        let cni_version = text(keys, "cniVersion")?.unwrap_or_default().parse()?;
        let name = text(keys, "name")?.ok_or(ConfigError::Missing("name"))?;
        check_name(name)?;
        Ok(Self {
            cni_version,
            name: name.to_owned(),
            run_dir: directory(keys, "runDir", DEFAULT_RUN_DIR)?,
            state_dir: directory(keys, "stateDir", DEFAULT_STATE_DIR)?,
            disable_check: flag(keys, "disableCheck")?.unwrap_or(false),
            disable_gc: flag(keys, "disableGC")?.unwrap_or(false),
        })
    }
}

/// A boolean. The specification lets these be written as text, too ("Network configuration format").
pub(crate) fn flag(keys: &Map<String, Value>, key: &'static str) -> Result<Option<bool>, ConfigError> {
    match keys.get(key) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::Bool(flag)) => Ok(Some(*flag)),
        Some(Value::String(text)) if text.eq_ignore_ascii_case("true") => Ok(Some(true)),
        Some(Value::String(text)) if text.eq_ignore_ascii_case("false") => Ok(Some(false)),
        Some(other) => Err(invalid(key, "true or false", other)),
    }
}

pub(crate) fn invalid(key: &'static str, wanted: &'static str, given: &Value) -> ConfigError {
    ConfigError::Invalid { key, wanted, given: given.to_string() }
}

fn text<'a>(keys: &'a Map<String, Value>, key: &'static str) -> Result<Option<&'a str>, ConfigError> {
    match keys.get(key) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(other) => Err(invalid(key, "a string", other)),
    }
}

fn decoded<T>(keys: &Map<String, Value>, key: &'static str, wanted: &'static str) -> Result<Option<T>, ConfigError>
where
    T: serde::de::DeserializeOwned,
{
    match keys.get(key) {
        None | Some(Value::Null) => Ok(None),
        Some(value) => T::deserialize(value).map(Some).map_err(|_| invalid(key, wanted, value)),
    }
}

/// `routes`: as in the `ipam` of other plugins, but always by our gateway.
fn routes(keys: &Map<String, Value>) -> Result<Vec<IpNet>, ConfigError> {
    let wanted = "a list of objects with a network as \"dst\", as 10.244.0.0/16";
    let listed: Vec<Value> = decoded(keys, "routes", wanted)?.unwrap_or_default();
    let network = |one: &Value| {
        let others = one.as_object()?.keys().any(|key| key != "dst");
        one.get("dst")?.as_str()?.parse::<IpNet>().ok().filter(|net| !others && net.trunc() == *net)
    };
    listed.iter().map(|one| network(one).ok_or_else(|| invalid("routes", wanted, one))).collect()
}

fn directory(keys: &Map<String, Value>, key: &'static str, default: &str) -> Result<PathBuf, ConfigError> {
    let path = PathBuf::from(text(keys, key)?.unwrap_or(default));
    if path.is_absolute() {
        Ok(path)
    } else {
        Err(ConfigError::Invalid { key, wanted: "an absolute path", given: format!("{path:?}") })
    }
}

/// The same form as a container id (CNI specification, "Network configuration format").
fn check_name(name: &str) -> Result<(), ConfigError> {
    let inner = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b'-');
    if name.bytes().next().is_some_and(|b| b.is_ascii_alphanumeric()) && name.bytes().all(inner) {
        return Ok(());
    }
    Err(ConfigError::Invalid {
        key: "name",
        wanted: "a letter or digit followed by letters, digits, '_', '.' or '-'",
        given: format!("{name:?}"),
    })
}

/// Addresses handed out by another plugin would not be in the node's podCIDRs, and the switch would not know them.
fn check_ipam(keys: &Map<String, Value>) -> Result<(), ConfigError> {
    match keys.get("ipam") {
        None | Some(Value::Null) => Ok(()),
        Some(Value::Object(ipam)) if ipam.is_empty() => Ok(()),
        Some(ipam) => Err(ConfigError::Unsupported {
            key: "ipam",
            given: ipam.to_string(),
            why: "sluiced gives addresses from the node's podCIDRs; remove the key",
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(text: &str) -> (u32, String) {
        let raw = NetworkConfig::parse(text.as_bytes()).and_then(|_| {
            let raw: Value = serde_json::from_str(text).map_err(ConfigError::Decode)?;
            AddSettings::from_value(&raw)
        });
        let error = raw.unwrap_err();
        (error.code(), error.to_string())
    }

    #[test]
    fn defaults() {
        let config = NetworkConfig::parse(br#"{"cniVersion":"1.0.0","name":"sluice","type":"sluice-cni"}"#).unwrap();
        assert_eq!(config.cni_version, CniVersion::V1_0_0);
        assert_eq!(config.run_dir, PathBuf::from(DEFAULT_RUN_DIR));
        assert_eq!(config.state_dir, PathBuf::from(DEFAULT_STATE_DIR));
    }

    #[test]
    fn what_only_add_reads_does_not_keep_a_del_from_being_done() {
        let given = br#"{"cniVersion":"1.0.0","name":"n","ipam":{"type":"x"},"prevResult":{"ips":3}}"#;
        NetworkConfig::parse(given).unwrap();
    }

    #[test]
    fn keys_of_other_plugins_and_of_nobody_are_left_alone() {
        let given =
            r#"{"cniVersion":"1.1.0","name":"n","type":"sluice-cni","capabilities":{"x":true},"mtu":9000,"snat":1}"#;
        let value: Value = serde_json::from_str(given).unwrap();
        let AddSettings { default_route, routes, runtime, .. } = AddSettings::from_value(&value).unwrap();
        assert!(default_route && routes.is_empty() && runtime == RuntimeConfig::default());
    }

    #[test]
    fn a_second_interface_may_lead_to_some_networks_only() {
        let given = r#"{"defaultRoute":false,"routes":[{"dst":"10.244.0.0/16"},{"dst":"fd00:10:244::/48"}]}"#;
        let settings = AddSettings::from_value(&serde_json::from_str(given).unwrap()).unwrap();
        assert!(!settings.default_route && settings.routes.len() == 2);
    }

    #[test]
    fn refusals_have_the_specified_codes_and_name_the_key() {
        for (given, code, word) in [
            ("{", 6, "JSON"),
            ("[]", 7, "object"),
            (r#"{"name":"n"}"#, 1, "1.1.0"),
            (r#"{"cniVersion":"0.2.0","name":"n"}"#, 1, "0.2.0"),
            (r#"{"cniVersion":1,"name":"n"}"#, 7, "cniVersion"),
            (r#"{"cniVersion":"1.1.0"}"#, 7, "name"),
            (r#"{"cniVersion":"1.1.0","name":"../n"}"#, 7, "name"),
            (r#"{"cniVersion":"1.1.0","name":"n","runDir":"run"}"#, 7, "runDir"),
            (r#"{"cniVersion":"1.1.0","name":"n","stateDir":3}"#, 7, "stateDir"),
            (r#"{"cniVersion":"1.1.0","name":"n","dns":3}"#, 7, "dns"),
            (r#"{"cniVersion":"1.1.0","name":"n","prevResult":{"ips":[{"address":"x"}]}}"#, 7, "prevResult"),
            (r#"{"cniVersion":"1.1.0","name":"n","ipam":{"type":"host-local"}}"#, 2, "host-local"),
            (r#"{"cniVersion":"1.1.0","name":"n","runtimeConfig":{"portMappings":[{"hostPort":0}]}}"#, 7, "hostPort"),
            (r#"{"cniVersion":"1.1.0","name":"n","defaultRoute":3}"#, 7, "defaultRoute"),
            (r#"{"cniVersion":"1.1.0","name":"n","disableGC":"never"}"#, 7, "disableGC"),
            (r#"{"cniVersion":"1.1.0","name":"n","routes":[{"dst":"10.0.0.1/8"}]}"#, 7, "routes"),
            (r#"{"cniVersion":"1.1.0","name":"n","routes":[{"dst":"10.0.0.0/8","gw":"10.0.0.1"}]}"#, 7, "routes"),
        ] {
            let (got, message) = refused(given);
            assert_eq!(got, code, "{given}: {message}");
            assert!(message.contains(word), "{given}: {message}");
        }
    }
}
