//! What somebody may have meant who wrote a name that there is not.

/// Less alike than this is not worth a hint.
const ALIKE: f64 = 0.7;

/// ` (did you mean NAME?)` with the name most alike, or nothing when none is.
pub(crate) fn nearest<'n>(name: &str, known: impl IntoIterator<Item = &'n str>) -> String {
    let scored = known.into_iter().map(|one| (strsim::jaro_winkler(name, one), one));
    let best = scored.filter(|(score, _)| *score >= ALIKE).max_by(|one, other| one.0.total_cmp(&other.0));
    best.map(|(_, one)| format!(" (did you mean {one}?)")).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_most_alike_is_named_and_nothing_else() {
        assert_eq!(nearest("brigde", ["direct", "bridge", "sluice"]), " (did you mean bridge?)");
        assert_eq!(nearest("ovs", ["direct", "bridge"]), "");
        assert_eq!(nearest("x", []), "");
    }
}
