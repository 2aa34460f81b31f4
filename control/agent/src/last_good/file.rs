//! `<stateDir>/objects`: the last good objects, for a start without the place that they come from.
//!
//! A header of 512 bytes (JSON and blanks, one line): format, version, node, time, count, length and checksum of what follows.
//! Then one object a line, in the API's own form, so that it is read back through the same checks as everything else. As with
//! the state file, a new one is written beside it, brought to the disk and renamed over it; so it is one or the other, and
//! never half of one.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufRead, BufReader, BufWriter, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crc32fast::Hasher;
use serde::{Deserialize, Serialize};
use sluice_model::{Key, NodeName, Object, Timestamp};
use tracing::warn;

/// Version of the file's form. Any change of it changes it.
const VERSION: u32 = 1;

/// What the file says it is.
const FORMAT: &str = "sluice objects";

const FILE: &str = "objects";
/// Name under which the next one is written.
const TEMPORARY: &str = "objects.tmp";
/// Name of one that was refused, for whoever wants to know why.
const REFUSED: &str = "objects.refused";

/// Bytes of the header, its line end included: room for the longest name of a node (253) and all the rest.
const HEADER: usize = 512;

/// Objects that are taken from the index at once: whoever makes a generation waits for no more than these.
const PAGE: usize = 64;

