//! The page's structure: what is in it, that it needs nothing else, that nothing breaks out of it.

use super::*;
use crate::results::Document;
use crate::results::tests::{document, series};

fn measured() -> Document {
    let mut document = document(&[("direct", &[0.0, 10.0, 11.0]), ("sluice", &[0.0, 6.0, 7.0])]);
    document.scenarios[0].cases[0].series[1].trials[1].invalid.push("5 % steal & <more>".to_owned());
    document
}

/// Names of the tags that are open where the text ends, and of every one that was closed in the wrong order.
fn unbalanced(html: &str) -> Vec<String> {
    const ALONE: [&str; 4] = ["meta", "!doctype", "br", "hr"];
    let mut open: Vec<String> = Vec::new();
    for part in html.split('<').skip(1) {
        let (tag, _) = part.split_once('>').unwrap_or((part, ""));
        let name: String =
            tag.trim_start_matches('/').chars().take_while(|c| c.is_alphanumeric() || *c == '!').collect();
        if tag.starts_with('/') {
            match open.pop() {
                Some(last) if last == name => {}
                other => return vec![format!("{other:?} closed by {name}")],
            }
        } else if !tag.ends_with('/') && !ALONE.contains(&name.as_str()) {
            open.push(name);
        }
    }
    open
}

#[test]
fn every_tag_is_closed_and_everything_is_on_the_page_itself() {
    let html = page(&measured());
    assert_eq!(unbalanced(&html), [""; 0]);
    for foreign in ["<script", "<link", "src=", "@import", "url("] {
        assert!(!html.contains(foreign), "{foreign}");
    }
    assert!(
        html.contains("<meta name=\"viewport\"")
            && html.contains("prefers-color-scheme:dark")
            && html.contains("@media print")
    );
    assert!(!html.contains("NaN") && !html.contains("inf\""), "every place in a plot is a number");
}

#[test]
fn what_was_measured_is_told_with_plot_numbers_and_raw_data() {
    let html = page(&measured());
    for expected in [
        "<section id=\"mine\">",
        "Mine &amp; &lt;yours&gt;",
        "aria-label=\"TCP, one flow, IPv4: payload, Gbit/s\"",
        "<b>10.5</b> 10.0 to 11.0",
        "<td class=\"n\">1/2</td>",
        "sluice: 1x 5 % steal &amp; &lt;more&gt;",
        "warm-up",
        "0: 99, 1: 40",
        "held, aim not reached",
        "bridge: &lt;not&gt; installed",
        "commit 0123456789ab",
    ] {
        assert!(html.contains(expected), "{expected}");
    }
    assert_eq!(html.matches("<svg ").count(), 1);
    assert_eq!(html.matches("class=\"d\"").count() + html.matches("class=\"d i\"").count(), 4, "a circle a trial");
}

#[test]
fn what_comes_from_outside_cannot_break_out() {
    let mut document = measured();
    let nasty = "\"><script>alert('x')</script>\u{0}";
    document.commit = nasty.to_owned();
    document.command_line = vec![nasty.to_owned()];
    document.machine.processor = nasty.to_owned();
    document.machine.mitigations.insert(nasty.to_owned(), nasty.to_owned());
    document.not_measured = vec![nasty.to_owned()];
    document.scenarios[0].name = nasty.to_owned();
    let case = &mut document.scenarios[0].cases[0];
    case.what = nasty.to_owned();
    case.agents.insert(nasty.to_owned(), serde_json::json!({ nasty: nasty }));
    for series in &mut case.series {
        series.title = nasty.to_owned();
        series.notes.push(nasty.to_owned());
        series.peer = format!("{}{nasty}", series.peer);
    }
    let html = page(&document);
    assert!(!html.contains("<script") && !html.contains('\u{0}'));
    assert_eq!(unbalanced(&html), [""; 0]);
}

#[test]
fn latencies_are_plotted_as_percentiles_and_rates_as_a_curve_of_loss() {
    use crate::results::{FigureOf, Summary};
    use crate::run::Better;
    let figure = |name: &str, unit: &str| FigureOf {
        name: name.to_owned(),
        label: name.to_owned(),
        unit: unit.to_owned(),
        better: Better::Lower,
    };
    let mut document = measured();
    document.measures.insert("ping-pong".to_owned(), ["p50", "p99", "max"].map(|name| figure(name, "us")).to_vec());
    let udp = vec![figure("received", "kpps"), figure("loss", "%"), figure("offered", "kpps")];
    document.measures.insert("udp".to_owned(), udp);
    let case = &mut document.scenarios[0].cases[0];
    let mut add = |measure: &str, rate: u64, figures: &[(&str, f64)]| {
        let mut one = series("sluice", &[]);
        one.measure = measure.to_owned();
        one.title = format!("{measure} at {rate}");
        one.load.rate = rate;
        let summary = |(name, value): &(&str, f64)| ((*name).to_owned(), Summary::of(vec![*value]).expect("one value"));
        one.summary = figures.iter().map(summary).collect();
        case.series.push(one);
    };
    add("ping-pong", 0, &[("p50", 7.0), ("p99", 80.0), ("max", 900.0)]);
    for rate in [1000, 0] {
        add("udp", rate, &[("received", 1.0), ("loss", 0.5), ("offered", 1.0)]);
    }
    let html = page(&document);
    assert_eq!(unbalanced(&html), [""; 0]);
    assert!(
        html.contains("percentiles of the latency in microseconds")
            && html.contains("percent lost at the rates offered")
    );
    assert_eq!(html.matches("<svg ").count(), 4, "TCP, latency, UDP at the sender's limit, the curve");
    assert_eq!(html.matches("<polyline").count(), 2);
}

#[test]
fn a_run_without_results_is_a_page_too() {
    let mut empty = document(&[]);
    empty.complete = false;
    let html = page(&empty);
    assert_eq!(unbalanced(&html), [""; 0]);
    assert!(html.contains("The run was given up"));
}
