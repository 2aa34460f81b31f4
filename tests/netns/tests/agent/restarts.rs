//! Agents that are away, killed, stopped, or started twice.

use std::net::{IpAddr, TcpListener, TcpStream};
use std::process::{Command, Stdio};
use std::time::Duration;

use nix::sys::signal::Signal::{SIGKILL, SIGTERM};
use sluice_cni_protocol::code;
use sluice_host::VethEnd;
use sluice_netns::wait_for;

use crate::node::{NETWORKS, Node, Pod, ping, transfer};

#[test]
fn pods_keep_addresses_and_connectivity_over_a_kill() {
    let mut node = Node::ready();
    let (one, two, late) = (Pod::new("one"), Pod::new("two"), Pod::new("late"));
    node.add(&one);
    let addresses = node.add(&two);
    let devices = node.devices();
    node.end(SIGKILL);
    assert_eq!(node.devices(), devices, "a kill leaves everything");
    // What an ADD that was killed half way would have left.
    let stale = VethEnd::named("slu00000000abc");
    node.netns.netlink().create_veth(&stale, &VethEnd::named("half")).unwrap();
    node.start(&[]);
    assert_eq!(node.devices(), devices, "the half-made device is gone");
    for address in &addresses {
        assert!(ping(&one.netns, address) && ping(&node.netns, address), "{address}");
        transfer(&one.netns, &two.netns, *address);
    }
    for address in node.add(&late) {
        assert!(!addresses.contains(&address));
        assert!(ping(&late.netns, addresses[usize::from(address.is_ipv6())]));
    }
    assert_eq!(node.refused("one", &one.netns.path(), "eth0").code, code::ALREADY_ATTACHED);
    node.del("two", &two.netns.path());
    assert!(two.netns.netlink().find_link("eth0").unwrap().is_none());
}

#[test]
fn a_stop_leaves_the_node_clean_but_for_its_pods() {
    let mut node = Node::ready();
    let (one, two) = (Pod::new("one"), Pod::new("two"));
    node.add(&one);
    let addresses = node.add(&two);
    let pods: Vec<String> = node.devices().into_iter().filter(|name| !name.starts_with("sluice_")).collect();
    assert!(node.end(SIGTERM).success(), "{}", node.log());
    assert_eq!(node.devices(), pods);
    let mut netlink = node.netns.netlink();
    let lo = netlink.link_by_name("lo").unwrap().index;
    let routes = netlink.routes().unwrap();
    let left: Vec<_> = routes.iter().filter(|route| route.link.is_some_and(|link| link != lo)).collect();
    assert!(left.is_empty(), "{left:?}");
    assert!(netlink.addresses().unwrap().iter().all(|address| address.link == lo));
    assert!(!node.path("run/sluiced.sock").exists());
    node.start(&[]);
    assert!(addresses.iter().all(|address| ping(&one.netns, address)));
}

#[test]
fn a_stop_with_no_pods_leaves_nothing() {
    let mut node = Node::ready();
    let pod = Pod::new("pod");
    node.add(&pod);
    node.del("pod", &pod.netns.path());
    assert!(node.end(SIGTERM).success());
    assert_eq!(node.devices(), Vec::<String>::new());
}

#[test]
fn pods_that_went_while_the_agent_was_away_are_released() {
    let mut node = Node::ready();
    let (gone, kept) = (Pod::new("gone"), Pod::new("kept"));
    node.add(&gone);
    let addresses = node.add(&kept);
    node.end(SIGKILL);
    drop(gone);
    node.start(&[]);
    assert_eq!(node.in_use().0, [1, 1]);
    assert_eq!(node.devices().len(), 3);
    assert!(ping(&node.netns, addresses[0]));
}

