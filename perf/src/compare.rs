//! `sluice-perf compare`: what differs between two runs, and which of it is more than chance.

use anyhow::Result;

use crate::args::CompareArgs;
use crate::report;
use crate::results::{self, CaseResult, Document, Series};
use crate::run::{Better, short};
use crate::stats::{mann_whitney, ratio_interval};

/// Rarer than this by chance alone is called a difference.
const SIGNIFICANT: f64 = 0.05;

/// One figure in both runs.
#[derive(Debug, Clone, PartialEq)]
struct Row {
    what: String,
    peer: String,
    figure: String,
    medians: [f64; 2],
    /// Of the second run's median to the first one's, with 95 % confidence.
    interval: Option<(f64, f64)>,
    /// How probable such a difference is by chance.
    chance: Option<f64>,
    better: Better,
}

impl Row {
    fn is_significant(&self) -> bool {
        self.chance.is_some_and(|chance| chance < SIGNIFICANT)
    }

    fn word(&self) -> &'static str {
        let rises = self.medians[1] > self.medians[0];
        match (self.is_significant(), rises == (self.better == Better::Higher)) {
            (false, _) => "no difference shown",
            (true, true) => "better",
            (true, false) => "worse",
        }
    }

    fn cells(&self) -> [String; 8] {
        let [one, other] = self.medians;
        let ratio = if one > 0.0 { format!("{:.2} x", other / one) } else { "-".to_owned() };
        let interval = self.interval.map_or("-".to_owned(), |(low, high)| format!("{low:.2} to {high:.2}"));
        let chance = self.chance.map_or("-".to_owned(), |chance| format!("{chance:.3}"));
        let (what, peer, figure) = (self.what.clone(), self.peer.clone(), self.figure.clone());
        [format!("{what}: {figure}"), peer, short(one), short(other), ratio, interval, chance, self.word().to_owned()]
    }
}

/// Prints what two files of results have in common, and how it differs.
pub(crate) fn run(args: &CompareArgs) -> Result<()> {
    let (one, other) = (results::read(&args.first)?, results::read(&args.second)?);
    for warning in warnings(&one, &other) {
        println!("{warning}");
    }
    let (rows, alone) = compare(&one, &other);
    let columns = ["WHAT", "PEER", "FIRST", "SECOND", "RATIO", "95 % OF THE RATIO", "CHANCE", "SECOND IS"];
    report::text_table("Medians of the valid trials", columns, rows.iter().map(Row::cells));
    for what in &alone {
        println!("only in one of the two: {what}");
    }
    println!("{}", explanation(&rows));
    Ok(())
}

/// How to read the table.
fn explanation(rows: &[Row]) -> String {
    let found = rows.iter().filter(|row| row.is_significant()).count();
    let by_chance = rows.len() as f64 * SIGNIFICANT;
    format!(
        "better and worse: by the Mann-Whitney test, two-sided, such a difference of two equal runs has a chance below \
         {SIGNIFICANT}; four trials against four are the fewest that can show one. Of {} comparisons {found} are called \
         different, where {by_chance:.1} would be by chance alone.\nThe range of the ratio is bootstrapped from the trials.",
        rows.len()
    )
}

/// Why the two may differ for other reasons than what is measured.
fn warnings(one: &Document, other: &Document) -> Vec<String> {
    let mut warnings = Vec::new();
    let mut differ = |what: &str, one: String, other: String| {
        if one != other {
            warnings.push(format!("{what} differs: {one}, then {other}"));
        }
    };
    differ("processor", one.machine.processor.clone(), other.machine.processor.clone());
    differ("kernel", one.machine.kernel.clone(), other.machine.kernel.clone());
    differ("number of cores", one.machine.cores.len().to_string(), other.machine.cores.len().to_string());
    differ("release build", one.machine.release_build.to_string(), other.machine.release_build.to_string());
    differ("mitigations", format!("{:?}", one.machine.mitigations), format!("{:?}", other.machine.mitigations));
    differ("seconds of a trial", one.seconds.to_string(), other.seconds.to_string());
    warnings
}

