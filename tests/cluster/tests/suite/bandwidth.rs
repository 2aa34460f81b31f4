//! A pod's annotations, by kubelet, the runtime and the plugin, to the switch.

use serde_json::{Value, json};
use sluice_cluster::{Cluster, NODES};

use crate::Scene;
use crate::pod::attachments;
use crate::scene::{Stage, servers};

pub(crate) const SCENES: &[Scene] = scenes![annotations_limit_what_a_pod_receives_and_sends];

fn annotations_limit_what_a_pod_receives_and_sends(cluster: &mut Cluster) {
    let stage = Stage::new(cluster, "narrow");
    let annotated = |app: &str, annotations: Value| {
        let mut object = servers("narrow", app, 1);
        object["spec"]["template"]["metadata"]["annotations"] = annotations;
        object
    };
    let (up, down) = ("kubernetes.io/egress-bandwidth", "kubernetes.io/ingress-bandwidth");
    stage.apply(&[annotated("both", json!({ up: "8M", down: "16M" })), annotated("sender", json!({ up: "1G" }))]);
    // The runtimes' burst says nothing, so it is what the rate gives in a second.
    let rate = |bits: u64| json!({ "bitsPerSecond": bits, "burstBits": bits });
    for (app, wanted) in [
        ("both", json!({ "ingress": rate(16_000_000), "egress": rate(8_000_000) })),
        ("sender", json!({ "ingress": null, "egress": rate(1_000_000_000) })),
    ] {
        stage.rolled_out(app);
        let [pod] = &stage.pods(app)[..] else { panic!("one pod of {app}") };
        let known_as = format!("narrow/{}", pod.name);
        let attached: Vec<Value> = NODES.iter().flat_map(|node| attachments(cluster, node)).collect();
        let limits = attached.iter().find(|one| one["pod"] == known_as.as_str()).map(|one| &one["bandwidth"]);
        assert_eq!(limits, Some(&wanted), "{pod:?}");
    }
}
