//! The page: what was measured on, what is short of its targets, every scenario, how to read it.

use std::fmt::Write;

use super::groups::{Colours, Group, Kind};
use super::{bars, latency, loss, text};
use crate::results::{CaseResult, Document, FigureOf, ScenarioResult, Series};
use crate::run::{reasons, short, targets};

const STYLE: &str = include_str!("style.css");

/// How to read a plot and what makes a trial invalid.
const READING: &str = "\
<ul><li>Bars and points are medians of the valid trials; thin lines reach from the smallest to the largest of them. Small circles \
are single trials; a broken one is invalid and counts nowhere.</li>\
<li>The paths take turns, A B C, A B C, so that what happens to the machine meanwhile happens to all. The first turn of each only \
warms up and is not shown but in the raw data.</li>\
<li>A trial is invalid when packets are missing that nobody counted as dropped, when the hypervisor took more than 2 % of the \
processors' time, when the sender did not keep the rate, or when the measurement failed. It stays in the raw data with its reason.</li>\
<li><b>direct</b> is the calibration, with nothing between the ends: what comes within 5 % of it is bound by the generators.</li>\
<li>Figures hold for this machine and this kernel; ratios of what was measured side by side carry further than figures.</li></ul>";

/// The whole page.
pub(crate) fn page(document: &Document) -> String {
    let colours = Colours::of(document);
    let names: Vec<&str> = document.scenarios.iter().map(|scenario| scenario.name.as_str()).collect();
    let mut html = format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\
         <title>sluice-perf: {}</title>\n<style>\n{STYLE}</style></head>\n<body>\n",
        text(&names.join(", "))
    );
    head(&mut html, document);
    all_targets(&mut html, document);
    for scenario in &document.scenarios {
        section(&mut html, document, scenario, &colours);
    }
    if !document.not_measured.is_empty() {
        html.push_str("<h2>Not measured</h2>\n");
        list(&mut html, "", document.not_measured.iter().map(String::as_str));
    }
    let _ = write!(html, "<h2>How to read this</h2>\n{READING}\n");
    agents(&mut html, document);
    html.push_str("</body></html>\n");
    html
}

/// A list of plain texts.
fn list<'t>(html: &mut String, class: &str, items: impl Iterator<Item = &'t str>) {
    let _ = write!(html, "<ul class=\"{class}\">");
    for item in items {
        let _ = write!(html, "<li>{}</li>", text(item));
    }
    html.push_str("</ul>\n");
}

fn head(html: &mut String, document: &Document) {
    let machine = &document.machine;
    let Document { started, commit, version, trials, seconds, took_seconds, .. } = document;
    let _ = write!(
        html,
        "<header><h1>sluice-perf</h1>\n<p>{}, Linux {}, {} cores, {} MiB; {}</p>\n\
         <p class=\"dim\">{}, version {}, commit {}; {trials} trials of {seconds} s after a warm-up; {took_seconds:.0} s in all; \
         load on core {}, switch on core {}</p>\n<p><code>{}</code></p>\n",
        text(&machine.processor),
        text(&machine.kernel),
        machine.cores.len(),
        machine.memory_mib,
        text(&machine.wake_up.to_string()),
        text(started),
        text(version),
        text(commit),
        machine.load_core,
        machine.switch_core,
        text(&document.command_line.join(" ")),
    );
    for warning in warnings(document) {
        let _ = writeln!(html, "<p class=\"warn\">{}</p>", text(&warning));
    }
    html.push_str("<details><summary>Mitigations of the processor's faults</summary>");
    list(
        html,
        "",
        machine
            .mitigations
            .iter()
            .map(|(fault, what)| format!("{fault}: {what}"))
            .collect::<Vec<_>>()
            .iter()
            .map(String::as_str),
    );
    html.push_str("</details></header>\n");
}

