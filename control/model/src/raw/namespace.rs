//! `v1/Namespace`.

use serde::Deserialize;

use crate::raw::Metadata;

/// A Namespace.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Namespace {
    /// Metadata.
    pub metadata: Option<Metadata>,
}
