//! What is measured on a path, and what comes of it.

use std::collections::BTreeMap;

use anyhow::Result;
use serde::{Deserialize, Serialize};

use super::peer::{SERVER_PORT, Site, Standing};
use crate::measure::Way;
use crate::peers::Family;

/// Something that can be found out about a path.
pub(crate) trait Measure: Sync {
    /// Its name in one word, as scenarios call it.
    fn name(&self) -> &'static str;

    /// What it is, as a heading.
    fn title(&self, load: &Load) -> String;

    /// What it gives, the most telling first.
    fn figures(&self) -> &'static [Figure];

    /// Which parts of a load mean something to it.
    fn takes(&self) -> Takes {
        Takes::default()
    }

    /// Whether it is about the switch's agent, and so about no other peer.
    fn needs_cluster(&self) -> bool {
        false
    }

    /// Measures once, for as long as the stage says.
    ///
    /// # Errors
    /// Whatever prevents that, an interruption among it. A bad result is no error, but a remark of the outcome.
    fn measure(&self, stage: &Stage<'_>, load: &Load) -> Result<Outcome>;
}

/// One number that a measure gives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Figure {
    /// Its name in results and targets.
    pub(crate) name: &'static str,
    /// Its name for a reader.
    pub(crate) label: &'static str,
    pub(crate) unit: &'static str,
    pub(crate) better: Better,
}

/// Which way a figure improves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Better {
    Higher,
    Lower,
}

/// What a measure takes from a load beside the family.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Takes {
    pub(crate) rates: bool,
    pub(crate) sizes: bool,
    pub(crate) flows: bool,
}

/// What is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Load {
    pub(crate) family: Family,
    /// Packets a second; 0 for as many as the sender can, or where the measure has no rate.
    pub(crate) rate: u64,
    /// Bytes of a frame with Ethernet header and check sequence; 0 where the measure has no size.
    pub(crate) size: u32,
    /// Flows at once.
    pub(crate) flows: u32,
}

/// Where a measure runs.
pub(crate) struct Stage<'s> {
    pub(crate) site: &'s Site<'s>,
    pub(crate) standing: &'s dyn Standing,
    /// Milliseconds to measure for.
    pub(crate) millis: u64,
}

impl Stage<'_> {
    /// From the client to the server, or to the Service before it.
    pub(crate) fn way(&self, load: &Load) -> Way<'_> {
        let service = self.standing.frontend(load.family).map(|frontend| (frontend, SERVER_PORT));
        Way { path: self.standing.path(), family: load.family, service }
    }
}

/// What one measurement gave.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Outcome {
    /// By the figures' names.
    pub(crate) figures: BTreeMap<&'static str, f64>,
    /// The packets, where they are counted at both ends.
    pub(crate) packets: Option<Packets>,
    /// Why the figures do not mean what they should, where the measure itself saw that.
    pub(crate) remarks: Vec<String>,
}

/// What became of the packets of one measurement.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Packets {
    pub(crate) sent: u64,
    pub(crate) received: u64,
    /// Those that somebody counted as lost, by where.
    pub(crate) drops: BTreeMap<String, u64>,
}
