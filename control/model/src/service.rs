//! Services: their addresses and ports, and how their endpoints are chosen.

use crate::check::Check;
use crate::fault::Fault;
use crate::name::ServiceName;
use crate::object::Kind;
use crate::raw;

/// A checked Service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Service {
    /// Namespace and name.
    pub name: ServiceName,
}

pub(crate) fn check(raw: &raw::Service) -> Result<Service, Vec<Fault>> {
    let metadata = raw.metadata.clone().unwrap_or_default();
    let mut check = Check::new(Kind::Service, &metadata);
    let name = check.full_name(&metadata, ServiceName::new);
    check.finish(name.map(|name| Service { name }))
}
