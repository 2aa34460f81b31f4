//! Services that were made before, shared with the next generation as long as they do not change.

use std::collections::HashMap;
use std::sync::Arc;

use sluice_tables::{Service, ServiceEntry, ServiceId, Services, ServicesBuilder, ServicesError};

use super::{ServicesConfig, compile_with};
use crate::fault::Fault;
use crate::index::Index;
use crate::node::Node;

/// Remembers what each Service was made of, so that a change of one fills no other's table anew.
#[derive(Clone, Debug, Default)]
pub struct KnownServices {
    made: HashMap<u64, Made>,
}

#[derive(Clone, Debug)]
struct Made {
    entry: ServiceEntry,
    service: Arc<Service>,
    /// Whether the compilation under way has asked for it.
    asked: bool,
}

impl KnownServices {
    /// As [`super::compile_services`]; what has not changed since the last call is shared with it.
    pub fn compile(
        &mut self,
        index: &Index,
        node: &Node,
        config: &ServicesConfig,
        seed: u64,
    ) -> (Services, Vec<Fault>) {
        let compiled = compile_with(self, index, node, config, seed);
        self.made.retain(|_, made| std::mem::take(&mut made.asked));
        compiled
    }

    /// Adds what an entry makes, or what it has made before.
    pub(super) fn add(
        &mut self,
        builder: &mut ServicesBuilder,
        entry: ServiceEntry,
    ) -> Result<ServiceId, ServicesError> {
        let key = entry.key;
        let known = self.made.get_mut(&key).filter(|made| made.entry == entry);
        let service = match known {
            Some(made) => {
                made.asked = true;
                Arc::clone(&made.service)
            }
            None => {
                let service = Service::new(entry.clone())?;
                self.made.insert(key, Made { entry, service: Arc::clone(&service), asked: true });
                service
            }
        };
        builder.shared(service)
    }
}
