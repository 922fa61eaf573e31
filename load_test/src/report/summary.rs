//! The figures that issue 3 asks for, from the reports that `dev/measure` writes: what was measured, what it should be,
//! and whether it is.

use std::path::Path;

use anyhow::ensure;

use super::print::number;
use super::table::aligned;
use super::{Outcome, Report};

/// One thing that was promised.
struct Figure {
    /// Its number in the list of what must be reached.
    number: u8,
    /// What it is about, in a few words.
    what: &'static str,
    /// Name of the report that has it, without its ending.
    report: &'static str,
    value: Value,
    goal: Goal,
}

/// Where the value stands in an outcome.
enum Value {
    Metric(&'static str),
    /// A percentile of the latency, in milliseconds.
    Latency(f64),
    /// A metric of ours over the same of each other server that speaks the same transport.
    OverPeers(&'static str),
}

use Value::{Latency, Metric, OverPeers};

#[derive(Clone, Copy)]
enum Goal {
    AtLeast(f64),
    AtMost(f64),
    /// It only stands beside another.
    Tells,
}

use Goal::{AtLeast, AtMost, Tells};

#[rustfmt::skip]
const FIGURES: &[Figure] = &[
    figure(1, "lockstep over bare loop", "fanout-1000", Metric("lockstep over bare"), AtLeast(0.8)),
    figure(1, "pressure over bare loop", "fanout-1000", Metric("pressure over bare"), AtLeast(2.0)),
    figure(1, "lockstep over bare loop", "fanout-5000", Metric("lockstep over bare"), AtLeast(0.8)),
    figure(1, "pressure over bare loop", "fanout-5000", Metric("pressure over bare"), AtLeast(2.0)),
    figure(2, "per CPU-second over bare", "topics", Metric("per CPU-second over bare"), AtLeast(0.7)),
    figure(2, "event, most topics over fewest", "topics-many", Metric("CPU of an event, most topics over fewest"), AtMost(1.0)),
    figure(2, "  the same of the bare server", "topics-many", Metric("bare server: CPU of an event, most topics over fewest"), Tells),
    figure(3, "memory of a connection, B", "idle", Metric("memory of a connection"), AtMost(4096.0)),
    figure(3, "CPU for 100,000 of them, %", "idle", Metric("server CPU, were they 100,000"), AtMost(3.0)),
    figure(4, "p99 at half the saturating rate, ms", "latency", Latency(99.0), AtMost(50.0)),
    figure(4, "p99, with 1 % stuck over without", "slow-readers", Metric("p99 with over without"), AtMost(1.1)),
    figure(5, "connects a second", "connect-storm", Metric("connects a second"), AtLeast(4000.0)),
    figure(5, "whole after a restart, worst, s", "restart", Metric("until whole, worst"), AtMost(5.0)),
    figure(6, "resume, long log less short, ms", "resume", Metric("long less short, p50"), AtMost(5.0)),
    figure(6, "events per CPU-second", "history-catchup", Metric("deliveries per CPU-second"), AtLeast(200_000.0)),
    figure(6, "memory grew after the first tenth, MiB", "history-catchup", Metric("memory grew after the first tenth"), AtMost(8.0)),
    figure(7, "batches of 100, messages/s", "publish", Metric("batches of 100"), AtLeast(150_000.0)),
    figure(7, "committed over bare group commit", "publish", Metric("single over bare"), AtLeast(0.5)),
    figure(8, "lockstep per CPU-second over", "peers-fanout", OverPeers("lockstep per CPU-second"), AtLeast(3.0)),
    figure(8, "pressure per CPU-second over", "peers-fanout", OverPeers("pressure per CPU-second"), AtLeast(3.0)),
    figure(8, "memory of a connection over", "peers-idle", OverPeers("memory of a connection"), AtMost(1.0)),
];

const fn figure(number: u8, what: &'static str, report: &'static str, value: Value, goal: Goal) -> Figure {
    Figure { number, what, report, value, goal }
}

/// What the reports of a folder come to.
pub(crate) struct Summary {
    /// For people, a line each.
    pub(crate) lines: Vec<String>,
    /// Whether every figure was measured and reached, and every promise kept.
    pub(crate) is_reached: bool,
}

/// Reads the reports in `folder`.
pub(crate) fn of(folder: &Path) -> anyhow::Result<Summary> {
    ensure!(folder.is_dir(), "{} is no folder: `dev/measure` makes it", folder.display());
    let mut reports: Vec<(&str, Option<Report>)> = Vec::new();
    for name in FIGURES.iter().map(|figure| figure.report) {
        let path = folder.join(name).with_extension("json");
        if reports.iter().all(|(known, _)| *known != name) {
            reports.push((name, path.exists().then(|| Report::read(&path)).transpose()?));
        }
    }
    Ok(summary(&reports))
}

fn summary(reports: &[(&str, Option<Report>)]) -> Summary {
    let mut is_reached = true;
    let mut rows = vec![["figure", "ws / sse", "target", "", "as measured by"].map(str::to_owned).to_vec()];
    for figure in FIGURES {
        let report = reports.iter().find(|(name, _)| *name == figure.report).and_then(|(_, report)| report.as_ref());
        let Some(report) = report else {
            is_reached = false;
            rows.push(figure.row("", "", "not measured", ""));
            continue;
        };
        for (peer, measured) in figure.measured(report) {
            let texts: Vec<String> = measured.iter().map(|value| value.map_or("–".to_owned(), number)).collect();
            let verdict = figure.goal.verdict(&measured);
            is_reached &= matches!(verdict, "" | "reached");
            rows.push(figure.row(peer, &texts.join(" / "), verdict, &how(report)));
        }
    }
    let mut lines = aligned(&rows);
    for (name, report) in reports {
        let outcomes = report.iter().flat_map(|report| &report.outcomes);
        for outcome in outcomes.filter(|outcome| outcome.violations.total() > 0) {
            let ours = outcome.target == OURS;
            is_reached &= !ours;
            lines.push(format!(
                "{name}: {} {}: {} violations",
                outcome.target,
                outcome.transport,
                outcome.violations.total()
            ));
        }
    }
    Summary { lines, is_reached }
}

/// Our own server's name in reports.
const OURS: &str = "fanfare";

/// The scenario with its options; those of every scenario stand in front of it.
fn how(report: &Report) -> String {
    let words = report.command.iter().skip_while(|word| **word != report.scenario).map(String::as_str);
    words.collect::<Vec<_>>().join(" ")
}

impl Figure {
    /// Values over WebSocket and SSE, or only one where nobody reads; for each peer where it is a comparison.
    fn measured<'a>(&self, report: &'a Report) -> Vec<(&'a str, Vec<Option<f64>>)> {
        let ours = |transport: &str| find(report, OURS, transport);
        let transports = if ours("").is_some() { &[""][..] } else { &["ws", "sse"] };
        let all = |value: &dyn Fn(&str) -> Option<f64>| transports.iter().map(|transport| value(transport)).collect();
        match self.value {
            Metric(name) => vec![("", all(&|transport| metric(ours(transport)?, name)))],
            Latency(percentile) => {
                let value = |transport: &str| Some(ours(transport)?.latency.as_ref()?.at(percentile) as f64 / 1e3);
                vec![("", all(&value))]
            }
            OverPeers(name) => {
                let mut peers: Vec<&str> = report.outcomes.iter().map(|outcome| outcome.target.as_str()).collect();
                peers.dedup();
                peers.retain(|peer| *peer != OURS);
                let over = |peer: &str, transport: &str| {
                    Some(metric(ours(transport)?, name)? / metric(find(report, peer, transport)?, name)?)
                };
                peers.into_iter().map(|peer| (peer, all(&|transport| over(peer, transport)))).collect()
            }
        }
    }

    fn row(&self, peer: &str, measured: &str, verdict: &str, how: &str) -> Vec<String> {
        let what = format!("{} {peer}", self.what);
        let first = format!("{}  {}", self.number, what.trim_end());
        [&first, measured, &self.goal.text(), verdict, how].map(str::to_owned).to_vec()
    }
}

fn find<'a>(report: &'a Report, target: &str, transport: &str) -> Option<&'a Outcome> {
    report.outcomes.iter().find(|outcome| outcome.target == target && outcome.transport == transport)
}

