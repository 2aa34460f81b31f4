//! How many frames a port keeps on its fill ring.

/// On the ring of a port that is quiet, at most: 512 KiB.
const QUIET: u32 = 128;

/// A new port takes one in so many of the frames that are free: the first ones have room for bursts, and those that come
/// when memory is short still get some. The 110 pods that a kubelet allows leave a quarter of the least memory to those that are busy.
const SHARE: usize = 96;

/// Each time a ring is found drained packets may have been lost, so there should be few such times.
const GROWTH: u32 = 4;

/// Where memory is short: enough for one packet of the greatest length.
const LEAST: u32 = 20;

/// How many of all frames a port's fill ring may come to hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum FillShare {
    /// A quarter: a port like many others.
    #[default]
    Quarter,
    /// Half: a port that what comes for all the others comes by, so that the time for which its worker may be kept from
    /// its core without a loss is twice as long.
    Half,
}

impl FillShare {
    fn of(self, frames: u32) -> u32 {
        match self {
            FillShare::Quarter => frames / 4,
            FillShare::Half => frames / 2,
        }
    }
}

/// The number of frames that a port keeps on its fill ring. It starts low and is multiplied by [`GROWTH`] whenever the kernel
/// is found to have used much of it, so that a quiet port binds little memory and a busy one is not starved.
///
/// Frames on a fill ring cannot be taken off again, and every port draws on the same memory. Hence ports that are busy grow
/// only while that leaves a quarter of it free, and give way once less than an eighth is: the rest belongs to ports yet to
/// come.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Level {
    target: u32,
    most: u32,
}

impl Level {
    /// For a ring of `size` entries, when `left` of all `frames` are free. The port never holds more than `share` of all.
    pub(crate) fn new(size: u32, share: FillShare, left: usize, frames: u32) -> Level {
        let most = size.min(share.of(frames));
        let share = u32::try_from(left / SHARE).unwrap_or(QUIET);
        Level { target: share.clamp(LEAST, QUIET).min(most), most }
    }

    /// Frames to keep on the ring.
    #[inline]
    pub(crate) fn target(self) -> u32 {
        self.target
    }

    /// Before a refill: whether the kernel was found to have `drained` the ring, and how many of all `frames` would be `left`
    /// free after a refill to the target as it is.
    #[inline]
    pub(crate) fn adapt(&mut self, drained: bool, left: usize, frames: u32) {
        let frames = frames as usize;
        if left < frames / 8 {
            self.target = (self.target / 2).max(LEAST.min(self.most));
        } else if drained {
            let wanted = self.target.saturating_mul(GROWTH).min(self.most);
            let spare = u32::try_from(left.saturating_sub(frames / 4)).unwrap_or(u32::MAX);
            self.target = wanted.min(self.target.saturating_add(spare));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::FillShare::{Half, Quarter};
    use super::*;

    #[test]
    fn grows_when_drained_and_never_beyond_the_ring() {
        let mut level = Level::new(1024, Quarter, 16_384, 16_384);
        level.adapt(false, 4096, 4096);
        assert_eq!(level.target(), QUIET);
        (0..9).for_each(|_| level.adapt(true, 4096, 4096));
        assert_eq!(level.target(), 1024);
        assert_eq!(Level::new(64, Quarter, 16_384, 16_384).target(), 64);
        let mut level = Level::new(2048, Quarter, 1024, 1024);
        (0..9).for_each(|_| level.adapt(true, 1024, 1024));
        assert_eq!(level.target(), 256, "a quarter of all");
        let mut level = Level::new(2048, Half, 1024, 1024);
        (0..9).for_each(|_| level.adapt(true, 1024, 1024));
        assert_eq!(level.target(), 512, "half of all");
    }

    #[test]
    fn a_new_port_takes_its_share_of_what_is_free() {
        for (left, target) in [(0, LEAST), (1920, 20), (3072, 32), (6144, 64), (12_288, QUIET), (1 << 24, QUIET)] {
            assert_eq!(Level::new(2048, Quarter, left, 1 << 24).target(), target, "{left} free");
        }
    }

    #[test]
    fn the_pods_that_a_kubelet_allows_fit_the_smallest_memory_worth_having() {
        let mut left = 4096;
        for _ in 0..=110 {
            left -= Level::new(2048, Quarter, left, 4096).target() as usize;
        }
        assert!(left > 4096 / 4, "{left} frames for those that are busy and for packets on their way");
    }

    #[test]
    fn grows_only_where_that_leaves_a_quarter_of_the_memory_free() {
        let mut level = Level::new(2048, Quarter, 16_384, 16_384);
        level.adapt(true, 1024, 4096);
        assert_eq!(level.target(), QUIET);
        level.adapt(true, 1024 + 5, 4096);
        assert_eq!(level.target(), QUIET + 5);
        level.adapt(true, 4096, 4096);
        assert_eq!(level.target(), GROWTH * (QUIET + 5));
    }

    #[test]
    fn gives_way_where_memory_is_short_but_keeps_room_for_one_packet() {
        let mut level = Level::new(2048, Quarter, 16_384, 16_384);
        (0..9).for_each(|_| level.adapt(true, 4096, 4096));
        level.adapt(true, 511, 4096);
        assert_eq!(level.target(), 1024);
        (0..9).for_each(|_| level.adapt(true, 0, 4096));
        assert_eq!(level.target(), LEAST);
        assert!(LEAST as usize >= crate::MAX_SEGMENTS);
    }
}
