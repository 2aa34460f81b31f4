//! Real directories: what changes in them arrives as events, told by the kernel or found at the interval.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::time::Duration;

use sluice_source::{Event, Fault, Origin, Problem, Timing, Watch, watch};
use tempfile::TempDir;

/// Longest wait for an event; far more than one takes.
const BOUND: Duration = Duration::from_secs(20);

/// An interval so long that only what the kernel tells can be seen within [`BOUND`].
const KERNEL_ONLY: Duration = Duration::from_secs(3600);

struct Scene {
    directory: TempDir,
    watch: Watch,
}

impl Scene {
    fn start(prepare: impl FnOnce(&Path), rescan: Duration) -> Scene {
        let directory = tempfile::tempdir().unwrap();
        prepare(directory.path());
        let watch = watch(directory.path(), timing(rescan)).unwrap();
        Scene { directory, watch }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    async fn expect(&mut self, expected: &[&str]) {
        expect(&mut self.watch, expected).await;
    }

    async fn fault(&mut self) -> Fault {
        fault(&mut self.watch).await
    }
}

fn timing(rescan: Duration) -> Timing {
    Timing { rescan, quiet: Duration::from_millis(20), latest: Duration::from_millis(500) }
}

async fn next(watch: &mut Watch) -> Event {
    tokio::time::timeout(BOUND, watch.recv()).await.expect("an event in time").expect("the watch goes on")
}

async fn expect(watch: &mut Watch, expected: &[&str]) {
    for one in expected {
        let event = next(watch).await;
        let shown = match &event {
            Event::Apply(object) => format!("apply {}", object.key()),
            Event::Delete(key) => format!("delete {key}"),
            Event::Synced => "synced".to_owned(),
            Event::FaultCleared { .. } => "cleared".to_owned(),
            Event::Fault(fault) => format!("fault {fault}"),
        };
        assert_eq!(shown, *one, "{event:?}");
    }
}

async fn fault(watch: &mut Watch) -> Fault {
    match next(watch).await {
        Event::Fault(fault) => fault,
        other => panic!("expected a fault: {other:?}"),
    }
}

fn pod(name: &str) -> String {
    format!("apiVersion: v1\nkind: Pod\nmetadata: {{name: {name}}}\n")
}

/// As the documentation asks for it: a new file renamed over the old one.
fn replace(path: &Path, text: &str) {
    let next = path.with_extension("next");
    fs::write(&next, text).unwrap();
    fs::rename(next, path).unwrap();
}

#[tokio::test]
async fn good_files_are_told_then_synced_and_other_names_are_passed_over() {
    let prepare = |at: &Path| {
        for (name, object) in [("a.yaml", "a"), ("b.yml", "b"), ("c.txt", "x"), (".d.yaml", "x"), ("README", "x")] {
            fs::write(at.join(name), pod(object)).unwrap();
        }
        fs::write(at.join("e.json"), r#"{"apiVersion": "v1", "kind": "Node", "metadata": {"name": "n"}}"#).unwrap();
        fs::create_dir(at.join("deeper")).unwrap();
        fs::write(at.join("deeper/f.yaml"), pod("x")).unwrap();
    };
    let mut scene = Scene::start(prepare, KERNEL_ONLY);
    scene.expect(&["apply Node n", "apply Pod default/a", "apply Pod default/b", "synced"]).await;
}

#[tokio::test]
async fn an_empty_directory_is_synced_and_a_new_file_arrives() {
    let mut scene = Scene::start(|_| (), KERNEL_ONLY);
    scene.expect(&["synced"]).await;
    fs::write(scene.path("a.yaml"), pod("a")).unwrap();
    scene.expect(&["apply Pod default/a"]).await;
}

#[tokio::test]
async fn replaced_and_deleted_files_arrive() {
    let mut scene = Scene::start(|at| fs::write(at.join("a.yaml"), pod("a")).unwrap(), KERNEL_ONLY);
    scene.expect(&["apply Pod default/a", "synced"]).await;
    replace(&scene.path("a.yaml"), &pod("b"));
    scene.expect(&["apply Pod default/b", "delete Pod default/a"]).await;
    fs::remove_file(scene.path("a.yaml")).unwrap();
    scene.expect(&["delete Pod default/b"]).await;
}

#[tokio::test]
async fn a_file_that_turns_bad_is_told_and_keeps_its_objects_until_it_is_good_again() {
    let mut scene = Scene::start(|at| fs::write(at.join("a.yaml"), pod("a")).unwrap(), KERNEL_ONLY);
    scene.expect(&["apply Pod default/a", "synced"]).await;
    replace(&scene.path("a.yaml"), "apiVersion: v1\nkind: Pod\nmetadata: {name: a\n");
    let fault = scene.fault().await;
    assert_eq!(fault.origin, Origin::File(scene.path("a.yaml")));
    assert!(fault.line.is_some() && matches!(fault.problem, Problem::NotYaml { .. }), "{fault}");
    // The next change shows that nothing was deleted in between.
    fs::write(scene.path("b.yaml"), pod("b")).unwrap();
    scene.expect(&["apply Pod default/b"]).await;
    replace(&scene.path("a.yaml"), &pod("c"));
    scene.expect(&["cleared", "apply Pod default/c", "delete Pod default/a"]).await;
}

#[tokio::test]
async fn wrong_types_and_missing_names_are_told_with_file_line_and_field() {
    let prepare = |at: &Path| {
        fs::write(at.join("a.yaml"), "apiVersion: v1\nkind: Pod\nmetadata:\n  labels: {x: y}\n").unwrap();
        fs::write(at.join("b.yaml"), "apiVersion: v1\nkind: Node\nmetadata: {name: n}\nspec:\n  podCIDRs: 5\n")
            .unwrap();
        fs::write(at.join("c.yaml"), pod("c")).unwrap();
    };
    let mut scene = Scene::start(prepare, KERNEL_ONLY);
    let missing = scene.fault().await;
    assert_eq!((missing.line, missing.field.to_string().as_str()), (Some(4), "metadata.name"), "{missing}");
    let wrong = scene.fault().await;
    assert_eq!((wrong.line, wrong.field.to_string().as_str()), (Some(5), "spec.podCIDRs"), "{wrong}");
    assert!(matches!(wrong.problem, Problem::WrongType { .. }) && wrong.to_string().contains("Node n"), "{wrong}");
    scene.expect(&["apply Pod default/c", "synced"]).await;
}

#[tokio::test]
async fn one_object_in_two_files_is_told_with_both_names() {
    let prepare = |at: &Path| {
        fs::write(at.join("a.yaml"), pod("a")).unwrap();
        fs::write(at.join("b.yaml"), pod("a")).unwrap();
    };
    let mut scene = Scene::start(prepare, KERNEL_ONLY);
    let fault = scene.fault().await;
    assert_eq!(fault.origin, Origin::File(scene.path("b.yaml")));
    assert_eq!(fault.problem, Problem::Duplicate { file: scene.path("a.yaml"), line: 1 });
    scene.expect(&["apply Pod default/a", "synced"]).await;
    fs::remove_file(scene.path("a.yaml")).unwrap();
    scene.expect(&["cleared"]).await;
}

/// The way kubelet mounts a ConfigMap: names lead through `..data`, which is swapped by a rename.
#[tokio::test]
async fn the_swap_of_a_config_map_is_one_change() {
    let version = |at: &Path, name: &str, files: &[(&str, &str)]| {
        fs::create_dir(at.join(name)).unwrap();
        for (file, object) in files {
            fs::write(at.join(name).join(file), pod(object)).unwrap();
        }
        symlink(name, at.join("..data_tmp")).unwrap();
        fs::rename(at.join("..data_tmp"), at.join("..data")).unwrap();
    };
    let prepare = |at: &Path| {
        version(at, "..2026_1", &[("a.yaml", "a"), ("b.yaml", "b")]);
        symlink("..data/a.yaml", at.join("a.yaml")).unwrap();
        symlink("..data/b.yaml", at.join("b.yaml")).unwrap();
    };
    let mut scene = Scene::start(prepare, KERNEL_ONLY);
    scene.expect(&["apply Pod default/a", "apply Pod default/b", "synced"]).await;
    // The objects change places: neither may be missed in the middle.
    version(scene.directory.path(), "..2026_2", &[("a.yaml", "b"), ("b.yaml", "c")]);
    scene.expect(&["apply Pod default/c", "delete Pod default/a"]).await;
}

#[tokio::test]
async fn a_directory_that_is_missing_is_told_and_seen_when_it_comes() {
    let parent = tempfile::tempdir().unwrap();
    let path = parent.path().join("later");
    let mut watch = watch(&path, timing(Duration::from_millis(50))).unwrap();
    let told = fault(&mut watch).await;
    assert_eq!(
        (told.origin, told.problem),
        (Origin::File(path.clone()), Problem::Unreadable(std::io::ErrorKind::NotFound))
    );
    let made = parent.path().join("made");
    fs::create_dir(&made).unwrap();
    fs::write(made.join("a.yaml"), pod("a")).unwrap();
    fs::rename(&made, &path).unwrap();
    expect(&mut watch, &["cleared", "apply Pod default/a", "synced"]).await;
    // Gone again: nothing is taken away.
    fs::rename(&path, &made).unwrap();
    assert_eq!(fault(&mut watch).await.origin, Origin::File(path.clone()));
    fs::remove_file(made.join("a.yaml")).unwrap();
    fs::rename(&made, &path).unwrap();
    expect(&mut watch, &["cleared", "delete Pod default/a"]).await;
}

/// What lies behind a link changes without a word from the kernel about the directory.
#[tokio::test]
async fn changes_behind_links_are_found_at_the_interval() {
    let elsewhere = tempfile::tempdir().unwrap();
    let target = elsewhere.path().join("x.yaml");
    fs::write(&target, pod("a")).unwrap();
    let mut scene = Scene::start(|at| symlink(&target, at.join("a.yaml")).unwrap(), Duration::from_millis(50));
    scene.expect(&["apply Pod default/a", "synced"]).await;
    replace(&target, &pod("b"));
    scene.expect(&["apply Pod default/b", "delete Pod default/a"]).await;
    // A link that leads nowhere is a fault and takes nothing away.
    fs::remove_file(&target).unwrap();
    assert_eq!(scene.fault().await.problem, Problem::Unreadable(std::io::ErrorKind::NotFound));
    // As a whole: an empty file would take its object away.
    replace(&target, &pod("b"));
    scene.expect(&["cleared"]).await;
}

#[tokio::test]
async fn a_link_to_the_directory_may_be_swapped() {
    let parent = tempfile::tempdir().unwrap();
    let (one, two) = (parent.path().join("one"), parent.path().join("two"));
    for (directory, object) in [(&one, "a"), (&two, "b")] {
        fs::create_dir(directory).unwrap();
        fs::write(directory.join("x.yaml"), pod(object)).unwrap();
    }
    let link = parent.path().join("current");
    symlink(&one, &link).unwrap();
    let mut watch = watch(&link, timing(Duration::from_millis(50))).unwrap();
    expect(&mut watch, &["apply Pod default/a", "synced"]).await;
    symlink(&two, parent.path().join("next")).unwrap();
    fs::rename(parent.path().join("next"), &link).unwrap();
    expect(&mut watch, &["apply Pod default/b", "delete Pod default/a"]).await;
    fs::write(two.join("y.yaml"), pod("c")).unwrap();
    expect(&mut watch, &["apply Pod default/c"]).await;
}

#[tokio::test]
async fn what_is_no_file_or_no_text_is_told() {
    let prepare = |at: &Path| {
        fs::create_dir(at.join("a.yaml")).unwrap();
        fs::write(at.join("b.yaml"), [0xff, 0xfe, 0x41]).unwrap();
        let status = std::process::Command::new("mkfifo").arg(at.join("c.yaml")).status().unwrap();
        assert!(status.success());
        fs::write(at.join("d.yaml"), pod("d")).unwrap();
        fs::set_permissions(at.join("d.yaml"), fs::Permissions::from_mode(0o400)).unwrap();
    };
    let mut scene = Scene::start(prepare, KERNEL_ONLY);
    assert_eq!(scene.fault().await.problem, Problem::NotAFile);
    assert_eq!(scene.fault().await.problem, Problem::NotUtf8);
    assert_eq!(scene.fault().await.problem, Problem::NotAFile);
    scene.expect(&["apply Pod default/d", "synced"]).await;
}

#[test]
fn dropping_ends_the_thread_even_with_a_full_backlog() {
    let directory = tempfile::tempdir().unwrap();
    let text: String = (0..5000).map(|n| pod(&format!("p{n}")) + "---\n").collect();
    fs::write(directory.path().join("many.yaml"), text).unwrap();
    let mut watch = watch(directory.path(), Timing::default()).unwrap();
    assert!(matches!(watch.blocking_recv(), Some(Event::Apply(_))));
    drop(watch);
}
