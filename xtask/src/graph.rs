//! The graph of crates as the rules see it: names, and who depends on whom for what.

use std::collections::{BTreeMap, BTreeSet};

/// What a dependency is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Purpose {
    /// Linked into the crate.
    Normal,
    /// Linked into its `build.rs`.
    Build,
    /// Linked into its tests, examples and benches.
    Dev,
}

/// One crate. Two versions of one name are one node here: the rules speak of names.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Node {
    /// A member of this workspace, as opposed to a crate from a registry.
    pub(crate) member: bool,
    /// Runs inside the compiler and is never linked into what depends on it.
    pub(crate) proc_macro: bool,
    /// The direct dependencies.
    pub(crate) edges: BTreeSet<(String, Purpose)>,
}

/// The crates of the workspace and everything they depend on, by name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Graph {
    nodes: BTreeMap<String, Node>,
}

impl Graph {
    /// Adds to the node of that name, made if it is new.
    pub(crate) fn node(&mut self, name: &str) -> &mut Node {
        self.nodes.entry(name.to_owned()).or_default()
    }

    /// The members of the workspace, by name.
    pub(crate) fn members(&self) -> impl Iterator<Item = (&str, &Node)> {
        self.nodes.iter().filter(|(_, node)| node.member).map(|(name, node)| (name.as_str(), node))
    }

    /// Whether that name is a member of the workspace.
    pub(crate) fn is_member(&self, name: &str) -> bool {
        self.nodes.get(name).is_some_and(|node| node.member)
    }

    /// Every crate that is linked into `from` or into its own `build.rs`, `from` left out.
    ///
    /// The walk ends at procedural macros, and leaves out the build scripts of other crates: both run while compiling
    /// and leave nothing behind in the program.
    pub(crate) fn linked(&self, from: &str) -> BTreeSet<&str> {
        let mut seen = BTreeSet::new();
        let mut open: Vec<(&str, bool)> = vec![(from, true)];
        while let Some((name, first)) = open.pop() {
            let Some(node) = self.nodes.get(name) else { continue };
            for (to, purpose) in &node.edges {
                let counts = *purpose == Purpose::Normal || (first && *purpose == Purpose::Build);
                let compiled_away = self.nodes.get(to).is_some_and(|node| node.proc_macro);
                if counts && !compiled_away && seen.insert(to.as_str()) {
                    open.push((to, false));
                }
            }
        }
        seen
    }
}
