//! The plots as one SVG: latency by percentile, and deliveries from second to second.

use std::fmt::Write as _;
use std::path::Path;

use anyhow::Context as _;

use super::print::{number, time};
use super::{Outcome, Report};

const WIDTH: f64 = 720.0;
const HEIGHT: f64 = 300.0;
/// Room for the axes.
const LEFT: f64 = 80.0;
const BOTTOM: f64 = 40.0;
const TOP: f64 = 40.0;
const COLORS: [&str; 8] = ["#1f77b4", "#d62728", "#2ca02c", "#9467bd", "#ff7f0e", "#17becf", "#8c564b", "#7f7f7f"];

/// Writes the plots to a file.
pub(crate) fn write(report: &Report, path: &Path) -> anyhow::Result<()> {
    std::fs::write(path, draw(report)).with_context(|| format!("{} cannot be written", path.display()))
}

fn draw(report: &Report) -> String {
    let plots = [latency(report), timeline(report)];
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {}\" font-family=\"sans-serif\" font-size=\"12\">\n\
         <rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n",
        HEIGHT * plots.len() as f64
    );
    for (n, plot) in plots.iter().enumerate() {
        let _ = writeln!(out, "<g transform=\"translate(0 {})\">\n{plot}</g>", HEIGHT * n as f64);
    }
    out + "</svg>\n"
}

/// A line of points; x and y from 0 to 1.
struct Curve<'a> {
    outcome: &'a Outcome,
    points: Vec<(f64, f64)>,
}

fn latency(report: &Report) -> String {
    let all: Vec<_> = report.outcomes.iter().filter_map(|o| Some((o, o.latency.as_ref()?))).collect();
    let most = all.iter().map(|(_, latency)| latency.at(100.0)).max().unwrap_or(1).max(10);
    let height = |micros: u64| (micros.max(1) as f64).log10() / (most as f64).log10();
    // Nines: 50 % is at 0.3, 90 % at 1, 99 % at 2, 99.99 % at 4.
    let across = |percentile: f64| (-(1.0 - percentile / 100.0).max(1e-5).log10() / 5.0).clamp(0.0, 1.0);
    let curves: Vec<Curve<'_>> = all
        .iter()
        .map(|(outcome, latency)| Curve {
            outcome,
            points: latency.percentiles.iter().map(|(p, value)| (across(*p), height(*value))).collect(),
        })
        .collect();
    let mut axis = Vec::new();
    let mut micros = 10;
    while micros <= most {
        axis.push((height(micros), time(micros)));
        micros *= 10;
    }
    let below = [50.0, 90.0, 99.0, 99.9, 99.99, 100.0].map(|p| (across(p), format!("{p} %")));
    plot(&format!("{}: latency by percentile", report.scenario), &curves, &axis, &below)
}

fn timeline(report: &Report) -> String {
    let samples = || report.outcomes.iter().flat_map(|outcome| &outcome.timeline);
    let most = samples().map(|sample| sample.deliveries).fold(1.0, f64::max);
    let end = samples().map(|sample| sample.at).fold(1.0, f64::max);
    let point = |sample: &super::Sample| (sample.at / end, sample.deliveries / most);
    let curves: Vec<Curve<'_>> = report
        .outcomes
        .iter()
        .filter(|outcome| outcome.timeline.len() > 1)
        .map(|outcome| Curve { outcome, points: outcome.timeline.iter().map(point).collect() })
        .collect();
    let quarters = [0.0, 0.25, 0.5, 0.75, 1.0];
    let axis = quarters.map(|part| (part, number((most * part).round())));
    let below = quarters.map(|part| (part, format!("{} s", number((end * part * 10.0).round() / 10.0))));
    plot(&format!("{}: deliveries a second", report.scenario), &curves, &axis, &below)
}

fn plot(title: &str, curves: &[Curve<'_>], axis: &[(f64, String)], below: &[(f64, String)]) -> String {
    let x = |part: f64| LEFT + part * (WIDTH - LEFT - 20.0);
    let y = |part: f64| HEIGHT - BOTTOM - part * (HEIGHT - TOP - BOTTOM);
    let mut out = format!("<text x=\"{LEFT}\" y=\"16\" font-weight=\"bold\">{}</text>\n", escaped(title));
    for (part, label) in axis {
        let y = y(*part);
        let _ =
            writeln!(out, "<line x1=\"{}\" x2=\"{}\" y1=\"{y:.1}\" y2=\"{y:.1}\" stroke=\"#ddd\"/>", x(0.0), x(1.0));
        let _ = writeln!(out, "<text x=\"{}\" y=\"{:.1}\" text-anchor=\"end\">{label}</text>", LEFT - 6.0, y + 4.0);
    }
    for (part, label) in below {
        let _ = writeln!(
            out,
            "<text x=\"{:.1}\" y=\"{}\" text-anchor=\"middle\">{label}</text>",
            x(*part),
            HEIGHT - BOTTOM + 18.0
        );
    }
    for (n, curve) in curves.iter().enumerate() {
        let color = COLORS[n % COLORS.len()];
        let points: Vec<String> = curve.points.iter().map(|(a, b)| format!("{:.1},{:.1}", x(*a), y(*b))).collect();
        let _ = writeln!(
            out,
            "<polyline fill=\"none\" stroke=\"{color}\" stroke-width=\"2\" points=\"{}\"/>",
            points.join(" ")
        );
        let label = escaped(&format!("{} {}", curve.outcome.target, curve.outcome.transport));
        let _ = writeln!(out, "<text x=\"{}\" y=\"32\" fill=\"{color}\">{label}</text>", LEFT + 110.0 * n as f64);
    }
    out
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::{Latency, PERCENTILES, Sample};

    #[test]
    fn every_server_has_a_curve_within_the_picture() {
        let percentiles: Vec<(f64, u64)> = PERCENTILES.iter().zip(1..).map(|(p, n)| (*p, n * 1000)).collect();
        let sample = |at, deliveries| Sample { at, deliveries, ..Sample::default() };
        let outcome = |target: &str| Outcome {
            target: target.to_owned(),
            latency: Some(Latency { count: 9, mean: 1.0, percentiles: percentiles.clone() }),
            timeline: vec![sample(1.0, 10.0), sample(2.0, 20.0)],
            ..Outcome::default()
        };
        let report = Report {
            version: String::new(),
            scenario: "a<b".to_owned(),
            command: vec![],
            ended_at: 0,
            cores: 1,
            outcomes: vec![outcome("one"), outcome("two")],
        };
        let svg = draw(&report);
        assert_eq!(svg.matches("<polyline").count(), 4);
        assert!(svg.contains("a&lt;b") && !svg.contains("NaN") && !svg.contains("inf"), "{svg}");
    }
}
