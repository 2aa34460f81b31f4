//! Services that were made before, shared with the next generation as long as they do not change.

use sluice_tables::Services;

use super::{CompiledServices, ServicesConfig};
use crate::fault::Fault;
use crate::index::{Changes, Index};
use crate::node::Node;

/// Remembers what each Service was made of, so that a change of one fills no other's table anew.
#[derive(Clone, Debug, Default)]
pub struct KnownServices {
    compiled: CompiledServices,
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
        self.compiled.update(index, &Changes::all(), node, config, seed);
        (Services::clone(self.compiled.services()), self.compiled.faults().to_vec())
    }
}
