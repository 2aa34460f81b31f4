//! The results as one page that needs nothing but itself: style and plots are in it, scripts are not needed.
//!
//! Everything that comes from outside the program (names, titles, reasons, what agents say) goes through [`text`].

mod axis;
mod bars;
mod groups;
mod latency;
mod loss;
mod page;

use std::fmt::Write;

pub(crate) use page::page;

/// Text as it may stand between tags and in attributes.
fn text(raw: &str) -> String {
    let mut safe = String::with_capacity(raw.len());
    for letter in raw.chars() {
        match letter {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\'' => safe.push_str("&#39;"),
            other if other.is_control() && other != '\n' => safe.push(' '),
            other => safe.push(other),
        }
    }
    safe
}

/// Units of a plot's width: a phone shows about as many pixels, so letters are as large as they are said to be.
const WIDTH: f64 = 360.0;

/// A plot of so many units of height; `label` says in words what it shows.
fn svg(height: f64, label: &str, body: &str) -> String {
    format!(
        "<svg viewBox=\"0 0 {WIDTH} {height:.0}\" role=\"img\" aria-label=\"{}\" xmlns=\"http://www.w3.org/2000/svg\">{body}</svg>\n",
        text(label)
    )
}

/// Letters at a place; `class` says how they stand and look.
fn letters(into: &mut String, x: f64, y: f64, class: &str, content: &str) {
    let _ = write!(into, "<text x=\"{x:.1}\" y=\"{y:.1}\" class=\"{class}\">{}</text>", text(content));
}

/// A straight line.
fn line(into: &mut String, from: (f64, f64), to: (f64, f64), class: &str) {
    let ((x1, y1), (x2, y2)) = (from, to);
    let _ = write!(into, "<line x1=\"{x1:.1}\" y1=\"{y1:.1}\" x2=\"{x2:.1}\" y2=\"{y2:.1}\" class=\"{class}\"/>");
}

/// Peers with their colours in rows above a plot; gives the height they take.
fn legend(into: &mut String, peers: &[(usize, &str)]) -> f64 {
    let (mut x, mut y) = (4.0, 12.0);
    for (colour, peer) in peers {
        let width = 24.0 + peer.chars().count() as f64 * 6.5;
        if x + width > WIDTH {
            (x, y) = (4.0, y + 16.0);
        }
        let _ =
            write!(into, "<rect x=\"{x:.1}\" y=\"{:.1}\" width=\"10\" height=\"10\" class=\"f{colour}\"/>", y - 9.0);
        letters(into, x + 14.0, y, "s", peer);
        x += width;
    }
    y + 8.0
}

#[cfg(test)]
mod tests;
