//! What a check found, worded for the person who has to mend it.

use std::fmt;

/// One breach of a rule: where it is and what to do about it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Violation {
    /// A member of the workspace that `layers` does not place.
    UnplacedCrate { name: String },
    /// A dependency from one member of the workspace on another that the layers forbid.
    ForbiddenEdge { from: String, to: String, why: &'static str },
    /// A pure crate reaches an external crate that is not on its list.
    ForeignCrate { from: String, to: String },
    /// A crate reaches an external crate that is closed to it.
    ClosedCrate { from: String, to: String },
    /// A pure crate without `#![forbid(unsafe_code)]` in its `lib.rs`.
    UnsafeNotForbidden { file: String },
    /// The word `unsafe` in code outside the folders that may hold it.
    UnsafeCode { file: String, line: usize },
    /// A pure crate names something that does I/O or reads a clock.
    ImpureName { file: String, line: usize, name: &'static str },
    /// A source file that has outgrown one subject.
    LongFile { file: String, lines: usize, limit: usize },
    /// A file or folder whose name says nothing of what is in it.
    EmptyName { path: String, name: String },
    /// A source file that no target of its package reaches.
    UnreachedFile { file: String },
    /// A folder with `.rs` files of which no package of the workspace is the owner.
    UnownedFile { file: String },
    /// A test target that `cargo test` would skip.
    DisabledTarget { package: String, target: String },
    /// Ignored tests of a package that no make target runs.
    UnrunIgnored { package: String, file: String, line: usize },
    /// A test named in the promises that does not exist.
    UnkeptPromise { test: String },
    /// A module with `unsafe` that the table in `docs/unsafe.md` leaves out.
    UnlistedUnsafe { file: String },
    /// A make target that continuous integration has to call and does not.
    UncalledTarget { target: &'static str, file: &'static str },
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Violation::UnplacedCrate { name } => {
                write!(f, "crate {name}: on no layer; place it in xtask/src/layers.rs")
            }
            Violation::ForbiddenEdge { from, to, why } => write!(f, "crate {from}: must not depend on {to}: {why}"),
            Violation::ForeignCrate { from, to } => write!(
                f,
                "crate {from}: reaches {to}, which is not on the list of a pure crate; move the use to an edge crate, or \
                 add {to} in xtask/src/layers.rs if it does no I/O, reads no clock and logs nothing"
            ),
            Violation::ClosedCrate { from, to } => write!(f, "crate {from}: reaches {to}, which is closed to it"),
            Violation::UnsafeNotForbidden { file } => {
                write!(f, "{file}: a pure crate starts with #![forbid(unsafe_code)]")
            }
            Violation::UnsafeCode { file, line } => write!(
                f,
                "{file}:{line}: unsafe outside vswitch/xsk and vswitch/ebpf; find a safe interface, or move the block there \
                 with its argument and a row in docs/unsafe.md"
            ),
            Violation::ImpureName { file, line, name } => {
                write!(f, "{file}:{line}: {name} in a pure crate; take what it gives as an argument")
            }
            Violation::LongFile { file, lines, limit } => {
                write!(f, "{file}: {lines} lines, the limit is {limit}; split it by subject")
            }
            Violation::EmptyName { path, name } => {
                write!(f, "{path}: \"{name}\" names no subject; name it for what it holds")
            }
            Violation::UnreachedFile { file } => {
                write!(f, "{file}: no target of its package reaches it; declare the module or delete the file")
            }
            Violation::UnownedFile { file } => {
                write!(f, "{file}: belongs to no package; add the package to the workspace or delete the file")
            }
            Violation::DisabledTarget { package, target } => {
                write!(f, "crate {package}: test target {target} has test = false, so nothing runs it")
            }
            Violation::UnrunIgnored { package, file, line } => write!(
                f,
                "{file}:{line}: ignored test, and no line of the Makefile or its scripts runs the ignored tests of {package} \
                 (cargo test -p {package} ... -- --ignored, or --include-ignored)"
            ),
            Violation::UnkeptPromise { test } => {
                write!(f, "docs/promises.md: no test {test}; name the test that shows the claim, or mark it pending")
            }
            Violation::UnlistedUnsafe { file } => write!(f, "{file}: holds unsafe and has no row in docs/unsafe.md"),
            Violation::UncalledTarget { target, file } => write!(f, "{file}: does not call `make {target}`"),
        }
    }
}
