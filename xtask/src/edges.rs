//! Which crate may depend on which.

use crate::graph::{Graph, Purpose};
use crate::layers::{API_CLIENT, CLOSED_TO_SHIM, Layer, layer};
use crate::violation::Violation;

/// Every edge of `graph` that the layers forbid.
pub(crate) fn check(graph: &Graph) -> Vec<Violation> {
    let mut found = Vec::new();
    for (name, node) in graph.members() {
        let Some(from) = layer(name) else {
            found.push(Violation::UnplacedCrate { name: name.to_owned() });
            continue;
        };
        for (to, purpose) in node.edges.iter().filter(|(to, _)| graph.is_member(to)) {
            let Some(target) = layer(to) else { continue };
            if let Some(why) = forbidden(from, target, to, *purpose) {
                found.push(Violation::ForbiddenEdge { from: name.to_owned(), to: to.clone(), why });
            }
        }
        found.extend(reached(graph, name, from));
        let (client, user) = API_CLIENT;
        let uses = node.edges.iter().any(|(to, purpose)| to == client && *purpose != Purpose::Dev);
        if uses && name != user && matches!(from, Layer::Edge | Layer::Root) {
            let why = "the daemon asks the Kubernetes API in sluice-source alone";
            found.push(Violation::ForbiddenEdge { from: name.to_owned(), to: client.to_owned(), why });
        }
    }
    found.sort();
    found.dedup();
    found
}

/// Why a member on layer `from` must not depend on the member `to` on layer `target`; `None` when it may.
fn forbidden(from: Layer, target: Layer, to: &str, purpose: Purpose) -> Option<&'static str> {
    if matches!(target, Layer::Root | Layer::LabRoot | Layer::Shim | Layer::Chore) {
        return Some("a program is nobody's library");
    }
    if purpose == Purpose::Dev {
        return None;
    }
    match from {
        Layer::Pure(reach) if matches!(target, Layer::Pure(_)) => {
            (!reach.members.contains(&to)).then_some("not among the crates below it in xtask/src/layers.rs")
        }
        Layer::Pure(_) => Some("a pure crate reaches pure crates only"),
        Layer::Protocol => Some("the protocol stands alone"),
        Layer::Shim => {
            (target != Layer::Protocol).then_some("the shim knows the protocol alone, so that it starts fast")
        }
        Layer::Edge | Layer::Root => {
            (target == Layer::Support).then_some("what stands under the tests stays out of the daemon")
        }
        Layer::Chore => Some("a chore of the workspace must build when the workspace does not"),
        Layer::LabRoot | Layer::Support => None,
    }
}

