//! Rust source as the checks read it: the code without comments and literals, and its words.
//!
//! A scanner of a hundred lines and not a parser: it has to find words and module declarations, and must neither be
//! misled by a comment nor refuse a file that the compiler takes.

/// `source` with every comment and every string and character literal blanked. Line breaks and byte offsets stay, so
/// a place in the result is the same place in `source`.
pub(crate) fn code_only(source: &str) -> String {
    let bytes = source.as_bytes();
    let mut out = bytes.to_vec();
    let mut at = 0;
    while at < bytes.len() {
        let end = blank_until(bytes, at);
        match end {
            Some(end) => {
                for byte in &mut out[at..end] {
                    if *byte != b'\n' {
                        *byte = b' ';
                    }
                }
                at = end;
            }
            // A whole word at once, so that the r of `for"` is not taken for a raw string.
            None => at += word_length(&bytes[at..]).max(1),
        }
    }
    // Blanks replace whole literals and comments, so no character is cut.
    String::from_utf8_lossy(&out).into_owned()
}

/// The end of the comment or literal that starts at `at`; `None` when code stands there.
fn blank_until(bytes: &[u8], at: usize) -> Option<usize> {
    let rest = &bytes[at..];
    if rest.starts_with(b"//") {
        return Some(at + rest.iter().position(|b| *b == b'\n').unwrap_or(rest.len()));
    }
    if rest.starts_with(b"/*") {
        return Some(at + block_comment(rest));
    }
    let prefix = rest.iter().take_while(|b| matches!(b, b'b' | b'c' | b'r')).count();
    let raw = rest[..prefix].contains(&b'r');
    let after = &rest[prefix..];
    match after.first() {
        Some(b'"') if !raw => Some(at + prefix + quoted(after, b'"')),
        Some(b'"' | b'#') if raw => raw_string(after).map(|length| at + prefix + length),
        Some(b'\'') if prefix == 0 || &rest[..prefix] == b"b" => character(after).map(|length| at + prefix + length),
        _ => None,
    }
}

fn block_comment(rest: &[u8]) -> usize {
    let (mut depth, mut at) = (0usize, 0);
    while at < rest.len() {
        if rest[at..].starts_with(b"/*") {
            (depth, at) = (depth + 1, at + 2);
        } else if rest[at..].starts_with(b"*/") {
            (depth, at) = (depth - 1, at + 2);
            if depth == 0 {
                return at;
            }
        } else {
            at += 1;
        }
    }
    rest.len()
}

/// Length of a literal with escapes, both quotes counted.
fn quoted(rest: &[u8], quote: u8) -> usize {
    let mut at = 1;
    while at < rest.len() {
        match rest[at] {
            b'\\' => at += 2,
            byte if byte == quote => return at + 1,
            _ => at += 1,
        }
    }
    rest.len()
}

/// Length of `#"..."#` with any number of `#`; `None` for a raw identifier.
fn raw_string(rest: &[u8]) -> Option<usize> {
    let hashes = rest.iter().take_while(|b| **b == b'#').count();
    if rest.get(hashes) != Some(&b'"') {
        return None;
    }
    let mut close = vec![b'"'];
    close.resize(hashes + 1, b'#');
    let body = hashes + 1;
    let found = rest[body..].windows(close.len()).position(|window| window == close);
    Some(found.map_or(rest.len(), |position| body + position + close.len()))
}

/// Length of a character literal; `None` for a lifetime.
fn character(rest: &[u8]) -> Option<usize> {
    match rest.get(1)? {
        b'\\' => Some(quoted(rest, b'\'')),
        byte if *byte >= 0x80 => Some(quoted(rest, b'\'')),
        _ if rest.get(2) == Some(&b'\'') => Some(3),
        _ => None,
    }
}

fn word_length(rest: &[u8]) -> usize {
    rest.iter().take_while(|b| b.is_ascii_alphanumeric() || **b == b'_' || **b >= 0x80).count()
}

/// The words and single signs of code that went through [`code_only`], each with its byte offset.
pub(crate) fn tokens(code: &str) -> Vec<(usize, &str)> {
    let bytes = code.as_bytes();
    let mut found = Vec::new();
    let mut at = 0;
    while at < bytes.len() {
        let length = word_length(&bytes[at..]).max(1);
        if !bytes[at].is_ascii_whitespace() {
            found.push((at, &code[at..at + length]));
        }
        at += length;
    }
    found
}

/// The line, counted from 1, of a byte offset.
pub(crate) fn line_of(text: &str, offset: usize) -> usize {
    text.as_bytes()[..offset].iter().filter(|b| **b == b'\n').count() + 1
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(source: &str) -> Vec<String> {
        tokens(&code_only(source)).into_iter().map(|(_, word)| word.to_owned()).collect()
    }

    #[test]
    fn comments_and_literals_vanish_and_offsets_stay() {
        let source = "a /* x /* y */ z */ b // c\nd \"e \\\" f\" r#\"g \" h\"# 'i' '\\'' b\"j\" k";
        assert_eq!(code_only(source).len(), source.len());
        assert_eq!(words(source), ["a", "b", "d", "k"]);
    }

    #[test]
    fn lifetimes_raw_identifiers_and_words_that_end_in_r_are_code() {
        assert_eq!(words("&'a r#mod for\"x\" '\u{e9}' z"), ["&", "'", "a", "r", "#", "mod", "for", "z"]);
    }

    #[test]
    fn what_is_never_closed_ends_with_the_file() {
        for source in ["/* a", "\"a", "r#\"a", "'\\", "\"\\"] {
            assert_eq!(words(source), [""; 0], "{source}");
        }
    }

    #[test]
    fn lines_are_counted_from_one() {
        assert_eq!(line_of("a\nb\nc", 0), 1);
        assert_eq!(line_of("a\nb\nc", 4), 3);
    }
}
