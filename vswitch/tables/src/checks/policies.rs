//! Policies belong to pods that are there, one each.

use crate::{PodPolicy, Port, PortId, PortKind, TablesError};

/// `ports` are ordered by id.
pub(crate) fn check(ports: &[Port], policies: &[(PortId, PodPolicy)]) -> Result<(), TablesError> {
    let mut ids: Vec<PortId> = policies.iter().map(|(id, _)| *id).collect();
    ids.sort_unstable();
    if let Some(pair) = ids.windows(2).find(|pair| pair[0] == pair[1]) {
        return Err(TablesError::DuplicatePolicy(pair[0]));
    }
    for id in ids {
        match ports.binary_search_by_key(&id, |port| port.id) {
            Err(_) => return Err(TablesError::PolicyWithoutPort(id)),
            Ok(position) if ports[position].kind != PortKind::Pod => return Err(TablesError::PolicyForNoPod(id)),
            Ok(_) => {}
        }
    }
    Ok(())
}