/// Every series of a document, with where it is.
fn all(document: &Document) -> impl Iterator<Item = (&str, &CaseResult, &Series)> {
    document.scenarios.iter().flat_map(|scenario| {
        let name = scenario.name.as_str();
        scenario.cases.iter().flat_map(move |case| case.series.iter().map(move |series| (name, case, series)))
    })
}

/// What both have, figure by figure, and what one of them has alone.
fn compare(one: &Document, other: &Document) -> (Vec<Row>, Vec<String>) {
    let mut rows = Vec::new();
    let mut alone = Vec::new();
    let what = |name: &str, case: &CaseResult, series: &Series| format!("{name}: {}; {}", case.what, series.title);
    let same = |a: (&str, &CaseResult, &Series), b: (&str, &CaseResult, &Series)| {
        a.0 == b.0
            && a.1.topology == b.1.topology
            && (&a.2.measure, &a.2.load, &a.2.peer) == (&b.2.measure, &b.2.load, &b.2.peer)
    };
    for found in all(one) {
        let Some(beside) = all(other).find(|beside| same(found, *beside)) else {
            alone.push(format!("{}, {}", what(found.0, found.1, found.2), found.2.peer));
            continue;
        };
        for figure in one.measures.get(&found.2.measure).into_iter().flatten() {
            let values = [found.2.values(&figure.name), beside.2.values(&figure.name)];
            let medians = values.each_ref().map(|values| crate::stats::spread(values.iter().copied()));
            let [Some(first), Some(second)] = medians else { continue };
            rows.push(Row {
                what: what(found.0, found.1, found.2),
                peer: found.2.peer.clone(),
                figure: format!("{}, {}", figure.label, figure.unit),
                medians: [first.median, second.median],
                interval: ratio_interval(&values[0], &values[1]),
                chance: mann_whitney(&values[0], &values[1]),
                better: figure.better,
            });
        }
    }
    for found in all(other) {
        if !all(one).any(|beside| same(found, beside)) {
            alone.push(format!("{}, {}", what(found.0, found.1, found.2), found.2.peer));
        }
    }
    (rows, alone)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::results::tests::document;

    #[test]
    fn what_rose_beyond_chance_is_better_and_what_did_not_is_nothing() {
        let one =
            document(&[("direct", &[0.0, 9.0, 10.0, 11.0, 10.5, 9.5]), ("sluice", &[0.0, 5.0, 5.1, 5.2, 5.3, 5.4])]);
        let other =
            document(&[("direct", &[0.0, 9.1, 10.1, 10.9, 10.4, 9.6]), ("sluice", &[0.0, 6.0, 6.1, 6.2, 6.3, 6.4])]);
        let (rows, alone) = compare(&one, &other);
        let words: Vec<_> = rows.iter().map(|row| (row.peer.as_str(), row.word())).collect();
        assert_eq!(words, [("direct", "no difference shown"), ("sluice", "better")]);
        assert!(alone.is_empty(), "{alone:?}");
        let cells = rows[1].cells();
        assert_eq!(&cells[2..5], ["5.20", "6.20", "1.19 x"]);
        let (back, _) = compare(&other, &one);
        assert_eq!(back[1].word(), "worse");
        assert!(explanation(&rows).contains("Of 2 comparisons 1 are called different"), "{}", explanation(&rows));
    }

    #[test]
    fn what_only_one_has_is_named() {
        let one = document(&[("direct", &[0.0, 9.0]), ("bridge", &[0.0, 9.0])]);
        let other = document(&[("direct", &[0.0, 9.0]), ("sluice", &[0.0, 9.0])]);
        let (rows, alone) = compare(&one, &other);
        assert_eq!(rows.len(), 1);
        assert_eq!(alone.len(), 2);
        assert!(alone[0].ends_with("bridge") && alone[1].ends_with("sluice"), "{alone:?}");
    }

    #[test]
    fn another_machine_is_said() {
        let one = document(&[]);
        let mut other = one.clone();
        assert!(warnings(&one, &other).is_empty());
        other.machine.kernel = "1.2".to_owned();
        other.seconds = 9.0;
        assert_eq!(warnings(&one, &other).len(), 2);
    }
}