/// Why the figures are not to be believed as they stand.
fn warnings(document: &Document) -> Vec<String> {
    let mut warnings = Vec::new();
    if !document.complete {
        warnings.push("The run was given up: this is what there was until then.".to_owned());
    }
    if !document.machine.release_build {
        warnings.push("A debug build: the switch is slower than it can be.".to_owned());
    }
    let cores = document.machine.cores.len() as f64;
    if let Some([one, ..]) = document.machine.load_average
        && one > cores / 2.0
    {
        warnings.push(format!(
            "The machine was busy when the run began: load average {one:.2}. These are no figures to quote."
        ));
    }
    let nothing = document.without_valid();
    if !nothing.is_empty() {
        warnings.push(format!("No trial is valid of {} series; they are pale in the plots.", nothing.len()));
    }
    warnings
}

/// Targets of all scenarios, those that are missed first.
fn all_targets(html: &mut String, document: &Document) {
    let mut rows: Vec<(String, [String; 5])> = Vec::new();
    for scenario in &document.scenarios {
        rows.extend(targets(document, scenario).into_iter().map(|row| (scenario.name.clone(), row)));
    }
    if rows.is_empty() {
        return;
    }
    rows.sort_by_key(|(_, row)| ["missed", "aim not reached"].iter().position(|word| row[4] == *word).unwrap_or(9));
    html.push_str(
        "<h2>Targets, the missed ones first</h2>\n<div class=\"scroll wide\"><table><thead><tr><th>What</th><th>Reached</th>\
                   <th>Must</th><th>Aim</th><th>Verdict</th></tr></thead><tbody>\n",
    );
    for (name, [what, reached, must, aim, verdict]) in rows {
        let class = match verdict.as_str() {
            "missed" => "bad",
            "aim reached" => "good",
            _ => "",
        };
        let _ = writeln!(
            html,
            "<tr><td>{}: {}</td><td class=\"n\">{}</td><td class=\"n\">{}</td><td class=\"n\">{}</td><td class=\"n {class}\">{}</td></tr>",
            text(&name),
            text(&what),
            text(&reached),
            text(&must),
            text(&aim),
            text(&verdict)
        );
    }
    html.push_str("</tbody></table></div>\n");
}

fn section(html: &mut String, document: &Document, scenario: &ScenarioResult, colours: &Colours<'_>) {
    let _ = write!(
        html,
        "<section id=\"{}\"><h2>{}</h2>\n<p class=\"dim\">{}: {}</p>\n",
        text(&scenario.name),
        text(&scenario.title),
        text(&scenario.name),
        text(&scenario.why)
    );
    for case in &scenario.cases {
        one_case(html, document, case, colours);
    }
    html.push_str("</section>\n");
}

fn one_case(html: &mut String, document: &Document, case: &CaseResult, colours: &Colours<'_>) {
    let _ = writeln!(html, "<h3>{}</h3>\n<div class=\"plots\">", text(&case.what));
    let groups = Group::of(document, case);
    for group in &groups {
        for (title, series) in group.by_title() {
            let figure = group.figures.first();
            let plot = match (group.kind(), figure) {
                (Kind::Latency, _) => latency::plot(title, group, colours),
                (_, Some(figure)) => bars::plot(title, figure, &series, colours),
                (_, None) => String::new(),
            };
            // Below capacity everybody receives what was offered: the curve says more.
            if group.kind() != Kind::Loss || series.first().is_some_and(|one| one.load.rate == 0) {
                figure_of(html, title, &plot);
            }
        }
        if group.kind() == Kind::Loss {
            let title = group.series.first().map(|one| one.title.split(',').take(2).collect::<Vec<_>>().join(","));
            figure_of(html, &title.unwrap_or_default(), &loss::plot("Loss", group, colours));
        }
    }
    html.push_str("</div>\n");
    for (title, series) in groups.iter().flat_map(Group::by_title) {
        let figures = series.first().and_then(|one| document.measures.get(&one.measure));
        table(html, title, &series, figures.map(Vec::as_slice).unwrap_or_default());
    }
}

fn figure_of(html: &mut String, title: &str, plot: &str) {
    if !plot.is_empty() {
        let _ = writeln!(html, "<figure><h4>{}</h4>{plot}</figure>", text(title));
    }
}

