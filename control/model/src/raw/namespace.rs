//! `v1/Namespace`.

use serde::{Deserialize, Serialize};

use crate::raw::Metadata;

/// A Namespace.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Namespace {
    /// Metadata.
    pub metadata: Option<Metadata>,
}
