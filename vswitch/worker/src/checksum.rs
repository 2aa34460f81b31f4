//! Completing a partial checksum in software, for a port that cannot ask the receiver's device to do it.
use sluice_wire::checksum::Sum;
use sluice_xsk::{Partial, Segment, Umem};

/// Sums the packet from `partial.start` to its end, over all its segments, and stores the complement in the field.
///
/// The field holds the pseudo-header sum, which is thereby part of the sum (RFC 1071; Linux `CHECKSUM_PARTIAL`). A field that
/// does not lie in the first segment is left as it is: the path promises that headers do.
pub(crate) fn complete(umem: &Umem, packet: &mut [Segment], partial: Partial) {
    let Some((head, rest)) = packet.split_first() else { return };
    let start = usize::from(partial.start);
    let field = start + usize::from(partial.offset);
    let head_bytes = umem.bytes(head);
    let Some(summed) = head_bytes.get(start..) else { return };
    if field + 2 > head_bytes.len() {
        return;
    }
    let mut sum = Sum::new().add_bytes(summed);
    for segment in rest {
        sum = sum.add_bytes(umem.bytes(segment));
    }
    // A computed zero means "none" in UDP; its other form is all ones, which TCP receivers take as well.
    let value = match sum.finish() {
        0 => 0xffff,
        value => value,
    };
    let head = &mut packet[0];
    let at = usize::from(head.offset) + field;
    umem.chunk_mut(&mut head.frame)[at..at + 2].copy_from_slice(&value.to_be_bytes());
}
