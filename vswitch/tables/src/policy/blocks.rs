//! `ipBlock`s with their exceptions, united into what each address may do.
//!
//! An address may do what all the blocks over it, whose exceptions are not over it, allow together. A walk over the
//! edges of blocks and exceptions keeps the ports of the blocks that are open at that address, each distinct set of
//! ports with a count, and writes down their union wherever it changes.

use std::collections::BTreeMap;

use ipnet::IpNet;

use super::Ports;
use crate::Family;
use crate::prefixes::{Prefixes, Span};

/// One `ipBlock`.
#[derive(Clone, Debug)]
pub(super) struct Block {
    pub(super) cidr: IpNet,
    /// Inside `cidr`; what lies outside of it takes nothing away.
    pub(super) except: Vec<IpNet>,
    pub(super) ports: Ports,
}

pub(super) fn resolve(blocks: &[Block]) -> Prefixes<Ports> {
    Prefixes::disjoint(walk(blocks, Family::V4), walk(blocks, Family::V6))
}

fn walk(blocks: &[Block], family: Family) -> Vec<(u128, Option<Ports>)> {
    // Which sets of ports open (+1) and close (-1) at an address.
    let mut edges: BTreeMap<u128, Vec<(&Ports, i32)>> = BTreeMap::new();
    for block in blocks.iter().filter(|block| family_of(&block.cidr) == family && !block.ports.is_none()) {
        for span in open_spans(block) {
            edges.entry(span.first).or_default().push((&block.ports, 1));
            if let Some(after) = span.last.checked_add(1) {
                edges.entry(after).or_default().push((&block.ports, -1));
            }
        }
    }
    let mut open: BTreeMap<&Ports, i32> = BTreeMap::new();
    let mut out: Vec<(u128, Option<Ports>)> = Vec::with_capacity(edges.len());
    for (start, changes) in edges {
        for (ports, change) in changes {
            *open.entry(ports).or_default() += change;
        }
        open.retain(|_, count| *count > 0);
        let united = open.keys().copied().cloned().reduce(|all, ports| all.union(&ports));
        if out.last().and_then(|(_, before)| before.as_ref()) != united.as_ref() {
            out.push((start, united));
        }
    }
    out
}

fn family_of(net: &IpNet) -> Family {
    Family::of(net.addr())
}

/// The block less its exceptions.
fn open_spans(block: &Block) -> Vec<Span> {
    let whole = Span::of(&block.cidr);
    let of_family = block.except.iter().filter(|except| family_of(except) == family_of(&block.cidr));
    let mut closed: Vec<Span> = of_family.map(Span::of).collect();
    closed.sort_unstable();
    let mut open = Vec::with_capacity(closed.len() + 1);
    let mut next = Some(whole.first);
    for span in closed {
        let Some(first) = next else { break };
        if span.last < first || span.first > whole.last {
            continue;
        }
        if span.first > first {
            open.push(Span { first, last: span.first - 1 });
        }
        next = span.last.checked_add(1).filter(|&after| after <= whole.last);
    }
    open.extend(next.map(|first| Span { first, last: whole.last }));
    open
}
