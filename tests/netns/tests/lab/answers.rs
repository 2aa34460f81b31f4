//! What the switch answers, and whom it does not hear.

use sluice_netns::wait_for;

use crate::driver::Lab;

/// What one `ping` in pod `client` prints.
fn ping(lab: &Lab, arguments: &[&str]) -> String {
    let command = ["exec", "-n", "demo", "client", "--", "env", "LC_ALL=C", "ping", "-n", "-c", "1", "-W", "5"];
    lab.run(&[&command, arguments].concat()).out
}

#[test]
fn the_switch_says_why_a_packet_goes_no_further() {
    let lab = Lab::new("answers");
    lab.up();
    let web = lab.addresses("web");
    // The pod itself would keep to the path MTU that its routes name.
    for (family, gateway) in [("-4", "169.254.1.1"), ("-6", "fe80::1")] {
        let route = ["ip", family, "route", "replace", "default", "via", gateway, "dev", "eth0", "mtu", "9000"];
        lab.ok(&[["exec", "-n", "demo", "client", "--"].as_slice(), &route].concat());
    }
    for (arguments, answer) in [
        (["-t", "1", &web[0]].as_slice(), "From 169.254.1.1 icmp_seq=1 Time to live exceeded"),
        (&["-t", "1", &web[1]], "Time exceeded: Hop limit"),
        (&["10.244.1.200"], "From 169.254.1.1 icmp_seq=1 Destination Host Unreachable"),
        (&["fd00:10:244:1::200"], "Address unreachable"),
        (&["-M", "do", "-s", "3000", &web[0]], "mtu = 1500"),
        (&["-M", "do", "-s", "3000", &web[1]], "mtu=1500"),
    ] {
        let said = ping(&lab, arguments);
        assert!(said.replace("mtu: ", "mtu=").contains(answer), "{arguments:?}: {said}");
    }
    for reason in ["ttl_expired", "no_such_pod", "too_big"] {
        await_drops(&lab, reason, 2);
    }
}

/// Waits until so many packets have been dropped for a reason: what a worker counts is told a moment after the packet. A kernel
/// may have sent another one, as when it makes sure of a neighbour.
fn await_drops(lab: &Lab, reason: &str, count: u64) {
    wait_for(&format!("{count} packets dropped as {reason}"), || {
        (lab.agent_status()["drops"][reason].as_u64() >= Some(count)).then_some(())
    })
    .unwrap_or_else(|error| panic!("{error}: {}", lab.agent_status()["drops"]));
}

#[test]
fn a_pod_that_takes_anothers_address_is_not_heard() {
    let lab = Lab::new("spoof");
    lab.up();
    let (web, db) = (lab.addresses("web"), lab.addresses("db"));
    // So that the gateway is resolved and the packets themselves are what is judged.
    db.iter().for_each(|to| assert!(ping(&lab, &[to]).contains(" 1 received")));
    for (family, own) in web.iter().enumerate() {
        lab.ok(&["exec", "-n", "demo", "client", "--", "ip", "address", "add", own, "dev", "lo"]);
        let answer = ping(&lab, &["-I", own, "-W", "1", &db[family]]);
        assert!(answer.contains(" 0 received"), "{answer}");
    }
    await_drops(&lab, "spoofed_address", 2);
    lab.ok(&["exec", "-n", "demo", "client", "--", "ip", "link", "set", "eth0", "address", "02:00:00:00:00:99"]);
    assert!(ping(&lab, &["-W", "1", &db[0]]).contains(" 0 received"));
    await_drops(&lab, "spoofed_mac", 1);
}

#[test]
fn agents_that_share_a_core_do_not_starve_each_other() {
    let (busy, other) = (Lab::new("loaded"), Lab::new("share"));
    busy.ok(&["up", "--cores", "0"]);
    other.ok(&["up", "--cores", "0"]);
    let target = busy.addresses("web")[0].clone();
    let flood = format!("while ping -q -f -c 10000 {target} >/dev/null; do :; done");
    let mut load = busy.start(&["exec", "-n", "demo", "client", "--", "sh", "-c", &flood]);
    let turns = || busy.agent_status()["workers"][0]["loop"]["busy_turns"].as_u64().unwrap_or(0);
    let before = turns();
    wait_for("the load", || (turns() > before + 1000).then_some(())).expect("it runs");
    let to = other.addresses("web")[0].clone();
    let answered = other.ok(&["exec", "-n", "demo", "client", "--", "ping", "-c", "20", "-i", "0.05", "-W", "5", &to]);
    assert!(answered.contains(" 20 received"), "{answered}");
    assert!(load.try_wait().expect("it is ours").is_none(), "the load ended early");
    load.kill().expect("it is ours");
    load.wait().expect("it ends");
}
