//! The rows of the table: which figure each shows, and what it is held to (see `docs/performance.md`).

/// What a row shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Figure {
    /// What a case costs.
    Of(&'static str),
    /// What the first case costs more than the second.
    More(&'static str, &'static str),
    /// What a case costs without asking the connection table whether the bookmark of its connection still holds.
    WithoutBookmarks(&'static str),
}

/// Instructions and nanoseconds a packet.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Target {
    pub(super) instructions: Option<u32>,
    pub(super) nanos: Option<u32>,
}

/// One row.
#[derive(Clone, Copy, Debug)]
pub(super) struct Row {
    pub(super) name: &'static str,
    pub(super) figure: Figure,
    /// What it has to be below.
    pub(super) must: Target,
    /// What would be as good as it gets.
    pub(super) aim: Target,
}

const NONE: Target = Target { instructions: None, nanos: None };

const fn both(instructions: u32, nanos: u32) -> Target {
    Target { instructions: Some(instructions), nanos: Some(nanos) }
}

const fn instructions(instructions: u32) -> Target {
    Target { instructions: Some(instructions), nanos: None }
}

const fn nanos(nanos: u32) -> Target {
    Target { instructions: None, nanos: Some(nanos) }
}

const fn row(name: &'static str, figure: Figure, must: Target, aim: Target) -> Row {
    Row { name, figure, must, aim }
}

use Figure::{More, Of, WithoutBookmarks};

/// All of them, in the order in which a packet's way grows longer.
pub(super) const ROWS: [Row; 18] = [
    row("parse, L2/L3, to a local port", WithoutBookmarks("established"), both(130, 19), both(65, 9)),
    row("+ established connection", Of("established"), both(180, 26), both(90, 13)),
    row("+ Service DNAT", Of("service"), both(215, 31), both(110, 16)),
    row("+ Service DNAT, reverse", Of("service-reply"), both(215, 31), both(110, 16)),
    row("+ NetworkPolicy, the difference", More("policy", "established"), instructions(10), instructions(3)),
    row("+ into VXLAN, the difference", More("vxlan", "established"), instructions(60), instructions(25)),
    row("+ into Geneve, the difference", More("geneve", "established"), instructions(60), instructions(25)),
    row("out of VXLAN, the difference", More("vxlan-reply", "established"), NONE, NONE),
    row("out of Geneve, the difference", More("geneve-reply", "established"), NONE, NONE),
    row("full path", Of("full"), both(285, 41), both(138, 20)),
    row("full path, reply", Of("full-reply"), NONE, NONE),
    row("full path, IPv6", Of("full-v6"), NONE, NONE),
    row("full path, 1,000,000 connections", Of("full-1m"), nanos(120), nanos(55)),
    row("first packet, large tables", Of("first"), both(1500, 250), both(500, 90)),
    row("first packet, small tables", Of("first-small"), NONE, NONE),
    row("established, large tables", Of("established-large"), both(180, 26), both(90, 13)),
    row("Service DNAT, large tables", Of("service-large"), both(215, 31), both(110, 16)),
    row("full path, large tables", Of("full-large"), both(285, 41), both(138, 20)),
];

#[cfg(test)]
mod tests {
    use super::super::case::named;
    use super::*;

    #[test]
    fn every_row_is_of_cases_that_there_are() {
        for row in ROWS {
            let names = match row.figure {
                Of(name) | WithoutBookmarks(name) => vec![name],
                More(name, other) => vec![name, other],
            };
            assert!(names.iter().all(|name| named(name).is_some()), "{}", row.name);
        }
    }
}
