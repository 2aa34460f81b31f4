//! The results as tables on a terminal.

use crate::report;
use crate::results::{Document, ScenarioResult, Series, Summary, judge};
use crate::scenario::Comparison;

/// Prints everything but the raw data.
pub(crate) fn print(document: &Document) {
    for scenario in &document.scenarios {
        print_scenario(document, scenario);
    }
    if !document.not_measured.is_empty() {
        println!("\nNot measured");
        document.not_measured.iter().for_each(|what| println!("  {what}"));
    }
    if !document.complete {
        println!("\nThe run was given up: these are the results until then.");
    }
}

fn print_scenario(document: &Document, scenario: &ScenarioResult) {
    println!("\n{}: {}", scenario.name, scenario.title);
    for case in &scenario.cases {
        let mut titles: Vec<&str> = Vec::new();
        for series in &case.series {
            if !titles.contains(&series.title.as_str()) {
                titles.push(&series.title);
            }
        }
        for title in titles {
            let series: Vec<&Series> = case.series.iter().filter(|series| series.title == title).collect();
            print_series(document, &format!("{}; {title}", case.what), &series);
        }
    }
    let rows = targets(document, scenario);
    if !rows.is_empty() {
        report::text_table("Targets", ["WHAT", "REACHED", "MUST", "AIM", "VERDICT"], rows);
    }
}

fn print_series(document: &Document, heading: &str, series: &[&Series]) {
    let Some(figures) = series.first().and_then(|one| document.measures.get(&one.measure)) else { return };
    let names: Vec<String> = figures.iter().map(|figure| format!("{}, {}", figure.label, figure.unit)).collect();
    let columns = ["PEER", "CORES", "BUSY, %", "VALID"].into_iter().chain(names.iter().map(String::as_str)).collect();
    let rows = series.iter().map(|one| {
        let (valid, all) = one.valid();
        let figures = figures.iter().map(|figure| cell(one.summary.get(&figure.name)));
        [one.peer.clone(), one.cores.to_string(), one.busy(), format!("{valid}/{all}")]
            .into_iter()
            .chain(figures)
            .collect()
    });
    report::wide_table(heading, columns, rows);
    for one in series {
        one.notes.iter().for_each(|note| println!("  {}: {note}", one.peer));
        for (reason, count) in reasons(one) {
            println!("  {}: {count}x {reason}", one.peer);
        }
    }
}

/// Why trials that would count do not, and how many for each reason.
pub(crate) fn reasons(series: &Series) -> Vec<(String, usize)> {
    let mut reasons: Vec<(String, usize)> = Vec::new();
    for reason in series.trials.iter().filter(|trial| trial.number > 0).flat_map(|trial| &trial.invalid) {
        match reasons.iter_mut().find(|(known, _)| known == reason) {
            Some((_, count)) => *count += 1,
            None => reasons.push((reason.clone(), 1)),
        }
    }
    reasons
}

/// A median with the range it lies in.
fn cell(summary: Option<&Summary>) -> String {
    summary.map_or("-".to_owned(), |Summary { median, min, max, .. }| {
        format!("{} ({} to {})", short(*median), short(*min), short(*max))
    })
}

/// Three or four digits that matter.
pub(crate) fn short(value: f64) -> String {
    match value.abs() {
        size if size >= 100.0 => format!("{value:.0}"),
        size if size >= 10.0 => format!("{value:.1}"),
        size if size >= 0.01 || value == 0.0 => format!("{value:.2}"),
        _ => format!("{value:.4}"),
    }
}

/// Every target that both sides were measured for: what, reached, must, aim, verdict.
pub(crate) fn targets(document: &Document, scenario: &ScenarioResult) -> Vec<[String; 5]> {
    let mut rows = Vec::new();
    for case in &scenario.cases {
        for (series, target) in
            case.series.iter().flat_map(|one| scenario.targets.iter().map(move |target| (one, target)))
        {
            let Some(figure) = document.figure(&target.measure, &target.figure) else { continue };
            let Some(verdict) = judge(case, series, target, figure.better) else { continue };
            let against = target.against.as_deref().unwrap_or_default();
            let (how, sign) = match target.comparison {
                Comparison::Ratio => (format!(" / {against}"), "x"),
                Comparison::Difference => (format!(" - {against}"), figure.unit.as_str()),
                Comparison::Value => (String::new(), figure.unit.as_str()),
            };
            let bound = |value: Option<f64>| value.map_or("-".to_owned(), |value| format!("{} {sign}", short(value)));
            rows.push([
                format!("{}: {}, {}: {}{how}", case.what, series.title, figure.label, target.peer),
                bound(Some(verdict.reached)),
                bound(target.must),
                bound(target.aim),
                verdict.word().to_owned(),
            ]);
        }
    }
    rows
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::results::{Document, ScenarioResult};

    fn measured() -> (Document, ScenarioResult) {
        let document = crate::results::tests::document(&[("direct", &[0.0, 10.0]), ("sluice", &[0.0, 6.0])]);
        let scenario = document.scenarios[0].clone();
        (document, scenario)
    }

    #[test]
    fn a_target_is_told_with_what_was_reached() {
        let (document, scenario) = measured();
        let what = "two pods on a node: TCP, one flow, IPv4, payload: sluice / direct";
        assert_eq!(targets(&document, &scenario), [[what, "0.60 x", "0.50 x", "1.00 x", "held, aim not reached"]]);
    }

    #[test]
    fn reasons_are_counted_and_the_warm_up_s_are_not() {
        let (_, mut scenario) = measured();
        let series = &mut scenario.cases[0].series[1];
        series.trials.iter_mut().for_each(|trial| trial.invalid.push("steal".to_owned()));
        assert_eq!(reasons(series), [("steal".to_owned(), 1)]);
        assert_eq!(cell(series.summary.get("gbits")), "6.00 (6.00 to 6.00)");
    }

    #[test]
    fn numbers_are_as_long_as_they_say_something() {
        let shown = [1234.56, 123.4, 12.34, 1.234, 0.0, 0.001].map(short);
        assert_eq!(shown, ["1235", "123", "12.3", "1.23", "0.00", "0.0010"]);
    }
}