/// Why the file could not be read or written.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ObjectsError {
    /// The operating system refused.
    #[error("cannot {operation} {}: {source}; check stateDir, its owner and the space left", path.display())]
    Io {
        /// What was tried.
        operation: &'static str,
        /// On what.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// Cut short, changed, or never such a file.
    #[error("{} does not hold the last good objects whole: {reason}", path.display())]
    Corrupt {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// Written by another version of the agent.
    #[error("{} has version {found}, and this sluiced reads version {VERSION}", path.display())]
    UnknownVersion {
        /// The file.
        path: PathBuf,
        /// Its version.
        found: u32,
    },
    /// Written for another node.
    #[error("{} is of node {found}", path.display())]
    OtherNode {
        /// The file.
        path: PathBuf,
        /// Whose it is.
        found: String,
    },
}

impl ObjectsError {
    /// Whether the file is there and can never be used.
    pub(crate) fn is_refusal(&self) -> bool {
        !matches!(self, Self::Io { .. })
    }
}

/// What the file begins with.
#[derive(Debug, Serialize, Deserialize)]
struct Header {
    format: String,
    version: u32,
    node: String,
    /// When it was written, by the node's clock, as RFC 3339 writes it.
    written: String,
    count: u64,
    bytes: u64,
    /// CRC-32 of what follows the header.
    checksum: u32,
}

/// Only what every version has.
#[derive(Deserialize)]
struct Form {
    format: String,
    version: u32,
}

/// What a file holds.
#[derive(Debug)]
pub(crate) struct Stored {
    /// The objects.
    pub(crate) objects: Vec<Object>,
    /// When they were written, by the node's clock of then.
    pub(crate) written: SystemTime,
}

/// The file of one state directory. One process at a time uses it.
#[derive(Debug)]
pub(crate) struct ObjectsFile {
    directory: PathBuf,
    node: NodeName,
}

impl ObjectsFile {
    /// The file in this directory, which must be there; the file need not.
    pub(crate) fn new(directory: &Path, node: NodeName) -> Self {
        Self { directory: directory.to_owned(), node }
    }

    /// Reads the file; `None` when there is none. An object that is refused although the file is whole, as by an agent that checks
    /// more than the one before, is left out.
    pub(crate) fn load(&self) -> Result<Option<Stored>, ObjectsError> {
        let path = self.directory.join(FILE);
        let file = match File::open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(failed("open", &path)(error)),
        };
        let mut reader = BufReader::with_capacity(1 << 16, file);
        let header = self.read_header(&path, &mut reader)?;
        let corrupt = |reason: String| ObjectsError::Corrupt { path: path.clone(), reason };
        let (mut hasher, mut count, mut bytes) = (Hasher::new(), 0_u64, 0_u64);
        let mut objects = Vec::new();
        let mut line = Vec::new();
        loop {
            line.clear();
            let read = reader.read_until(b'\n', &mut line).map_err(failed("read", &path))?;
            if read == 0 {
                break;
            }
            hasher.update(&line);
            (count, bytes) = (count + 1, bytes + read as u64);
            match serde_json::from_slice::<Object>(&line) {
                Ok(object) => objects.push(object),
                // Whether the file or the object is to blame is seen at its end.
                Err(error) => warn!(line = count, %error, "one of the last good objects is left out"),
            }
        }
        if (count, bytes) != (header.count, header.bytes) {
            let Header { count: of_count, bytes: of_bytes, .. } = header;
            return Err(corrupt(format!("{count} of {of_count} objects in {bytes} of {of_bytes} bytes")));
        }
        if hasher.finalize() != header.checksum {
            return Err(corrupt("its checksum is another than its header says".to_owned()));
        }
        let written = Timestamp::parse(&header.written).map_or(UNIX_EPOCH, time_of);
        Ok(Some(Stored { objects, written }))
    }

    fn read_header(&self, path: &Path, reader: &mut impl Read) -> Result<Header, ObjectsError> {
        let corrupt = |reason: &str| ObjectsError::Corrupt { path: path.to_owned(), reason: reason.to_owned() };
        let mut bytes = [0; HEADER];
        reader.read_exact(&mut bytes).map_err(|error| match error.kind() {
            io::ErrorKind::UnexpectedEof => corrupt("it ends within its header"),
            _ => failed("read", path)(error),
        })?;
        let form: Form = serde_json::from_slice(&bytes).map_err(|_| corrupt("its header is none"))?;
        if form.format != FORMAT {
            return Err(corrupt("it is of another format"));
        }
        if form.version != VERSION {
            return Err(ObjectsError::UnknownVersion { path: path.to_owned(), found: form.version });
        }
        let header: Header = serde_json::from_slice(&bytes).map_err(|_| corrupt("its header is none"))?;
        if header.node != self.node.as_str() {
            return Err(ObjectsError::OtherNode { path: path.to_owned(), found: header.node });
        }
        Ok(header)
    }

    /// Replaces the file by the objects that `page` gives: each time those behind a key, some hundred at most, none when there are
    /// no more. Returns how many they are. When it returns, they are on the disk.
    pub(crate) fn save(
        &self,
        now: SystemTime,
        page: impl FnMut(Option<&Key>, usize) -> Vec<Object>,
    ) -> Result<u64, ObjectsError> {
        let (path, temporary) = (self.directory.join(FILE), self.directory.join(TEMPORARY));
        let written = self.write(&temporary, now, page).map_err(failed("write", &temporary));
        let renamed = written
            .and_then(|count| fs::rename(&temporary, &path).map(|()| count).map_err(failed("rename", &temporary)));
        if renamed.is_err() {
            // Half a file would keep the room that the next try needs. What it cannot be removed for, it could not be written for.
            let _ = fs::remove_file(&temporary);
        }
        let count = renamed?;
        self.sync_directory()?;
        Ok(count)
    }

    fn write(
        &self,
        path: &Path,
        now: SystemTime,
        mut page: impl FnMut(Option<&Key>, usize) -> Vec<Object>,
    ) -> io::Result<u64> {
        let file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)?;
        let mut writer = BufWriter::with_capacity(1 << 16, file);
        // What is known only at the end is written over this.
        writer.write_all(&[b' '; HEADER])?;
        let (mut hasher, mut count, mut bytes) = (Hasher::new(), 0_u64, 0_u64);
        let mut line = Vec::new();
        let mut last: Option<Key> = None;
        loop {
            let objects = page(last.as_ref(), PAGE);
            let Some(end) = objects.last() else { break };
            last = Some(end.key());
            for object in &objects {
                line.clear();
                serde_json::to_writer(&mut line, object)?;
                line.push(b'\n');
                hasher.update(&line);
                writer.write_all(&line)?;
                (count, bytes) = (count + 1, bytes + line.len() as u64);
            }
        }
        let header = Header {
            format: FORMAT.to_owned(),
            version: VERSION,
            node: self.node.as_str().to_owned(),
            written: timestamp(now).to_string(),
            count,
            bytes,
            checksum: hasher.finalize(),
        };
        let mut header = serde_json::to_vec(&header)?;
        header.resize(HEADER - 1, b' ');
        header.push(b'\n');
        let mut file = writer.into_inner().map_err(io::IntoInnerError::into_error)?;
        file.seek(SeekFrom::Start(0))?;
        file.write_all(&header)?;
        file.sync_all()?;
        Ok(count)
    }

    /// Renames a refused file, and returns under what name it is now.
    pub(crate) fn set_aside(&self) -> Result<PathBuf, ObjectsError> {
        let (path, target) = (self.directory.join(FILE), self.directory.join(REFUSED));
        fs::rename(&path, &target).map_err(failed("rename", &path))?;
        self.sync_directory()?;
        Ok(target)
    }

    /// A rename is on the disk only when its directory is.
    fn sync_directory(&self) -> Result<(), ObjectsError> {
        let synced = File::open(&self.directory).and_then(|directory| directory.sync_all());
        synced.map_err(failed("sync", &self.directory))
    }
}

fn failed(operation: &'static str, path: &Path) -> impl FnOnce(io::Error) -> ObjectsError {
    let path = path.to_owned();
    move |source| ObjectsError::Io { operation, path, source }
}

/// A time of the node's clock as people read it; one before 1970 counts as 1970.
pub(crate) fn timestamp(time: SystemTime) -> Timestamp {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp { seconds: i64::try_from(since.as_secs()).unwrap_or(i64::MAX), nanoseconds: 0 }
}

fn time_of(timestamp: Timestamp) -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(u64::try_from(timestamp.seconds).unwrap_or(0))
}

#[cfg(test)]
mod tests;
