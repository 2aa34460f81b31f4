//! `sluice-perf list`: what there is to run.

use anyhow::Result;
use serde_json::json;

use crate::args::ListArgs;
use crate::{report, run, scenario};

/// Prints scenarios, peers and measures.
pub(crate) fn run(args: &ListArgs) -> Result<()> {
    let scenarios = scenario::all(args.scenarios.as_deref())?;
    if args.json {
        let peers = run::peers()
            .iter()
            .map(|peer| json!({ "name": peer.name(), "about": peer.about(), "missing": peer.missing() }));
        let document = json!({ "scenarios": scenarios, "peers": peers.collect::<Vec<_>>() });
        println!("{}", serde_json::to_string_pretty(&document)?);
        return Ok(());
    }
    let rows = scenarios.iter().map(|scenario| {
        let mut measures: Vec<&str> = Vec::new();
        for plan in scenario.cases.iter().flat_map(|case| &case.plans) {
            if !measures.contains(&plan.measure.as_str()) {
                measures.push(&plan.measure);
            }
        }
        let (measures, peers) = (measures.join(" "), scenario.peers.join(" "));
        [scenario.name.clone(), scenario.title.clone(), measures, peers]
    });
    report::text_table("Scenarios: sluice-perf run SCENARIO...", ["NAME", "WHAT", "MEASURES", "PEERS"], rows);
    let rows = run::peers().iter().map(|peer| {
        let missing = peer.missing().unwrap_or_else(|| "yes".to_owned());
        [peer.name().to_owned(), peer.about().to_owned(), missing]
    });
    report::text_table("Peers: --peers a,b takes these alone", ["NAME", "WHAT", "CAN RUN HERE"], rows);
    Ok(())
}