/// The crates linked into `name` that its layer does not admit.
fn reached(graph: &Graph, name: &str, from: Layer) -> Vec<Violation> {
    let linked = graph.linked(name).into_iter().filter(|to| !graph.is_member(to));
    match from {
        Layer::Pure(reach) => linked
            .filter(|to| !reach.foreign.contains(to))
            .map(|to| Violation::ForeignCrate { from: name.to_owned(), to: to.to_owned() })
            .collect(),
        Layer::Shim | Layer::Protocol => linked
            .filter(|to| CLOSED_TO_SHIM.contains(to))
            .map(|to| Violation::ClosedCrate { from: name.to_owned(), to: to.to_owned() })
            .collect(),
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Purpose::{Build, Dev, Normal};

    /// A graph of the named members, with foreign crates made on first mention.
    fn graph(members: &[&str], edges: &[(&str, &str, Purpose)]) -> Graph {
        let mut graph = Graph::default();
        for member in members {
            graph.node(member).member = true;
        }
        for (from, to, purpose) in edges {
            graph.node(to);
            graph.node(from).edges.insert(((*to).to_owned(), *purpose));
        }
        graph
    }

    fn edge(from: &str, to: &str, why: &'static str) -> Violation {
        Violation::ForbiddenEdge { from: from.into(), to: to.into(), why }
    }

    #[test]
    fn the_layers_as_designed_pass() {
        let members = [
            "sluice-wire",
            "sluice-tables",
            "sluice-path",
            "sluice-worker",
            "sluiced",
            "sluice",
            "sluice-lab",
            "sluice-packets",
            "sluice-cni",
            "sluice-cni-protocol",
        ];
        let graph = graph(
            &members,
            &[
                ("sluice-tables", "sluice-wire", Normal),
                ("sluice-path", "sluice-tables", Normal),
                ("sluice-path", "sluice-packets", Dev),
                ("sluice-worker", "sluice-path", Normal),
                ("sluiced", "sluice-worker", Normal),
                ("sluiced", "tokio", Normal),
                ("sluice", "sluice-lab", Normal),
                ("sluice-cni", "sluice-cni-protocol", Normal),
                ("sluice-wire", "thiserror", Normal),
            ],
        );
        assert_eq!(check(&graph), []);
    }

    #[test]
    fn a_pure_crate_on_an_edge_crate_is_refused_also_from_its_build_script() {
        for purpose in [Normal, Build] {
            let graph = graph(&["sluice-path", "sluice-xsk"], &[("sluice-path", "sluice-xsk", purpose)]);
            assert_eq!(check(&graph), [edge("sluice-path", "sluice-xsk", "a pure crate reaches pure crates only")]);
        }
    }

    #[test]
    fn tables_on_path_is_refused() {
        let graph = graph(&["sluice-tables", "sluice-path"], &[("sluice-tables", "sluice-path", Normal)]);
        let why = "not among the crates below it in xtask/src/layers.rs";
        assert_eq!(check(&graph), [edge("sluice-tables", "sluice-path", why)]);
    }

    #[test]
    fn a_foreign_crate_deep_below_a_pure_one_is_found() {
        let graph = graph(
            &["sluice-wire"],
            &[("sluice-wire", "thiserror", Normal), ("thiserror", "mio", Normal), ("mio", "libc", Normal)],
        );
        let foreign = |to: &str| Violation::ForeignCrate { from: "sluice-wire".into(), to: to.into() };
        assert_eq!(check(&graph), [foreign("libc"), foreign("mio")]);
    }

    #[test]
    fn what_runs_in_the_compiler_or_in_tests_is_not_linked() {
        let mut graph = graph(
            &["sluice-wire"],
            &[
                ("sluice-wire", "thiserror", Normal),
                ("thiserror", "thiserror-impl", Normal),
                ("thiserror-impl", "syn", Normal),
                ("thiserror", "autocfg", Build),
                ("sluice-wire", "proptest", Dev),
            ],
        );
        graph.node("thiserror-impl").proc_macro = true;
        assert_eq!(check(&graph), []);
    }

    #[test]
    fn the_shim_knows_the_protocol_alone() {
        let graph = graph(
            &["sluice-cni", "sluice-cni-protocol", "sluice-wire"],
            &[
                ("sluice-cni", "sluice-cni-protocol", Normal),
                ("sluice-cni", "sluice-wire", Normal),
                ("sluice-cni-protocol", "tokio", Normal),
            ],
        );
        let closed = |from: &str| Violation::ClosedCrate { from: from.into(), to: "tokio".into() };
        let why = "the shim knows the protocol alone, so that it starts fast";
        assert_eq!(
            check(&graph),
            [edge("sluice-cni", "sluice-wire", why), closed("sluice-cni"), closed("sluice-cni-protocol")]
        );
    }

    #[test]
    fn a_program_is_nobodys_library_not_even_for_tests() {
        let graph = graph(&["sluice-worker", "sluiced"], &[("sluice-worker", "sluiced", Dev)]);
        assert_eq!(check(&graph), [edge("sluice-worker", "sluiced", "a program is nobody's library")]);
    }

    #[test]
    fn the_daemon_holds_no_test_support() {
        let graph = graph(&["sluiced", "sluice-lab"], &[("sluiced", "sluice-lab", Normal)]);
        assert_eq!(
            check(&graph),
            [edge("sluiced", "sluice-lab", "what stands under the tests stays out of the daemon")]
        );
    }

    #[test]
    fn only_the_source_asks_the_api_server_and_tests_may() {
        let members = ["sluice-source", "sluiced", "sluice-lab"];
        let edges = members.map(|member| (member, "kube", Normal));
        let why = "the daemon asks the Kubernetes API in sluice-source alone";
        assert_eq!(check(&graph(&members, &edges)), [edge("sluiced", "kube", why)]);
    }

    #[test]
    fn a_new_crate_has_to_be_placed() {
        let graph = graph(&["sluice-new"], &[]);
        assert_eq!(check(&graph), [Violation::UnplacedCrate { name: "sluice-new".into() }]);
    }
}
