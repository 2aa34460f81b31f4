//! Which layer each crate is on, and what each layer may reach: the one place to change when a crate is added.

/// The layers, from the inside out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Layer {
    /// Decides, touches nothing: no I/O, no clock, no log, no `unsafe`. Everything it may reach is listed.
    Pure(&'static Reach),
    /// The messages between the shim and the agent; knows nothing of either.
    Protocol,
    /// Meets the kernel, or the place where objects come from.
    Edge,
    /// A program that wires the rest together.
    Root,
    /// A program people use that may also bring up the lab.
    LabRoot,
    /// The program kubelet's runtime executes for each pod: starts fast, so it knows the protocol alone.
    Shim,
    /// Stands under the tests; never in the daemon.
    Support,
    /// Tends the workspace itself.
    Chore,
}

/// What a pure crate may reach.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Reach {
    /// Members of the workspace that it may depend on directly.
    pub(crate) members: &'static [&'static str],
    /// Crates from a registry that may be linked into it, directly or not.
    pub(crate) foreign: &'static [&'static str],
}

const WIRE: Reach = Reach { members: &[], foreign: &["thiserror"] };

/// What the tables stand on, and with them everything above. serde and hashbrown's equivalent and foldhash are features
/// that cargo switches on here because another crate of the workspace asks for them.
const TABLES: Reach = Reach {
    members: &["sluice-wire"],
    foreign: &[
        "thiserror",
        "arc-swap",
        "hashbrown",
        "equivalent",
        "foldhash",
        "rapidhash",
        "ipnet",
        "serde",
        "serde_core",
    ],
};

/// zerocopy is there to get zeroed memory for atomics without touching it, which safe code cannot do otherwise.
const CONNECTIONS: Reach = Reach { members: &[], foreign: &["bytemuck", "safe_arch", "thiserror", "wide", "zerocopy"] };

const PATH: Reach = Reach {
    members: &["sluice-wire", "sluice-tables", "sluice-connections"],
    foreign: &[
        "zerocopy",
        "thiserror",
        "bytemuck",
        "safe_arch",
        "wide",
        "arrayvec",
        "arc-swap",
        "hashbrown",
        "equivalent",
        "foldhash",
        "rapidhash",
        "ipnet",
        "serde",
        "serde_core",
    ],
};

const MODEL: Reach = Reach { members: &["sluice-wire", "sluice-tables"], foreign: TABLES.foreign };

/// Crates that would bring an event loop or netlink into the shim.
pub(crate) const CLOSED_TO_SHIM: &[&str] = &["tokio", "mio", "kube", "aya", "netlink-sys", "netlink-packet-core"];

/// The client of the Kubernetes API, and the one crate of the daemon that may use it: all else is told objects.
pub(crate) const API_CLIENT: (&str, &str) = ("kube", "sluice-source");

/// Folders of the pure crates, from the root of the workspace.
pub(crate) const PURE_FOLDERS: &[&str] =
    &["vswitch/wire", "vswitch/tables", "vswitch/connections", "vswitch/path", "control/model"];

/// Folders whose code may hold `unsafe`. The fuzz targets are a workspace of their own around `libfuzzer-sys`.
pub(crate) const UNSAFE_FOLDERS: &[&str] = &["vswitch/xsk", "vswitch/ebpf", "tests/fuzz"];

/// The layer of a member of the workspace; `None` for one that has not been placed yet.
pub(crate) fn layer(name: &str) -> Option<Layer> {
    Some(match name {
        "sluice-wire" => Layer::Pure(&WIRE),
        "sluice-tables" => Layer::Pure(&TABLES),
        "sluice-connections" => Layer::Pure(&CONNECTIONS),
        "sluice-path" => Layer::Pure(&PATH),
        "sluice-model" => Layer::Pure(&MODEL),
        "sluice-cni-protocol" => Layer::Protocol,
        "sluice-xsk" | "sluice-ebpf" | "sluice-host" | "sluice-worker" | "sluice-source" => Layer::Edge,
        "sluiced" => Layer::Root,
        "sluice" | "sluice-perf" => Layer::LabRoot,
        "sluice-cni" => Layer::Shim,
        "sluice-lab" | "sluice-packets" | "sluice-world" | "sluice-netns" | "sluice-e2e" | "sluice-cluster" => {
            Layer::Support
        }
        "xtask" => Layer::Chore,
        _ => return None,
    })
}
