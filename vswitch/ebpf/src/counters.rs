//! What the uplink's program did with the packets it saw.
use aya::maps::{MapData, MapError, PerCpuArray};

/// Packets that an uplink's program saw, by what became of them; summed over processors. Keep in step with `enum kind` in
/// `uplink.bpf.c`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct UplinkCounters {
    /// Passed to the node's stack, as nothing claims them.
    pub passed: u64,
    /// Passed, as a header does not fit the packet, or has more extension headers than are walked.
    pub passed_malformed: u64,
    /// Claimed, and passed as no socket serves the queue they came in by.
    pub passed_no_socket: u64,
    /// Taken: UDP to the tunnel address and port.
    pub taken_tunnel: u64,
    /// Taken: to a claimed prefix.
    pub taken_address: u64,
    /// Taken: to a port claimed on a node address.
    pub taken_node_port: u64,
    /// Taken: to a masquerade port, or an echo reply with such an identifier.
    pub taken_masquerade: u64,
    /// Taken: ICMP errors about packets that the switch sent.
    pub taken_related: u64,
    /// Taken: fragments to a node address.
    pub taken_fragment: u64,
}

/// How many kinds there are.
const KINDS: usize = 9;

impl UplinkCounters {
    pub(crate) fn read(map: &PerCpuArray<MapData, u64>) -> Result<UplinkCounters, MapError> {
        let mut sums = [0_u64; KINDS];
        for (kind, sum) in (0..).zip(&mut sums) {
            *sum = map.get(&kind, 0)?.iter().fold(0, |sum, one| sum.wrapping_add(*one));
        }
        let [passed, passed_malformed, passed_no_socket, tunnel, address, node_port, masquerade, related, fragment] =
            sums;
        Ok(UplinkCounters {
            passed,
            passed_malformed,
            passed_no_socket,
            taken_tunnel: tunnel,
            taken_address: address,
            taken_node_port: node_port,
            taken_masquerade: masquerade,
            taken_related: related,
            taken_fragment: fragment,
        })
    }

    /// Packets taken, of every kind.
    pub fn taken(&self) -> u64 {
        self.list()[3..].iter().map(|(_, count)| count).sum()
    }

    /// Each counter's name and value, in a fixed order: first what passed, then what was taken.
    pub fn list(&self) -> [(&'static str, u64); KINDS] {
        [
            ("passed", self.passed),
            ("passed_malformed", self.passed_malformed),
            ("passed_no_socket", self.passed_no_socket),
            ("taken_tunnel", self.taken_tunnel),
            ("taken_address", self.taken_address),
            ("taken_node_port", self.taken_node_port),
            ("taken_masquerade", self.taken_masquerade),
            ("taken_related", self.taken_related),
            ("taken_fragment", self.taken_fragment),
        ]
    }
}
