//! What GC is told: which attachments the runtime still has.

use serde_json::Value;

use crate::config::{ConfigError, invalid};
use crate::identity::AttachmentId;

/// The key of the network configuration (CNI specification, section "GC").
const KEY: &str = "cni.dev/valid-attachments";
/// What libcni writes beside it, for plugins from before the specification was final.
const EARLIER_KEY: &str = "cni.dev/attachments";

/// What only GC reads of a network configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Garbage {
    /// The attachments that stay. Those with a name that no attachment of ours can have are left out.
    pub valid: Vec<AttachmentId>,
}

impl Garbage {
    /// Reads the list from decoded JSON. An empty one, or the `null` that libcni makes of a list never filled, leaves nothing
    /// of the network.
    ///
    /// # Errors
    /// A configuration without the key: it cannot be told from one that somebody forgot, and everything would go.
    pub fn from_value(value: &Value) -> Result<Self, ConfigError> {
        let keys = value.as_object().ok_or(ConfigError::NotAnObject)?;
        let listed = keys.get(KEY).or_else(|| keys.get(EARLIER_KEY)).ok_or(ConfigError::Missing(KEY))?;
        let listed = match listed {
            Value::Null => &[],
            Value::Array(listed) => listed.as_slice(),
            other => return Err(invalid(KEY, "a list of attachments", other)),
        };
        let mut valid = Vec::with_capacity(listed.len());
        for one in listed {
            let name = |key: &str| one.get(key).and_then(Value::as_str).map(str::to_owned);
            let (Some(container), Some(ifname)) = (name("containerID"), name("ifname")) else {
                return Err(invalid(KEY, "a list of objects with \"containerID\" and \"ifname\"", one));
            };
            if let (Ok(container_id), Ok(ifname)) = (container.try_into(), ifname.try_into()) {
                valid.push(AttachmentId { container_id, ifname });
            }
        }
        Ok(Self { valid })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_valid_attachments_are_read_and_names_that_cannot_be_ours_are_left_out() {
        let listed = json!({KEY: [
            {"containerID": "a", "ifname": "eth0", "more": 1},
            {"containerID": "b", "ifname": "a-name-of-17-bytes"},
            {"containerID": "/c", "ifname": "eth0"},
        ]});
        let read = Garbage::from_value(&listed).expect("a list");
        assert_eq!(read.valid.iter().map(ToString::to_string).collect::<Vec<_>>(), ["a/eth0"]);
    }

    #[test]
    fn an_empty_list_is_a_list_and_a_missing_one_is_refused() {
        for given in [json!({KEY: []}), json!({KEY: null}), json!({EARLIER_KEY: []})] {
            assert!(Garbage::from_value(&given).expect("a list").valid.is_empty(), "{given}");
        }
        let refused = Garbage::from_value(&json!({"name": "n"})).expect_err("it has no list");
        assert!(refused.code() == 7 && refused.to_string().contains(KEY), "{refused}");
    }

    #[test]
    fn a_list_that_is_none_is_refused_and_not_taken_for_an_empty_one() {
        let lists = [json!({}), json!("a"), json!(["a"]), json!([{"containerID": "a"}]), json!([{"ifname": "eth0"}])];
        for list in lists.into_iter().chain([json!([{"containerID": 1, "ifname": "eth0"}])]) {
            let refused = Garbage::from_value(&json!({KEY: list.clone()})).expect_err("it is none");
            assert!(refused.code() == 7 && refused.to_string().contains(KEY), "{list}: {refused}");
        }
    }
}
