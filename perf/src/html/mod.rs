//! The results as one page.

use crate::results::Document;

/// The page.
pub(crate) fn page(document: &Document) -> String {
    format!("<!doctype html><title>{}</title>", document.started)
}
