//! Commands in pods and on nodes, and what they can reach.

use crate::driver::Lab;

#[test]
fn commands_run_in_their_pod_and_pass_on_their_exit_code() {
    let lab = Lab::new("exec");
    lab.up();
    let links = lab.ok(&["exec", "-n", "demo", "web", "--", "ip", "-oneline", "address", "show", "dev", "eth0"]);
    assert!(links.contains(&lab.addresses("web")[0]), "{links}");
    assert_eq!(lab.run(&["exec", "web", "--", "sh", "-c", "exit 7"]).code, Some(7));
    assert_eq!(lab.run(&["exec", "web", "--", "/no/such/program"]).code, Some(127));
    assert_eq!(lab.run(&["exec", "-n", "other", "web", "--", "true"]).code, Some(1));
    assert_eq!(lab.run(&["exec", "web"]).code, Some(2));
    let node = lab.ok(&["node", "node-a", "--", "ip", "-oneline", "address"]);
    assert!(node.contains("192.0.2.11"), "{node}");
    let unknown = lab.run(&["node", "node-b", "--", "true"]);
    assert_eq!(unknown.code, Some(1));
    assert!(unknown.err.contains("node-a"), "it names the nodes there are: {unknown:?}");
}

#[test]
fn pods_gateway_and_node_answer_each_other() {
    let lab = Lab::new("ping");
    lab.up();
    let ping = ["ping", "-c", "3", "-i", "0.2", "-W", "5"];
    let from_pod = [&["exec", "client", "--"], ping.as_slice()].concat();
    let web = lab.addresses("web");
    for to in [web[0].as_str(), web[1].as_str(), "169.254.1.1", "fe80::1%eth0", "192.0.2.11", "2001:db8::11"] {
        lab.ok(&[from_pod.as_slice(), &[to]].concat());
    }
    for to in &web {
        lab.ok(&[["node", "node-a", "--"].as_slice(), &ping, &[to]].concat());
    }
}
