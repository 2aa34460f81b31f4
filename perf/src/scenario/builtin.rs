//! The scenarios of `perf/scenarios`, each as the name of its file and its text.

/// In the order of their names.
pub(super) const FILES: &[(&str, &str)] = &[
    ("attach.toml", include_str!("../../scenarios/attach.toml")),
    ("connections.toml", include_str!("../../scenarios/connections.toml")),
    ("foundation.toml", include_str!("../../scenarios/foundation.toml")),
    ("frames.toml", include_str!("../../scenarios/frames.toml")),
    ("host-to-pod.toml", include_str!("../../scenarios/host-to-pod.toml")),
    ("idle.toml", include_str!("../../scenarios/idle.toml")),
    ("pod-to-pod-encapsulations.toml", include_str!("../../scenarios/pod-to-pod-encapsulations.toml")),
    ("pod-to-pod-vxlan.toml", include_str!("../../scenarios/pod-to-pod-vxlan.toml")),
    ("pod-to-pod.toml", include_str!("../../scenarios/pod-to-pod.toml")),
    ("policies.toml", include_str!("../../scenarios/policies.toml")),
    ("restart.toml", include_str!("../../scenarios/restart.toml")),
    ("service-nftables.toml", include_str!("../../scenarios/service-nftables.toml")),
    ("service.toml", include_str!("../../scenarios/service.toml")),
];
