//! One file's bytes to objects and faults, without a directory around it.

use std::path::Path;

use sluice_model::Object;

use crate::event::{Fault, Problem};
use crate::manifest::{self, Defect};

/// What a file says.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Text {
    /// Good objects with the line on which each begins, in the order written. One may be there twice.
    pub objects: Vec<(Object, u64)>,
    /// What is wrong, in the order written.
    pub faults: Vec<Fault>,
}

/// Reads a manifest's bytes. `file` is for the faults alone.
pub fn read_text(file: &Path, bytes: &[u8]) -> Text {
    let Ok(text) = std::str::from_utf8(bytes) else {
        let fault = Defect::of_file(Problem::NotUtf8).in_file(file);
        return Text { objects: Vec::new(), faults: vec![fault] };
    };
    let manifest = manifest::parse(text);
    let faults = manifest.defects.into_iter().map(|defect| defect.in_file(file)).collect();
    Text { objects: manifest.objects, faults }
}
