//! Reads the workspace from `cargo metadata`.

use std::collections::BTreeMap;

use anyhow::{Context, Result};
use cargo_metadata::camino::{Utf8Path, Utf8PathBuf};
use cargo_metadata::{DependencyKind, Metadata, MetadataCommand, Package, PackageId, TargetKind};

use crate::graph::{Graph, Purpose};
use crate::reach::Target;

/// What the checks need to know of the workspace, and of the workspace of the fuzz targets beside it.
pub(crate) struct Workspace {
    /// Folder of the root `Cargo.toml`.
    pub(crate) root: Utf8PathBuf,
    /// Every crate, with what it depends on when built for Linux.
    pub(crate) graph: Graph,
    /// Every target of every package of ours.
    pub(crate) targets: Vec<Target>,
    /// Folder, from the root, of every package of ours, with the package's name.
    pub(crate) folders: BTreeMap<String, String>,
}

impl Workspace {
    /// Asks cargo. Fails when a manifest does not parse or a dependency cannot be resolved.
    pub(crate) fn read() -> Result<Workspace> {
        let metadata = MetadataCommand::new()
            .other_options(vec!["--filter-platform".to_owned(), linux_target()])
            .exec()
            .context("cargo metadata of the workspace")?;
        let root = metadata.workspace_root.clone();
        let fuzz = read_fuzz(&root)?;
        let packages = || metadata.workspace_packages().into_iter().chain(fuzz.iter());
        Ok(Workspace {
            graph: graph_of(&metadata)?,
            targets: packages().flat_map(|package| targets_of(&root, package)).collect(),
            folders: packages().map(|package| (folder_of(&root, package), package.name.to_string())).collect(),
            root,
        })
    }
}

/// Only what is built for the platform we run on counts; crates for other systems stay out of the graph.
fn linux_target() -> String {
    format!("{}-unknown-linux-gnu", std::env::consts::ARCH)
}

/// The packages of `tests/fuzz`, which is not a member because its targets build only with coverage flags.
fn read_fuzz(root: &Utf8Path) -> Result<Vec<Package>> {
    let manifest = root.join("tests/fuzz/Cargo.toml");
    if !manifest.exists() {
        return Ok(Vec::new());
    }
    let metadata = MetadataCommand::new()
        .manifest_path(&manifest)
        .no_deps()
        .exec()
        .with_context(|| format!("cargo metadata of {manifest}"))?;
    Ok(metadata.packages)
}

fn graph_of(metadata: &Metadata) -> Result<Graph> {
    let resolve = metadata.resolve.as_ref().context("cargo metadata answered without a dependency graph")?;
    let packages: BTreeMap<&PackageId, &Package> = metadata.packages.iter().map(|p| (&p.id, p)).collect();
    let package = |id: &PackageId| packages.get(id).copied().with_context(|| format!("cargo metadata omits {id}"));
    let mut graph = Graph::default();
    for resolved in &resolve.nodes {
        let from = package(&resolved.id)?;
        let node = graph.node(&from.name);
        node.member = metadata.workspace_members.contains(&from.id);
        node.proc_macro = from.targets.iter().any(|target| target.kind.contains(&TargetKind::ProcMacro));
        for dependency in &resolved.deps {
            let to = package(&dependency.pkg)?;
            for kind in &dependency.dep_kinds {
                let purpose = match kind.kind {
                    DependencyKind::Build => Purpose::Build,
                    DependencyKind::Development => Purpose::Dev,
                    _ => Purpose::Normal,
                };
                node.edges.insert((to.name.to_string(), purpose));
            }
        }
    }
    Ok(graph)
}

fn targets_of(root: &Utf8Path, package: &Package) -> Vec<Target> {
    let of = |target: &cargo_metadata::Target| Target {
        package: package.name.to_string(),
        folder: folder_of(root, package),
        name: target.name.clone(),
        entry: from_root(root, &target.src_path),
        disabled_test: target.kind.contains(&TargetKind::Test) && !target.test,
    };
    package.targets.iter().map(of).collect()
}

fn folder_of(root: &Utf8Path, package: &Package) -> String {
    from_root(root, package.manifest_path.parent().unwrap_or(root))
}

fn from_root(root: &Utf8Path, path: &Utf8Path) -> String {
    path.strip_prefix(root).unwrap_or(path).to_string()
}
