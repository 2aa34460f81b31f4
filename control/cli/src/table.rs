//! Tables for the terminal.

use std::fmt::Display;

use comfy_table::{Table, presets};

/// A table without lines, with these headings.
pub(crate) fn new<const N: usize>(headings: [&str; N]) -> Table {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_header(headings);
    table
}

/// Several things in one cell.
pub(crate) fn list<T: Display>(things: &[T]) -> String {
    things.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")
}
