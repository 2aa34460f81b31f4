//! Pods on two nodes, over VXLAN.

use std::io::{Read, Write};
use std::net::SocketAddr;

use serde_json::Value;
use sluice_netns::wait_for;
use sluice_path::DropReason;

use crate::call::pattern;
use crate::driver::Cluster;
use crate::objects::PORT;
use crate::place::Place;
use crate::server::Server;

/// Bytes of one bulk transfer, each way.
const BULK: usize = 12 * 1024 * 1024;

/// Sends a pattern over TCP and compares what comes back, byte by byte.
pub(crate) fn transfer(from: &Place, to: SocketAddr, length: usize) {
    let connection = from.connect(to).unwrap_or_else(|error| panic!("{} to {to}: {error}", from.name));
    let mut reading = connection.stream;
    let mut writing = reading.get_ref().try_clone().expect("a socket can be cloned");
    let sent = pattern(length);
    std::thread::scope(|scope| {
        scope.spawn(|| writing.write_all(&sent).expect("the transfer goes on"));
        let mut back = vec![0; length];
        reading.read_exact(&mut back).unwrap_or_else(|error| panic!("{} from {to}: {error}", from.name));
        assert!(back == sent, "{} from {to}: other bytes than were sent", from.name);
    });
}

/// A status document in which every packet has been counted, which one taken amid a burst may not be.
fn settled(cluster: &Cluster, node: &str) -> Value {
    wait_for("the counters to come to rest", || {
        let counted = |status: &Value| (status["path"].clone(), status["drops"].clone());
        let (first, second) = (cluster.status(node), cluster.status(node));
        (counted(&first) == counted(&second) && conserved(&second)).then_some(second)
    })
    .unwrap_or_else(|error| panic!("{error}: {} {}", cluster.status(node)["path"], cluster.status(node)["drops"]))
}

/// Whether every packet that the path received went somewhere or was dropped for a reason.
fn conserved(status: &Value) -> bool {
    let path = |name: &str| status["path"][name].as_u64().unwrap_or_else(|| panic!("no {name} in {}", status["path"]));
    // The worker drops packets that the path did not see, or had counted as sent.
    let drops = DropReason::ALL[..DropReason::FIRST_OF_WORKER].iter();
    let drops: u64 = drops.filter_map(|reason| status["drops"][reason.name()].as_u64()).sum();
    let elsewhere: u64 = ["forwarded", "arp_replies", "neighbour_replies", "echo_replies", "punted", "parked"]
        .map(path)
        .into_iter()
        .sum();
    path("received") == elsewhere + drops
}

#[test]
fn pods_on_two_nodes_ping_and_talk_and_move_bulk_data_whole() {
    let cluster = Cluster::up("bulk");
    let (client, web_b) = (cluster.pod("client"), cluster.pod("web-b"));
    let _server = Server::start(&web_b, PORT);
    for (to, family) in web_b.at(PORT).into_iter().zip(0..) {
        assert!(client.pings(to.ip(), 5) && web_b.pings(client.addresses[family], 5), "{to}");
        let answer = client.tcp(to);
        assert_eq!(
            (answer.server.as_str(), answer.seen.ip()),
            ("web-b", client.addresses[family]),
            "by its own address"
        );
        transfer(&client, to, BULK);
    }
    for node in ["node-a", "node-b"] {
        for counter in ["super_frames_cut", "segments_joined", "super_frames_joined"] {
            assert!(cluster.looped(node, counter) > 0, "{node}: {counter}: {}", cluster.status(node)["workers"]);
        }
        settled(&cluster, node);
    }
}
