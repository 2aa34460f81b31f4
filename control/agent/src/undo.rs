//! Steps to take back when a later one fails.

use std::fmt::Display;

use tracing::error;

type Step<'a> = (&'static str, Box<dyn FnOnce() -> Result<(), Box<dyn Display>> + 'a>);

/// Undoes the steps registered with it, last first, unless it is kept.
#[derive(Default)]
pub(crate) struct Undo<'a> {
    steps: Vec<Step<'a>>,
}

impl<'a> Undo<'a> {
    /// Registers how to take back what was just done. A failure of it is logged and does not stop the others.
    pub(crate) fn push<E: Display + 'static>(&mut self, what: &'static str, step: impl FnOnce() -> Result<(), E> + 'a) {
        self.steps.push((what, Box::new(move || step().map_err(|e| Box::new(e) as Box<dyn Display>))));
    }

    /// Everything succeeded: nothing is taken back.
    pub(crate) fn keep(mut self) {
        self.steps.clear();
    }
}

impl Drop for Undo<'_> {
    fn drop(&mut self) {
        while let Some((what, step)) = self.steps.pop() {
            if let Err(failure) = step() {
                error!(%failure, "cannot {what} after a failed attachment");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::*;

    #[test]
    fn steps_are_taken_back_last_first_even_past_a_failure() {
        let taken = RefCell::new(Vec::new());
        let mut undo = Undo::default();
        for n in 0..3 {
            let taken = &taken;
            undo.push("count", move || {
                taken.borrow_mut().push(n);
                if n == 1 { Err("stuck") } else { Ok(()) }
            });
        }
        drop(undo);
        assert_eq!(*taken.borrow(), [2, 1, 0]);
    }

    #[test]
    fn what_is_kept_is_not_taken_back() {
        let taken = RefCell::new(0);
        let mut undo = Undo::default();
        undo.push("count", || {
            *taken.borrow_mut() += 1;
            Ok::<_, String>(())
        });
        undo.keep();
        assert_eq!(*taken.borrow(), 0);
    }
}
