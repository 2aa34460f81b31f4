//! The directory as it is at one moment: its manifests' names and texts.

use std::collections::BTreeMap;
use std::fs::{self, File, Metadata};
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use crate::event::Problem;

/// Bytes a manifest may have.
const FILE_LIMIT: u64 = 64 << 20;

/// Times a listing is taken anew because the directory changed meanwhile.
const ATTEMPTS: usize = 5;

/// Each manifest's path with its text, or why it has none.
pub(crate) type Listing = BTreeMap<PathBuf, Result<String, Problem>>;

/// What tells one state of a file from another. Of a link it is the file that it leads to, so a swapped link differs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stamp {
    device: u64,
    inode: u64,
    size: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

/// Reads every manifest of a directory. When something changes between the first and the last file, all is read again
/// (a bounded number of times), so that an object that moves between two files is not missed in both.
pub(crate) fn read(directory: &Path) -> io::Result<Listing> {
    let mut before = stamps(directory)?;
    for attempt in 1.. {
        let listing = before.iter().map(|(path, stamp)| (path.clone(), text(path, stamp))).collect();
        let after = stamps(directory)?;
        if after == before || attempt == ATTEMPTS {
            return Ok(listing);
        }
        before = after;
    }
    Ok(Listing::new())
}

type Stamped = Result<Stamp, Problem>;

fn stamps(directory: &Path) -> io::Result<BTreeMap<PathBuf, Stamped>> {
    let mut stamps = BTreeMap::new();
    for entry in fs::read_dir(directory)? {
        let path = entry?.path();
        if is_manifest(&path) {
            let stamp = stamp(&path);
            stamps.insert(path, stamp);
        }
    }
    Ok(stamps)
}

/// A ConfigMap's mount keeps its versions under names that begin with two dots; editors keep theirs under one.
fn is_manifest(path: &Path) -> bool {
    let hidden = path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"."));
    let extension = path.extension().and_then(|extension| extension.to_str());
    !hidden && matches!(extension, Some("yaml" | "yml" | "json"))
}

fn stamp(path: &Path) -> Stamped {
    let metadata: Metadata = fs::metadata(path).map_err(|error| Problem::Unreadable(error.kind()))?;
    // Opening a pipe would wait for a writer.
    if !metadata.is_file() {
        return Err(Problem::NotAFile);
    }
    Ok(Stamp {
        device: metadata.dev(),
        inode: metadata.ino(),
        size: metadata.len(),
        modified: (metadata.mtime(), metadata.mtime_nsec()),
        changed: (metadata.ctime(), metadata.ctime_nsec()),
    })
}

fn text(path: &Path, stamp: &Stamped) -> Result<String, Problem> {
    stamp.clone()?;
    let unreadable = |error: io::Error| Problem::Unreadable(error.kind());
    let mut bytes = Vec::new();
    File::open(path).and_then(|file| file.take(FILE_LIMIT + 1).read_to_end(&mut bytes)).map_err(unreadable)?;
    if bytes.len() as u64 > FILE_LIMIT {
        return Err(Problem::TooLarge { limit: FILE_LIMIT });
    }
    String::from_utf8(bytes).map_err(|_| Problem::NotUtf8)
}
