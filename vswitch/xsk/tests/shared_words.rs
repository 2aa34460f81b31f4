//! Words that outlive the process that wrote them.
use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::Command;
use std::sync::atomic::Ordering;

use sluice_xsk::{SharedWords, SharedWordsError};

/// Names the file to a process that plays an agent.
const FILE: &str = "SLUICE_TEST_SHARED_WORDS";
const WORDS: usize = 3000;
const SIGKILL: i32 = 9;

struct Directory(PathBuf);

impl Directory {
    fn new(name: &str) -> Directory {
        let path = std::env::temp_dir().join(format!("sluice-words-{}-{name}", std::process::id()));
        std::fs::create_dir(&path).expect("a directory");
        Directory(path)
    }

    fn file(&self) -> PathBuf {
        self.0.join("connections")
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Not a test of its own: the process that [`what_a_killed_process_wrote_is_there_for_the_next`] starts.
#[test]
fn an_agent_that_writes_and_is_killed() {
    let Some(file) = std::env::var_os(FILE) else { return };
    let shared = SharedWords::open(file, WORDS).expect("the file");
    assert!(!shared.is_kept());
    for (index, word) in (0..).zip(shared.words()) {
        assert_eq!(word.swap(index ^ 0x5a5a, Ordering::Relaxed), 0, "a new file is all zeroes");
    }
    let me = rustix::process::getpid();
    rustix::process::kill_process(me, rustix::process::Signal::KILL).expect("a signal to oneself");
}

#[test]
fn what_a_killed_process_wrote_is_there_for_the_next() {
    let directory = Directory::new("killed");
    let mut agent = Command::new(std::env::current_exe().expect("this program"));
    agent.args(["--exact", "an_agent_that_writes_and_is_killed"]).env(FILE, directory.file());
    let ended = agent.output().expect("it runs").status;
    assert_eq!(ended.signal(), Some(SIGKILL), "{ended}");
    let shared = SharedWords::open(directory.file(), WORDS).expect("the lock went with the process");
    assert!(shared.is_kept());
    for (index, word) in (0..).zip(shared.words()) {
        assert_eq!(word.load(Ordering::Relaxed), index ^ 0x5a5a);
    }
    let mode = std::fs::metadata(directory.file()).expect("the file").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
}

#[test]
fn nobody_maps_it_a_second_time() {
    let directory = Directory::new("twice");
    let shared = SharedWords::open(directory.file(), WORDS).expect("the first");
    let refused = SharedWords::open(directory.file(), WORDS).expect_err("the second");
    assert!(matches!(&refused, SharedWordsError::InUse(path) if *path == directory.file()), "{refused}");
    // Nor does the attempt change anything.
    shared.words()[WORDS - 1].store(7, Ordering::Relaxed);
    assert!(SharedWords::open(directory.file(), 5).is_err());
    assert_eq!(shared.words()[WORDS - 1].load(Ordering::Relaxed), 7);
}

#[test]
fn a_file_of_another_size_starts_anew() {
    for length in [0, 8, WORDS * 8 - 1, WORDS * 8 + 1, WORDS * 16] {
        let directory = Directory::new(&format!("size-{length}"));
        std::fs::write(directory.file(), vec![0xff; length]).expect("a file");
        std::fs::set_permissions(directory.file(), PermissionsExt::from_mode(0o600)).expect("its mode");
        let shared = SharedWords::open(directory.file(), WORDS).expect("a new start");
        assert!(!shared.is_kept());
        assert!(shared.words().iter().all(|word| word.load(Ordering::Relaxed) == 0), "{length}");
        assert_eq!(std::fs::metadata(directory.file()).expect("the file").len(), WORDS as u64 * 8);
    }
}

#[test]
fn what_others_may_open_is_refused() {
    let directory = Directory::new("others");
    std::fs::write(directory.file(), vec![0; WORDS * 8]).expect("a file");
    std::fs::set_permissions(directory.file(), PermissionsExt::from_mode(0o660)).expect("its mode");
    let refused = SharedWords::open(directory.file(), WORDS).expect_err("readable by the group");
    assert!(matches!(refused, SharedWordsError::NotOurs(_)), "{refused}");
    std::fs::set_permissions(directory.file(), PermissionsExt::from_mode(0o600)).expect("its mode");
    symlink(directory.file(), directory.0.join("link")).expect("a link");
    assert!(SharedWords::open(directory.0.join("link"), WORDS).is_err(), "a link leads anywhere");
    std::fs::hard_link(directory.file(), directory.0.join("second")).expect("a second name");
    assert!(SharedWords::open(directory.file(), WORDS).is_err(), "it has another name");
}

#[test]
fn impossible_sizes_and_places_are_refused_with_the_reason() {
    let directory = Directory::new("sizes");
    for words in [0, usize::MAX, usize::MAX / 8] {
        assert!(matches!(SharedWords::open(directory.file(), words), Err(SharedWordsError::Size { .. })), "{words}");
    }
    let error = SharedWords::open(directory.file(), 1 << 50).expect_err("no file system has this much").to_string();
    assert!(error.contains("connections") && error.contains("9007199254740992 bytes free"), "{error}");
    let error = SharedWords::open(directory.0.join("absent/file"), 1).expect_err("no directory").to_string();
    assert!(error.contains("directory exists"), "{error}");
}
