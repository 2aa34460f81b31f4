//! Where a record is: 32 bits that an index entry can hold beside the direction.

use crate::Direction;

/// Most records that a pool may have: two of an entry's 32 bits name pool and direction.
pub(crate) const MAX_RECORDS: u32 = 1 << 30;

/// Which of the two pools a record is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Family {
    /// Records of one line.
    V4,
    /// Records of two lines.
    V6,
}

/// A record's pool (bit 31) and place in it (bits 0 to 29). Bit 30 is 0 here; in an index entry it is the direction.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Place(u32);

impl Place {
    #[inline]
    pub(crate) const fn new(family: Family, index: u32) -> Place {
        Place(index & (MAX_RECORDS - 1) | (family as u32) << 31)
    }

    #[inline]
    pub(crate) const fn family(self) -> Family {
        if self.0 >> 31 == 0 { Family::V4 } else { Family::V6 }
    }

    #[inline]
    pub(crate) const fn index(self) -> u32 {
        self.0 & (MAX_RECORDS - 1)
    }

    /// The same in that family's pool, and a number beyond it for a place in the other's.
    #[inline]
    pub(crate) const fn index_in(self, family: Family) -> usize {
        (self.0 ^ (family as u32) << 31) as usize
    }

    /// The index entry that leads here for packets of `direction`.
    #[inline]
    pub(crate) const fn entry(self, direction: Direction) -> u32 {
        self.0 | (direction as u32) << 30
    }

    /// What an index entry leads to.
    #[inline]
    pub(crate) const fn of_entry(entry: u32) -> (Place, Direction) {
        let direction = if entry >> 30 & 1 == 0 { Direction::Original } else { Direction::Reply };
        (Place(entry & !(1 << 30)), direction)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_leads_back_to_its_record_and_direction() {
        for family in [Family::V4, Family::V6] {
            for index in [0, 1, 999_999, MAX_RECORDS - 1] {
                for direction in [Direction::Original, Direction::Reply] {
                    let place = Place::new(family, index);
                    assert_eq!((place.family(), place.index()), (family, index));
                    assert_eq!(Place::of_entry(place.entry(direction)), (place, direction));
                }
            }
        }
    }
}