/// Taken out: the gateway as a neighbour of pods that they need not ask for.
#[test]
fn what_a_pod_begins_while_the_agent_is_away_goes_on_afterwards() {
    let mut node = Node::ready();
    let (one, two) = (Pod::new("one"), Pod::new("two"));
    node.add(&one);
    let addresses = node.add(&two);
    let told = |what: &[&str]| {
        let output = one.netns.output(Command::new(what[0]).args(&what[1..])).expect("it starts");
        String::from_utf8(output.stdout).expect("text")
    };
    let neighbours = told(&["ip", "neigh", "show", "dev", "eth0", "nud", "permanent"]);
    assert!(["169.254.1.1 ", "fe80::1 "].iter().all(|gateway| neighbours.contains(gateway)), "{neighbours}");
    node.end(SIGKILL);
    let listening = |address: &IpAddr| two.netns.run(|| TcpListener::bind((*address, 0))).unwrap().expect("its own");
    let listeners: Vec<TcpListener> = addresses.iter().map(listening).collect();
    let patience = Duration::from_secs(60);
    std::thread::scope(|scope| {
        let from = &one.netns;
        let begin = |to| scope.spawn(move || from.run(|| TcpStream::connect_timeout(&to, patience)).unwrap());
        let begun: Vec<_> = listeners.iter().map(|listener| begin(listener.local_addr().unwrap())).collect();
        let sent = || (told(&["ss", "-Hnt", "state", "syn-sent"]).lines().count() == begun.len()).then_some(());
        wait_for("both to have begun", sent).expect("they are not answered");
        node.start(&[]);
        for connection in begun {
            connection.join().expect("no panic").expect("it is answered in the end");
        }
    });
}

#[test]
fn a_pod_that_lost_its_device_gets_it_again() {
    let mut node = Node::ready();
    let pod = Pod::new("pod");
    let addresses = node.add(&pod);
    node.end(SIGKILL);
    let mut inside = pod.netns.netlink();
    let link = inside.link_by_name("eth0").unwrap().index;
    inside.delete_link(link).unwrap();
    node.start(&[]);
    assert!(addresses.iter().all(|address| ping(&node.netns, address)));
}

#[test]
fn without_an_agent_add_is_for_later_and_del_is_done_at_the_next_start() {
    let mut node = Node::ready();
    let (gone, kept, new) = (Pod::new("gone"), Pod::new("kept"), Pod::new("new"));
    node.add(&gone);
    let addresses = node.add(&kept);
    node.end(SIGTERM);
    assert_eq!(node.refused("new", &new.netns.path(), "eth0").code, code::TRY_AGAIN_LATER);
    node.del("gone", &gone.netns.path());
    node.del("new", &new.netns.path());
    node.start(&[]);
    assert_eq!(node.in_use().0, [1, 1]);
    assert!(gone.netns.netlink().find_link("eth0").unwrap().is_none());
    assert!(ping(&node.netns, addresses[0]));
    assert_eq!(std::fs::read_dir(node.path("state/cni-journal")).unwrap().count(), 0);
}

#[test]
fn a_del_that_timed_out_is_done_by_the_agent_that_runs() {
    let node = Node::ready();
    let pod = Pod::new("pod");
    node.add(&pod);
    // What the plugin writes when the running agent did not answer in time.
    let entry = r#"{"version":1,"containerId":"pod","ifname":"eth0","netns":null,"network":"sluice"}"#;
    let journal = node.path("state/cni-journal");
    std::fs::create_dir_all(&journal).unwrap();
    std::fs::write(journal.join(".new"), entry).unwrap();
    std::fs::rename(journal.join(".new"), journal.join("pod@eth0.json")).unwrap();
    wait_for("the journal's DEL to be done", || (node.in_use().0 == [0, 0]).then_some(())).unwrap();
    assert_eq!(node.devices(), ["sluice_host", "sluice_port"]);
}

#[test]
fn a_second_agent_is_refused_and_the_first_goes_on() {
    let node = Node::ready();
    let pod = Pod::new("pod");
    let addresses = node.add(&pod);
    let refuse = |mut command: std::process::Command| {
        let output = node.netns.output(command.stderr(Stdio::piped())).unwrap();
        assert_eq!(output.status.code(), Some(1), "{output:?}");
        String::from_utf8_lossy(&output.stderr).into_owned()
    };
    let same_directories = refuse(node.agent_command(&[]));
    assert!(same_directories.contains(&format!("pid {}", node.agent_pid())), "{same_directories}");
    let other = Node::new(&NETWORKS);
    let same_namespace = refuse(other.agent_command(&[]));
    assert!(same_namespace.contains("run directory"), "{same_namespace}");
    assert!(ping(&node.netns, addresses[0]));
}

