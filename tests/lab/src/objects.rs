//! The objects of a lab with a wire, as its agents see them: the manifests, and of each attached pod what a kubelet would
//! report of it. Without a wire agents watch the manifests themselves.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use crate::error::LabError;
use crate::layout::Layout;
use crate::manifests;
use crate::record::{PodRecord, Record};

/// Writes the directory that the agents watch. Each file is renamed over the one before, and is left when it is the same.
pub(crate) fn publish(layout: &Layout, record: &Record) -> Result<(), LabError> {
    let directory = layout.objects();
    fs::create_dir_all(&directory).map_err(LabError::file("create", &directory))?;
    let mut written: BTreeSet<OsString> = BTreeSet::new();
    for file in manifests::files(&record.manifests)? {
        let mut items = manifests::documents(&file)?;
        items.iter_mut().for_each(|item| report(item, record));
        // Two files of one stem in the manifests are two here too.
        let mut name = file.file_name().unwrap_or_default().to_owned();
        name.push(".json");
        let list = json!({ "apiVersion": "v1", "kind": "List", "items": items });
        write(&directory.join(&name), &list.to_string())?;
        written.insert(name);
    }
    for entry in fs::read_dir(&directory).map_err(LabError::file("read", &directory))? {
        let entry = entry.map_err(LabError::file("read", &directory))?;
        if !written.contains(&entry.file_name()) {
            fs::remove_file(entry.path()).map_err(LabError::file("remove", entry.path()))?;
        }
    }
    Ok(())
}

fn write(path: &Path, text: &str) -> Result<(), LabError> {
    if fs::read_to_string(path).is_ok_and(|old| old == text) {
        return Ok(());
    }
    // A name that no agent reads.
    let mut hidden = OsString::from(".");
    hidden.push(path.file_name().unwrap_or_default());
    let beside = path.with_file_name(hidden);
    fs::write(&beside, text).map_err(LabError::file("write", &beside))?;
    fs::rename(&beside, path).map_err(LabError::file("rename", &beside))
}

/// Puts into a Pod's status that it runs and at which addresses. What the manifest says itself stays.
fn report(item: &mut Value, record: &Record) {
    if item["kind"] != "Pod" {
        return;
    }
    let namespace = item["metadata"]["namespace"].as_str().unwrap_or("default");
    let key = format!("{namespace}/{}", item["metadata"]["name"].as_str().unwrap_or_default());
    let Some(pod) = record.pods.get(&key) else { return };
    for (object, field, value) in reported(pod) {
        // Indexing a null makes it an object; anything else that is no object was refused when the lab was planned.
        let place = &mut item[object][field];
        if place.is_null() {
            *place = value;
        }
    }
}

fn reported(pod: &PodRecord) -> Vec<(&'static str, &'static str, Value)> {
    let mut fields = vec![("spec", "nodeName", json!(pod.node))];
    if let Some(attachment) = &pod.attached {
        let addresses: Vec<Value> = attachment.addresses.iter().map(|address| json!({ "ip": address })).collect();
        fields.push(("status", "podIPs", json!(addresses)));
        fields.push(("status", "podIP", json!(attachment.addresses.first())));
        fields.push(("status", "phase", json!("Running")));
    }
    fields
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::PodAttachment;

    #[test]
    fn an_attached_pod_is_reported_and_what_its_manifest_says_stays() {
        let attached = PodAttachment {
            interface: "eth0".into(),
            addresses: vec!["10.0.0.2".parse().expect("valid"), "fd00::2".parse().expect("valid")],
            gateways: Vec::new(),
            millis: 1.0,
        };
        let pod = PodRecord {
            namespace: "default".into(),
            name: "web".into(),
            uid: "u".into(),
            node: "a".into(),
            netns: "n".into(),
            container_id: "c".into(),
            attached: Some(attached),
        };
        let mut record = Record::new("/m".into());
        record.pods.insert("default/web".into(), pod);
        let mut item = json!({ "kind": "Pod", "metadata": { "name": "web" }, "status": { "phase": "Pending" } });
        report(&mut item, &record);
        assert_eq!(item["spec"]["nodeName"], "a");
        assert_eq!(item["status"]["podIPs"], json!([{ "ip": "10.0.0.2" }, { "ip": "fd00::2" }]));
        assert_eq!(item["status"]["phase"], "Pending");
        let other = json!({ "kind": "Service", "metadata": { "name": "web" } });
        let mut same = other.clone();
        report(&mut same, &record);
        assert_eq!(same, other);
    }
}
