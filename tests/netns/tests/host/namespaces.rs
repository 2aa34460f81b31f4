use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;

use rustix::thread::{CapabilitySet, capabilities, set_capabilities};
use sluice_host::{ErrorKind, LinkChange, Netlink, Netns, VethEnd, sysctl};
use sluice_netns::{Namespace, wait_for};

use crate::{output, plain_pair};

#[test]
fn a_new_namespace_is_empty_and_known_to_iproute2() {
    let a = Namespace::new("a");
    let links = a.netlink().links().unwrap();
    assert_eq!(links.iter().map(|link| link.name.as_str()).collect::<Vec<_>>(), ["lo"]);
    assert!(Netns::names().unwrap().contains(&a.name().to_owned()));
    let listed = output(&a, "ip netns list");
    assert!(listed.lines().any(|line| line.split(' ').next() == Some(a.name())), "{listed}");
}

#[test]
fn iproute2_and_this_crate_remove_each_others_namespaces() {
    let a = Namespace::new("a");
    let (ours, theirs) = (format!("{}-ours", a.name()), format!("{}-theirs", a.name()));
    Netns::create(&ours).unwrap();
    run_ip(&["netns", "delete", &ours]);
    run_ip(&["netns", "add", &theirs]);
    Netns::open_named(&theirs).unwrap();
    Netns::delete(&theirs).unwrap();
    let names = Netns::names().unwrap();
    assert!(!names.contains(&ours) && !names.contains(&theirs), "{names:?}");
    let mounts = fs::read_to_string("/proc/self/mounts").unwrap();
    assert!(!mounts.contains(&ours) && !mounts.contains(&theirs), "{mounts}");
}

fn run_ip(arguments: &[&str]) {
    let status = Command::new("ip").args(arguments).status().unwrap();
    assert!(status.success(), "ip {arguments:?}: {status}");
}

#[test]
fn a_taken_name_is_refused_and_stays() {
    let a = Namespace::new("a");
    let error = Netns::create(a.name()).unwrap_err();
    assert!(error.is_taken(), "{error}");
    assert!(error.to_string().contains(a.name()), "{error}");
    assert_eq!(Netns::open(a.path()).unwrap().id().unwrap(), a.id().unwrap());
}

#[test]
fn deleting_what_is_not_there_says_so() {
    sluice_netns::require_root();
    let error = Netns::delete("slutest-no-such-namespace").unwrap_err();
    assert_eq!(error.kind(), &ErrorKind::NotFound, "{error}");
    let error = Netns::open_named("slutest-no-such-namespace").unwrap_err();
    assert!(error.is_absent(), "{error}");
    let error = Netns::delete("../etc").unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::BadName(_)), "{error}");
}

#[test]
fn what_is_not_a_network_namespace_is_refused() {
    sluice_netns::require_root();
    let directory = std::env::temp_dir().join(format!("sluice-netns-{}", std::process::id()));
    fs::create_dir(&directory).unwrap();
    let (file, fifo) = (directory.join("file"), directory.join("fifo"));
    fs::write(&file, "").unwrap();
    nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::S_IRWXU).unwrap();
    let others = ["/proc/self/ns/mnt", "/proc/self/ns/user", "/dev/null", "/proc/self/status", "/"].map(Path::new);
    let kinds: Vec<_> = [file.as_path(), fifo.as_path()]
        .into_iter()
        .chain(others)
        .map(|path| (path.to_owned(), Netns::open(path).map(|_| ()).unwrap_err()))
        .collect();
    fs::remove_dir_all(&directory).unwrap();
    for (path, error) in kinds {
        assert_eq!(error.kind(), &ErrorKind::NotANamespace, "{error}");
        assert!(error.to_string().contains(path.to_str().unwrap()), "{error}");
    }
}

#[test]
fn a_namespace_whose_process_has_ended_is_not_found() {
    sluice_netns::require_root();
    let mut child = Command::new("sleep").arg("600").spawn().unwrap();
    let path = format!("/proc/{}/ns/net", child.id());
    assert_eq!(Netns::open(&path).unwrap().id().unwrap(), Netns::current().unwrap().id().unwrap());
    child.kill().unwrap();
    child.wait().unwrap();
    let error = Netns::open(&path).unwrap_err();
    assert_eq!(error.kind(), &ErrorKind::NotFound, "{error}");
    assert!(error.to_string().contains(&path), "{error}");
}

#[test]
fn work_runs_inside_and_the_caller_stays_where_it_was() {
    let a = Namespace::new("a");
    let before = Netns::current().unwrap().id().unwrap();
    let caller = thread::current().id();
    let (inside, worker) = a.run(|| (Netns::current().unwrap().id().unwrap(), thread::current().id())).unwrap();
    assert_eq!(inside, a.id().unwrap());
    assert_ne!(inside, before);
    assert_ne!(worker, caller);
    assert_eq!(Netns::current().unwrap().id().unwrap(), before);
}

