//! How large a cluster is.

use serde::Serialize;

/// Objects of each kind.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Size {
    pub(crate) nodes: u32,
    pub(crate) services: u32,
    pub(crate) endpoints: u32,
    pub(crate) pods: u32,
    pub(crate) policies: u32,
}

/// Most endpoints in a slice, as the controller that makes them has it.
const PER_SLICE: u32 = 100;

impl Size {
    /// The endpoints of a Service: evenly shared, the rest to the first ones.
    pub(super) fn endpoints_of(self, service: u32) -> u32 {
        if self.services == 0 {
            return 0;
        }
        let (each, rest) = (self.endpoints / self.services, self.endpoints % self.services);
        each + u32::from(service < rest)
    }

    /// The slices of a Service: of each its first endpoint and how many it has.
    pub(super) fn slices_of(self, service: u32) -> impl Iterator<Item = (u32, u32)> {
        let all = self.endpoints_of(service);
        (0..all.div_ceil(PER_SLICE)).map(move |slice| (slice * PER_SLICE, PER_SLICE.min(all - slice * PER_SLICE)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_endpoint_is_in_one_slice_of_one_service() {
        let size = Size { services: 7, endpoints: 1003, ..Size::default() };
        let sum: u32 = (0..7).flat_map(|service| size.slices_of(service)).map(|(_, count)| count).sum();
        assert_eq!(sum, 1003);
        assert_eq!(size.slices_of(0).collect::<Vec<_>>(), [(0, 100), (100, 44)]);
        assert_eq!(Size::default().endpoints_of(0), 0);
    }
}