#[test]
fn a_state_file_cut_short_is_set_aside() {
    let mut node = Node::ready();
    let pod = Pod::new("pod");
    node.add(&pod);
    node.end(SIGTERM);
    let file = node.path("state/state.json");
    let whole = std::fs::read(&file).unwrap();
    std::fs::write(&file, &whole[..whole.len() / 2]).unwrap();
    node.start(&[]);
    assert_eq!(node.devices(), ["sluice_host", "sluice_port"]);
    assert!(node.path("state/state.json.refused-1").exists());
    node.add(&pod);
}

#[test]
fn a_kill_in_the_middle_of_adds_leaves_nothing_once_they_are_deleted() {
    let mut node = Node::ready();
    let pods: Vec<Pod> = (0..6).map(|number| Pod::new(&format!("pod-{number}"))).collect();
    let plugin = |verb, pod: &Pod| node.plugin(verb, &pod.container, &pod.netns.path(), "eth0");
    std::thread::scope(|scope| {
        let calls: Vec<_> = pods.iter().map(|pod| scope.spawn(|| plugin("ADD", pod))).collect();
        // The first to be done: the others are on their way.
        wait_for("an ADD to be done", || calls.iter().any(|call| call.is_finished()).then_some(())).unwrap();
        nix::sys::signal::kill(nix::unistd::Pid::from_raw(node.agent_pid().cast_signed()), SIGKILL).unwrap();
        for call in calls {
            let output = call.join().unwrap();
            let later = || serde_json::from_slice::<sluice_cni_protocol::CniError>(&output.stdout).unwrap().code;
            assert!(output.status.success() || later() == code::TRY_AGAIN_LATER, "{output:?}");
        }
    });
    pods[..3].iter().for_each(|pod| node.del(&pod.container, &pod.netns.path()));
    node.end(SIGKILL);
    node.start(&[]);
    pods[3..].iter().for_each(|pod| node.del(&pod.container, &pod.netns.path()));
    assert_eq!(node.in_use().0, [0, 0]);
    assert_eq!(node.devices(), ["sluice_host", "sluice_port"]);
    assert!(pods.iter().all(|pod| pod.netns.netlink().find_link("eth0").unwrap().is_none()));
    let addresses = node.add(&pods[0]);
    assert!(ping(&node.netns, addresses[0]));
}

#[test]
fn adds_under_way_are_answered_when_the_agent_is_stopped() {
    let mut node = Node::ready();
    let pods: Vec<Pod> = (0..6).map(|number| Pod::new(&format!("pod-{number}"))).collect();
    let attached: Vec<bool> = std::thread::scope(|scope| {
        let add = |pod: &Pod| node.plugin("ADD", &pod.container, &pod.netns.path(), "eth0");
        let calls: Vec<_> = pods.iter().map(|pod| scope.spawn(move || add(pod))).collect();
        wait_for("an ADD to be done", || calls.iter().any(|call| call.is_finished()).then_some(())).unwrap();
        nix::sys::signal::kill(nix::unistd::Pid::from_raw(node.agent_pid().cast_signed()), SIGTERM).unwrap();
        let outputs = calls.into_iter().map(|call| call.join().unwrap());
        outputs.map(|output| output.status.success()).collect()
    });
    assert!(node.end(SIGTERM).success(), "{}", node.log());
    assert!(!node.log().contains("did not end in time"), "{}", node.log());
    node.start(&[]);
    // The runtime was told of each pod what holds after the restart.
    let status = node.status();
    let served = |pod: &&Pod| {
        let all = status["attachments"].as_array().unwrap();
        all.iter().any(|one| one["containerId"] == pod.container.as_str() && one["phase"] == "live")
    };
    for (pod, attached) in pods.iter().zip(attached) {
        assert_eq!(served(&pod), attached, "{}\n{}", pod.container, node.log());
    }
}

#[test]
fn an_agent_waits_for_the_last_threads_of_one_that_was_killed() {
    let mut node = Node::ready();
    let pod = Pod::new("pod");
    let addresses = node.add(&pod);
    for _ in 0..3 {
        // Not waited for: it may not be dead when the next one starts.
        let mut killed = node.kill_and_leave();
        node.start(&[]);
        assert!(addresses.iter().all(|address| ping(&node.netns, address)));
        killed.wait().unwrap();
    }
}