#[test]
fn a_panic_inside_reaches_the_caller() {
    let a = Namespace::new("a");
    let panic = std::panic::catch_unwind(|| a.run(|| panic!("inside"))).unwrap_err();
    assert_eq!(panic.downcast_ref::<&str>(), Some(&"inside"));
}

#[test]
fn processes_start_inside() {
    let a = Namespace::new("a");
    let inode = |netns: &Netns| output(netns, "stat -L -c %i /proc/self/ns/net");
    assert_ne!(inode(&a), inode(&Netns::current().unwrap()));
    let mut child = a.spawn(Command::new("cat").stdin(Stdio::piped()).stdout(Stdio::null())).unwrap();
    let opened = Netns::open(format!("/proc/{}/ns/net", child.id())).unwrap();
    assert_eq!(opened.id().unwrap(), a.id().unwrap());
    drop(child.stdin.take());
    assert!(child.wait().unwrap().success());

    let error = a.spawn(&mut Command::new("/no/such/program")).unwrap_err();
    assert_eq!(error.kind(), &ErrorKind::NotFound, "{error}");
    assert!(error.to_string().contains("/no/such/program"), "{error}");
}

#[test]
fn two_threads_work_in_two_namespaces_at_once() {
    let spaces = [Namespace::new("a"), Namespace::new("b")];
    let both = std::sync::Barrier::new(2);
    thread::scope(|scope| {
        for (number, space) in spaces.iter().enumerate() {
            let both = &both;
            scope.spawn(move || {
                for round in 0..20 {
                    both.wait();
                    // The same names on both sides: what goes to the wrong namespace collides or goes missing.
                    let value = (number * 1000 + round).to_string();
                    space.run(|| sysctl::set("net/ipv4/ipfrag_max_dist", &value)).unwrap().unwrap();
                    let mut netlink = space.netlink();
                    let pair = plain_pair(&mut netlink, "near", "far");
                    both.wait();
                    assert_eq!(space.run(|| sysctl::get("net/ipv4/ipfrag_max_dist")).unwrap().unwrap(), value);
                    assert_eq!(netlink.links().unwrap().len(), 3);
                    netlink.delete_link(pair.near).unwrap();
                }
            });
        }
    });
}

#[test]
fn an_open_handle_outlives_the_name_and_the_devices_go_with_it() {
    let here = Namespace::new("here");
    let gone = Namespace::new("gone");
    let handle = Netns::open(gone.path()).unwrap();
    let path = gone.path();
    drop(gone);
    assert!(Netns::open(&path).unwrap_err().is_absent());

    let mut netlink = here.netlink();
    let far = VethEnd { netns: Some(&handle), ..VethEnd::named("eth0") };
    let pair = netlink.create_veth(&VethEnd::named("slu0"), &far).unwrap();
    assert_eq!(Netlink::open_in(&handle).unwrap().link_by_name("eth0").unwrap().index, pair.far);
    drop(handle);
    wait_for("the veth of a namespace that ended", || netlink.find_link("slu0").unwrap().is_none().then_some(()))
        .unwrap();
    let error = netlink.set_link(pair.near, &LinkChange::up()).unwrap_err();
    assert_eq!(error.kind(), &ErrorKind::NoDevice, "{error}");
}

#[test]
fn without_capabilities_the_error_says_what_is_missing() {
    let a = Namespace::new("a");
    let name = format!("{}-never", a.name());
    let (bridge, create, open) = a
        .run(|| {
            // Only this thread loses them, and it ends here.
            let mut sets = capabilities(None).unwrap();
            sets.effective &= !(CapabilitySet::NET_ADMIN | CapabilitySet::SYS_ADMIN);
            set_capabilities(None, sets).unwrap();
            let bridge = Netlink::open().unwrap().create_bridge("br0").unwrap_err();
            (bridge, Netns::create(&name).unwrap_err(), Netns::open(a.path()).unwrap_err())
        })
        .unwrap();
    for error in [bridge, create, open] {
        assert_eq!(error.kind(), &ErrorKind::NotPermitted, "{error}");
        assert!(error.to_string().contains("CAP_NET_ADMIN"), "{error}");
    }
    assert!(!Netns::names().unwrap().contains(&name));
}

#[test]
fn leftovers_of_a_test_process_that_is_gone_are_removed() {
    let mine = Namespace::new("mine");
    let mut child = Command::new("true").spawn().unwrap();
    child.wait().unwrap();
    let leftover = format!("slutest-{}-0-leftover", child.id());
    Netns::create(&leftover).unwrap();
    // The sweep happens once a process, so another test process is needed.
    let test = "namespaces::a_new_namespace_is_empty_and_known_to_iproute2";
    let status =
        Command::new(std::env::current_exe().unwrap()).args(["--exact", test]).stdout(Stdio::null()).status().unwrap();
    assert!(status.success());
    let names = Netns::names().unwrap();
    assert!(!names.contains(&leftover), "{names:?}");
    assert!(names.contains(&mine.name().to_owned()), "{names:?}");
}
