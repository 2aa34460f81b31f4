//! EndpointSlices: where the backends of a Service are.

use crate::check::Check;
use crate::fault::Fault;
use crate::name::EndpointSliceName;
use crate::object::Kind;
use crate::raw;

/// A checked EndpointSlice.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EndpointSlice {
    /// Namespace and name.
    pub name: EndpointSliceName,
}

pub(crate) fn check(raw: &raw::EndpointSlice) -> Result<EndpointSlice, Vec<Fault>> {
    let metadata = raw.metadata.clone().unwrap_or_default();
    let mut check = Check::new(Kind::EndpointSlice, &metadata);
    let name = check.full_name(&metadata, EndpointSliceName::new);
    check.finish(name.map(|name| EndpointSlice { name }))
}
