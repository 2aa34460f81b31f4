//! Where Kubernetes objects come from: a directory of manifests, or the Kubernetes API ([`kube`], a feature).
//!
//! `directory --listing--> texts --manifest--> objects and faults --book--> Events --watch--> Watch::recv`
//!
//! The directory's `*.yaml`, `*.yml` and `*.json` files are read, several documents a file and `kind: List` included,
//! and read again when something changes there: told by the kernel, and looked after at an interval where the kernel
//! tells nothing. Names that begin with a dot are passed over, so a ConfigMap's mount works as it is; its atomic swap is
//! seen as one change.
//!
//! **Fail static.** While a file has a fault, nothing that came from it is taken away: its good objects are applied, and
//! those it no longer shows in a good form stay as they last were. Only a file that reads whole, or is deleted, takes
//! objects away. A directory that cannot be listed takes nothing away. Of an object in two files, the one in force stays.
//!
//! Replace a file by renaming a new one over it. A file that is written in place is read once it has been quiet for a
//! moment, but a writer that pauses half way shows half a file.

#[cfg(feature = "watch")]
mod book;
mod event;
mod failure;
#[cfg(feature = "kube")]
pub mod kube;
#[cfg(feature = "watch")]
mod listing;
mod manifest;
mod text;
mod tree;
#[cfg(feature = "watch")]
mod watch;

pub use event::{Event, Fault, Origin, Problem};
pub use failure::Failure;
pub use text::{Text, read_text};
#[cfg(feature = "watch")]
pub use watch::{Timing, Watch, watch};
