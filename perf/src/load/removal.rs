//! Taking away what was made, by its label.

use anyhow::Result;
use indicatif::ProgressBar;

use super::objects;
use super::requests::{Requests, Step};

/// Deletes every object with the label; returns how many collections were gone through. Safe to call with nothing there.
pub(super) async fn remove_all(requests: &Requests) -> Result<usize> {
    let collections = objects::collections();
    let bar = ProgressBar::new(collections.len() as u64).with_message("removing");
    for collection in &collections {
        let selected = format!("{collection}?labelSelector={}%3Dtrue", objects::LABEL.replace('/', "%2F"));
        requests.take(&Step::delete(selected)).await?;
        bar.inc(1);
    }
    bar.finish_and_clear();
    // Without the controller that empties them they stay as terminating, which an API server for tests does not mind.
    for namespace in objects::namespaces() {
        requests.take(&Step::delete(namespace)).await?;
    }
    Ok(collections.len())
}
