//! Large values of earlier generations that nobody holds any more, to be written over instead of asking for memory.
//!
//! A flat copy for each change would be asked for and given back again and again, between small things that stay: the gaps that
//! it leaves are soon a little too small for the next one, and the process grows.

use std::sync::Arc;

/// Generations that may hold a value at a time: the latest, one that workers are leaving, and one being made.
const KEPT: usize = 3;

/// Values of earlier generations.
#[derive(Clone, Debug)]
pub(crate) struct Spare<T> {
    earlier: Vec<Arc<T>>,
}

impl<T> Default for Spare<T> {
    fn default() -> Spare<T> {
        Spare { earlier: Vec::new() }
    }
}

impl<T: Default> Spare<T> {
    /// Keeps a value that is not the latest any more.
    pub(crate) fn keep(&mut self, value: Arc<T>) {
        if self.earlier.len() == KEPT {
            self.earlier.remove(0);
        }
        self.earlier.push(value);
    }

    /// A value to write over: one that nobody else holds, or a new one.
    pub(crate) fn take(&mut self) -> T {
        let free = self.earlier.iter().position(|value| Arc::strong_count(value) == 1);
        let value = free.and_then(|position| Arc::into_inner(self.earlier.remove(position)));
        value.unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_somebody_holds_is_never_written_over() {
        let mut spare = Spare::default();
        let held = Arc::new(vec![1]);
        spare.keep(Arc::clone(&held));
        assert_eq!(spare.take(), Vec::<i32>::new());
        drop(held);
        assert_eq!(spare.take(), [1]);
    }

    #[test]
    fn no_more_are_kept_than_can_be_in_use() {
        let mut spare = Spare::default();
        let held: Vec<Arc<i32>> = (0..10).map(Arc::new).collect();
        held.iter().for_each(|value| spare.keep(Arc::clone(value)));
        assert_eq!(held.iter().filter(|value| Arc::strong_count(value) > 1).count(), KEPT);
    }
}