/// The summaries in numbers, notes, and below them the raw data.
fn table(html: &mut String, title: &str, series: &[&Series], figures: &[FigureOf]) {
    let _ = write!(
        html,
        "<h4>{}</h4><div class=\"scroll\"><table><thead><tr><th>Peer</th><th>Valid</th><th>Cores busy, %</th>",
        text(title)
    );
    for figure in figures {
        let _ = write!(html, "<th>{}, {}</th>", text(&figure.label), text(&figure.unit));
    }
    html.push_str("</tr></thead><tbody>\n");
    for one in series {
        let (valid, all) = one.valid();
        let _ = write!(
            html,
            "<tr><td>{}</td><td class=\"n\">{valid}/{all}</td><td class=\"n\">{}</td>",
            text(&one.peer),
            one.busy()
        );
        for figure in figures {
            let cell = one.summary.get(&figure.name).map_or("-".to_owned(), |summary| {
                format!("<b>{}</b> {} to {}", short(summary.median), short(summary.min), short(summary.max))
            });
            let _ = write!(html, "<td class=\"n\">{cell}</td>");
        }
        html.push_str("</tr>\n");
    }
    html.push_str("</tbody></table></div>\n");
    let mut notes = Vec::new();
    for one in series {
        notes.extend(one.notes.iter().map(|note| format!("{}: {note}", one.peer)));
        notes.extend(reasons(one).iter().map(|(reason, count)| format!("{}: {count}x {reason}", one.peer)));
    }
    if !notes.is_empty() {
        list(html, "notes", notes.iter().map(String::as_str));
    }
    raw(html, series, figures);
}

/// Every trial, the warm-up too.
fn raw(html: &mut String, series: &[&Series], figures: &[FigureOf]) {
    html.push_str(
        "<details><summary>Every trial</summary><div class=\"scroll\"><table><thead><tr><th>Peer</th><th>Trial</th>",
    );
    for figure in figures {
        let _ = write!(html, "<th>{}, {}</th>", text(&figure.label), text(&figure.unit));
    }
    html.push_str(
        "<th>Packets</th><th>Cores busy, %</th><th>Steal, %</th><th>Invalid because</th></tr></thead><tbody>\n",
    );
    for (one, trial) in series.iter().flat_map(|one| one.trials.iter().map(move |trial| (one, trial))) {
        let number = if trial.number == 0 { "warm-up".to_owned() } else { trial.number.to_string() };
        let _ = write!(html, "<tr><td>{}</td><td>{number}</td>", text(&one.peer));
        for figure in figures {
            let cell = trial.figures.get(&figure.name).map_or("-".to_owned(), |value| short(*value));
            let _ = write!(html, "<td>{cell}</td>");
        }
        let packets = trial.packets.as_ref().map_or("-".to_owned(), |packets| {
            let drops = packets.drops.iter().map(|(name, count)| format!("; {name} {count}"));
            format!("{} of {}{}", packets.received, packets.sent, drops.collect::<String>())
        });
        let busy = trial.busy_percent.iter().map(|(core, percent)| format!("{core}: {percent:.0}"));
        let busy = busy.collect::<Vec<_>>().join(", ");
        let _ = writeln!(
            html,
            "<td>{}</td><td>{busy}</td><td>{:.1}</td><td class=\"bad l\">{}</td></tr>",
            text(&packets),
            trial.steal_percent,
            text(&trial.invalid.join("; "))
        );
    }
    html.push_str("</tbody></table></div></details>\n");
}

/// What the agents said of themselves, for whom it concerns.
fn agents(html: &mut String, document: &Document) {
    for (scenario, case) in document.scenarios.iter().flat_map(|one| one.cases.iter().map(move |case| (one, case))) {
        for (node, status) in &case.agents {
            let status = serde_json::to_string_pretty(status).unwrap_or_default();
            let _ = writeln!(
                html,
                "<details><summary>Agent of {} after {}: {}</summary><pre class=\"scroll\">{}</pre></details>",
                text(node),
                text(&scenario.name),
                text(&case.what),
                text(&status)
            );
        }
    }
}
