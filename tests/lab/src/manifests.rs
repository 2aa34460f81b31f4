//! The few fields of Kubernetes manifests that a lab needs. What the nodes do with them is the agents' business.

use std::fs;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde_json::Value;

use crate::error::LabError;

/// One document of a manifest.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Object {
    pub(crate) kind: String,
    pub(crate) metadata: Metadata,
    pub(crate) spec: Spec,
    pub(crate) status: Status,
    /// Of a List.
    items: Vec<Object>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Metadata {
    pub(crate) name: String,
    pub(crate) namespace: Option<String>,
    pub(crate) uid: Option<String>,
}

/// The `spec` of a Pod; other kinds' fields are passed over.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(crate) struct Spec {
    pub(crate) node_name: Option<String>,
    pub(crate) host_network: bool,
}

/// The `status` of a Node.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Status {
    pub(crate) addresses: Vec<NodeAddress>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct NodeAddress {
    #[serde(rename = "type")]
    pub(crate) kind: String,
    pub(crate) address: String,
}

/// Every document of the `.yaml`, `.yml` and `.json` files of a directory, in the order of the files' names.
pub(crate) fn read(directory: &Path) -> Result<Vec<Object>, LabError> {
    let mut objects = Vec::new();
    for file in files(directory)? {
        let text = fs::read_to_string(&file).map_err(LabError::file("read", &file))?;
        objects.extend(parse(&text).map_err(|reason| LabError::Manifest { file, reason })?);
    }
    Ok(objects)
}

/// Every document of a file as it is, the items of Lists one by one.
pub(crate) fn documents(file: &Path) -> Result<Vec<Value>, LabError> {
    let text = fs::read_to_string(file).map_err(LabError::file("read", file))?;
    let documents: Vec<Option<Value>> = serde_saphyr::from_multiple(&text)
        .map_err(|error| LabError::Manifest { file: file.to_owned(), reason: error.to_string() })?;
    let mut items = Vec::new();
    for mut document in documents.into_iter().flatten() {
        match document.get_mut("items").map(Value::take) {
            Some(Value::Array(list)) if document["kind"] == "List" => items.extend(list),
            Some(other) => {
                document["items"] = other;
                items.push(document);
            }
            None => items.push(document),
        }
    }
    Ok(items)
}

/// The `.yaml`, `.yml` and `.json` files of a directory, by name.
pub(crate) fn files(directory: &Path) -> Result<Vec<PathBuf>, LabError> {
    let fail = |source| LabError::ManifestDirectory { directory: directory.to_owned(), source };
    let mut files: Vec<PathBuf> = Vec::new();
    for entry in fs::read_dir(directory).map_err(fail)? {
        let path = entry.map_err(fail)?.path();
        let extension = path.extension().and_then(|extension| extension.to_str());
        if matches!(extension, Some("yaml" | "yml" | "json")) && path.is_file() {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

fn parse(text: &str) -> Result<Vec<Object>, String> {
    let documents: Vec<Option<Object>> = serde_saphyr::from_multiple(text).map_err(|error| error.to_string())?;
    let mut objects = Vec::new();
    for document in documents.into_iter().flatten() {
        if document.kind == "List" { objects.extend(document.items) } else { objects.push(document) }
    }
    Ok(objects)
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn objects(text: &str) -> Vec<Object> {
        parse(text).expect("well-formed")
    }

    #[test]
    fn documents_with_fields_we_do_not_know_are_read() {
        let found =
            objects("kind: Pod\nmetadata: {name: a, labels: {x: y}}\nspec: {nodeName: n, containers: []}\n---\n");
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].spec.node_name.as_deref(), Some("n"));
        assert!(objects("# only a comment\n").is_empty());
    }

    #[test]
    fn the_items_of_a_list_are_objects_of_their_own() {
        let found = objects("kind: List\nitems: [{kind: Node, metadata: {name: a}}, {kind: Pod}]\n");
        assert_eq!(found.iter().map(|object| object.kind.as_str()).collect::<Vec<_>>(), ["Node", "Pod"]);
    }

    #[test]
    fn what_is_not_yaml_is_refused_with_its_line() {
        let reason = parse("kind: Pod\nmetadata: [\n").expect_err("not YAML");
        assert!(reason.contains("line"), "{reason}");
        assert!(parse("- just\n- a list\n").is_err());
    }
}
