//! Namespaces: a name and labels that policies select.

use crate::check::Check;
use crate::fault::Fault;
use crate::name::NamespaceName;
use crate::object::{Kind, Labels};
use crate::raw;

/// A checked Namespace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Namespace {
    /// Its name.
    pub name: NamespaceName,
    /// Its labels. Always holds `kubernetes.io/metadata.name`, which the API server adds by itself.
    pub labels: Labels,
}

/// The label that the API server sets on every Namespace to its own name.
pub(crate) const NAME_LABEL: &str = "kubernetes.io/metadata.name";

pub(crate) fn check(raw: &raw::Namespace) -> Result<Namespace, Vec<Fault>> {
    let metadata = raw.metadata.clone().unwrap_or_default();
    let mut check = Check::new(Kind::Namespace, &metadata);
    let name = check.name(&metadata, NamespaceName::new);
    let mut labels = check.labels(&metadata);
    let namespace = name.map(|name| {
        // Manifests in a directory have not been through an API server.
        labels.insert(NAME_LABEL.to_owned(), name.as_str().to_owned());
        Namespace { name, labels }
    });
    check.finish(namespace)
}
