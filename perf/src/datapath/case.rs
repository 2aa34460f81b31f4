//! What is measured: each case is a world, connections in it, and which of their packets are sent.

use sluice_tables::{Encapsulation, Family};

use super::addresses::PODS;
use super::frames::Route;
use super::world::{Scale, Setup};

/// Packets of which connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Packets {
    /// Of known connections, from the client.
    Requests,
    /// Of known connections, from the server.
    Replies,
    /// The first of connections that nobody has seen.
    First,
}

/// One case.
#[derive(Clone, Copy, Debug)]
pub(super) struct Case {
    /// In one word.
    pub(super) name: &'static str,
    pub(super) setup: Setup,
    pub(super) route: Route,
    pub(super) family: Family,
    pub(super) packets: Packets,
    /// Connections that packets are drawn from.
    pub(super) flows: u32,
    /// Pods that connections come from.
    pub(super) clients: u32,
}

impl Case {
    /// Whether its instructions are counted: not where they are those of another case and only memory is farther away, as
    /// setting it up takes minutes under callgrind.
    pub(super) fn is_counted(&self) -> bool {
        self.packets == Packets::First || (self.setup.scale.services < 10 && self.flows == FEW)
    }
}

/// Connections of the cases that have few.
const FEW: u32 = 256;
/// Connections of the case that has many.
pub(super) const MANY: u32 = 1_000_000;

const SMALL: Setup = Setup { scale: Scale::SMALL, encapsulation: Encapsulation::Vxlan, connections: 65_536 };
const POLICED: Setup = Setup { scale: Scale::POLICED, ..SMALL };
const GENEVE: Setup = Setup { encapsulation: Encapsulation::Geneve, ..SMALL };
const LARGE: Setup = Setup { scale: Scale::LARGE, ..SMALL };

const fn requests(name: &'static str, setup: Setup, route: Route) -> Case {
    Case { name, setup, route, family: Family::V4, packets: Packets::Requests, flows: FEW, clients: 1 }
}

const fn replies(name: &'static str, setup: Setup, route: Route) -> Case {
    Case { packets: Packets::Replies, ..requests(name, setup, route) }
}

/// All of them, in the order in which they are measured and printed.
pub(super) const CASES: [Case; 17] = [
    requests("established", SMALL, Route::Local),
    requests("service", SMALL, Route::LocalService),
    replies("service-reply", SMALL, Route::LocalService),
    requests("policy", POLICED, Route::Local),
    requests("vxlan", SMALL, Route::Remote),
    replies("vxlan-reply", SMALL, Route::Remote),
    requests("geneve", GENEVE, Route::Remote),
    replies("geneve-reply", GENEVE, Route::Remote),
    requests("full", POLICED, Route::RemoteService),
    replies("full-reply", POLICED, Route::RemoteService),
    Case { family: Family::V6, ..requests("full-v6", POLICED, Route::RemoteService) },
    requests("established-large", LARGE, Route::Local),
    requests("service-large", LARGE, Route::LocalService),
    requests("full-large", LARGE, Route::RemoteService),
    Case {
        flows: MANY,
        clients: PODS,
        ..requests("full-1m", Setup { connections: MANY + 65_536, ..POLICED }, Route::RemoteService)
    },
    Case {
        packets: Packets::First,
        flows: MANY,
        clients: PODS,
        ..requests("first", Setup { connections: MANY, ..LARGE }, Route::AnyService(LARGE.scale.services))
    },
    Case {
        packets: Packets::First,
        flows: FEW * 64,
        clients: PODS,
        ..requests("first-small", SMALL, Route::RemoteService)
    },
];

/// The case of that name.
pub(super) fn named(name: &str) -> Option<&'static Case> {
    CASES.iter().find(|case| case.name == name)
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn names_are_single_and_lead_to_their_case() {
        let names: HashSet<_> = CASES.iter().map(|case| case.name).collect();
        assert_eq!(names.len(), CASES.len());
        assert!(CASES.iter().all(|case| named(case.name).is_some_and(|found| found.name == case.name)));
    }

    #[test]
    fn every_connection_fits_its_table() {
        assert!(CASES.iter().all(|case| case.flows <= case.setup.connections));
    }
}
