//! Figures, which are printed and not judged. Played when asked for by name.

use std::time::{Duration, Instant};

use serde_json::json;
use sluice_cluster::{Cluster, NODES};

use crate::Scene;
use crate::pods::attached;
use crate::scene::{Stage, servers};

pub(crate) const SCENES: &[Scene] = scenes![figure_of_a_hundred_pods_on_one_node];

/// What the default of umemFrames has room for beside the pods of the node itself.
const PODS: usize = 100;

fn figure_of_a_hundred_pods_on_one_node(cluster: &mut Cluster) {
    let stage = Stage::new(cluster, "crowd");
    let mut crowd = servers("crowd", "web", PODS as u32);
    let pod = &mut crowd["spec"]["template"]["spec"];
    pod["topologySpreadConstraints"] = json!([]);
    pod["nodeSelector"] = json!({ "kubernetes.io/hostname": NODES[0] });
    pod["containers"][0].as_object_mut().expect("a container").remove("readinessProbe");
    let began = Instant::now();
    stage.apply(&[crowd]);
    let mut first = None;
    let mut last = None;
    stage.until("all to run", || {
        let now = attached(cluster, "crowd");
        if now > 0 {
            first.get_or_insert_with(Instant::now);
        }
        if now < PODS {
            return Err(format!("{now} attached"));
        }
        last.get_or_insert_with(Instant::now);
        let list = stage.get(&["pods", "--field-selector", "status.phase=Running"]);
        match list["items"].as_array().map_or(0, Vec::len) {
            PODS => Ok(()),
            running => Err(format!("{running} run")),
        }
    });
    let since = |from: Option<Instant>, to: Option<Instant>| {
        from.zip(to).map_or(Duration::ZERO, |(from, to)| to.duration_since(from)).as_secs_f64()
    };
    println!(
        "    {PODS} pods on one node: the last attached {:.1} s after the first; all run {:.1} s after that, {:.1} s after the Deployment",
        since(first, last),
        since(first, Some(Instant::now())),
        began.elapsed().as_secs_f64()
    );
}
