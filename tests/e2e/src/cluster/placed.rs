//! The nodes and pods that a lab is to have, as its manifests, with the uids that the API server gave.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::error::E2eError;
use crate::paths::path_of;

/// Nodes and pods by their paths in the API.
#[derive(Debug)]
pub(super) struct Placed {
    directory: PathBuf,
    objects: BTreeMap<String, Value>,
}

impl Placed {
    /// Those among `objects`, with a directory for the manifests.
    pub(super) fn of(directory: &Path, objects: &[Value]) -> Result<Self, E2eError> {
        fs::create_dir_all(directory).map_err(E2eError::file(directory))?;
        let mut placed = Self { directory: directory.to_owned(), objects: BTreeMap::new() };
        objects.iter().for_each(|object| placed.insert(object));
        placed.write()?;
        Ok(placed)
    }

    pub(super) fn directory(&self) -> &Path {
        &self.directory
    }

    /// Whether an object is one that a lab consists of.
    pub(super) fn is_of(object: &Value) -> bool {
        matches!(object["kind"].as_str(), Some("Node" | "Pod"))
    }

    pub(super) fn insert(&mut self, object: &Value) {
        if let (true, Ok(path)) = (Self::is_of(object), path_of(object)) {
            self.objects.insert(path, object.clone());
        }
    }

    pub(super) fn remove(&mut self, object: &Value) {
        if let Ok(path) = path_of(object) {
            self.objects.remove(&path);
        }
    }

    /// Writes the manifests.
    pub(super) fn write(&self) -> Result<(), E2eError> {
        let items: Vec<&Value> = self.objects.values().collect();
        let list = json!({ "apiVersion": "v1", "kind": "List", "items": items });
        let file = self.directory.join("objects.json");
        fs::write(&file, list.to_string()).map_err(E2eError::file(&file))
    }

    /// Where the status of a pod is, by its `namespace/name`.
    pub(super) fn path_of_pod(&self, key: &str) -> String {
        let (namespace, name) = key.split_once('/').unwrap_or(("default", key));
        format!("/api/v1/namespaces/{namespace}/pods/{name}/status")
    }
}