fn metric(outcome: &Outcome, name: &str) -> Option<f64> {
    outcome.metrics.iter().find(|metric| metric.name == name).map(|metric| metric.value)
}

impl Goal {
    fn text(self) -> String {
        match self {
            AtLeast(least) => format!("≥ {}", number(least)),
            AtMost(most) => format!("≤ {}", number(most)),
            Tells => String::new(),
        }
    }

    fn is_met(self, value: f64) -> bool {
        match self {
            AtLeast(least) => value >= least,
            AtMost(most) => value <= most,
            Tells => true,
        }
    }

    /// Whether the values, of WebSocket and SSE or of one, are what they should be. One that is not there is not asked.
    fn verdict(self, values: &[Option<f64>]) -> &'static str {
        if matches!(self, Tells) {
            return "";
        }
        let met: Vec<Option<bool>> = values.iter().map(|value| value.map(|value| self.is_met(value))).collect();
        match met.as_slice() {
            [Some(true), Some(false)] => "ws only",
            [Some(false), Some(true)] => "sse only",
            met if met.iter().all(Option::is_none) => "not measured",
            met if met.contains(&Some(false)) => "no",
            _ => "reached",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report;
    use crate::verify::Violations;

    fn outcome(target: &str, transport: &str, metrics: &[(&str, f64)]) -> Outcome {
        Outcome {
            target: target.to_owned(),
            transport: transport.to_owned(),
            metrics: metrics.iter().map(|(name, value)| report::Metric::more(name, *value, "")).collect(),
            ..Outcome::default()
        }
    }

    fn report(scenario: &str, outcomes: Vec<Outcome>) -> Report {
        let command = ["fanfare-load", "run", "--json", "x", scenario, "--readers", "7"];
        Report {
            version: String::new(),
            scenario: scenario.to_owned(),
            command: command.map(str::to_owned).to_vec(),
            ended_at: 0,
            cores: 2,
            outcomes,
        }
    }

    /// The row that begins with a figure's number and words.
    fn line<'a>(summary: &'a Summary, begin: &str) -> &'a str {
        summary.lines.iter().find(|line| line.starts_with(begin)).unwrap()
    }

    #[test]
    fn each_transport_is_held_against_the_target() {
        let lockstep = |ws, sse| {
            let of = |transport, value| outcome("fanfare", transport, &[("lockstep over bare", value)]);
            let reports = [("fanout-1000", Some(report("fanout", vec![of("ws", ws), of("sse", sse)])))];
            let summary = summary(&reports);
            line(&summary, "1  lockstep").to_owned()
        };
        let cells = lockstep(0.9, 0.8).split_whitespace().collect::<Vec<_>>().join(" ");
        assert_eq!(cells, "1 lockstep over bare loop 0.900 / 0.800 ≥ 0.800 reached fanout --readers 7");
        assert!(lockstep(0.9, 0.7).contains("ws only"));
        assert!(lockstep(0.7, 0.9).contains("sse only"));
        assert!(lockstep(0.7, 0.7).contains("  no"));
        assert!(lockstep(0.7, 0.7).ends_with("fanout --readers 7"));
    }

    #[test]
    fn what_was_not_measured_is_not_reached() {
        let summary = summary(&[("fanout-1000", None)]);
        assert!(line(&summary, "7  batches").contains("not measured"));
        assert!(!summary.is_reached);
    }

    #[test]
    fn peers_are_compared_over_what_both_speak() {
        let rate = |target, transport, value| outcome(target, transport, &[("lockstep per CPU-second", value)]);
        let outcomes = vec![
            rate("fanfare", "ws", 600.0),
            rate("fanfare", "sse", 800.0),
            rate("ws", "ws", 100.0),
            rate("nchan", "sse", 400.0),
        ];
        let summary = summary(&[("peers-fanout", Some(report("fanout", outcomes)))]);
        assert!(line(&summary, "8  lockstep per CPU-second over ws").contains("6 / –"), "{:#?}", summary.lines);
        assert!(line(&summary, "8  lockstep per CPU-second over nchan").contains("– / 2"), "{:#?}", summary.lines);
    }

    #[test]
    fn a_broken_promise_of_ours_is_told() {
        let violations = Violations { missing: 3, ..Violations::default() };
        let outcomes = vec![Outcome { violations, ..outcome("fanfare", "ws", &[]) }];
        let summary = summary(&[("latency", Some(report("latency", outcomes)))]);
        assert_eq!(summary.lines.last().unwrap(), "latency: fanfare ws: 3 violations");
        assert!(!summary.is_reached);
    }
}
