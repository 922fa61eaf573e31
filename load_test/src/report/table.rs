//! Tables of figures: a row for each, a column for each server and transport.

use super::print::{line, number, time};
use super::{Outcome, Report};

/// Columns of one block.
const COLUMNS: usize = 5;

/// Prints the report as tables.
pub(crate) fn print(report: &Report) {
    for outcomes in report.outcomes.chunks(COLUMNS) {
        for text in aligned(&rows(outcomes)) {
            line(&text);
        }
        line("");
    }
    for outcome in &report.outcomes {
        if let Some(complaint) = &outcome.complaint {
            line(&format!("{} {}: {complaint}", outcome.target, outcome.transport));
        }
    }
}

fn rows(outcomes: &[Outcome]) -> Vec<Vec<String>> {
    let mut rows = vec![row("", "", outcomes, |outcome| format!("{} {}", outcome.target, outcome.transport))];
    let mut names: Vec<(&str, &str)> = Vec::new();
    for metric in outcomes.iter().flat_map(|outcome| &outcome.metrics) {
        if !names.iter().any(|(name, _)| *name == metric.name) {
            names.push((&metric.name, &metric.unit));
        }
    }
    for (name, unit) in names {
        rows.push(row(name, unit, outcomes, |outcome| {
            let metric = outcome.metrics.iter().find(|metric| metric.name == name);
            metric.map_or_else(String::new, |metric| number(metric.value))
        }));
    }
    if outcomes.iter().any(|outcome| outcome.latency.is_some()) {
        for percentile in [50.0, 99.0, 99.9, 100.0] {
            let name = if percentile > 99.95 { "latency, worst".to_owned() } else { format!("latency, p{percentile}") };
            rows.push(row(&name, "", outcomes, |outcome| {
                outcome.latency.as_ref().map_or_else(String::new, |latency| time(latency.at(percentile)))
            }));
        }
    }
    if outcomes.iter().any(|outcome| outcome.told_gaps > 0) {
        rows.push(row("gaps the server told of", "", outcomes, |outcome| number(outcome.told_gaps as f64)));
    }
    let faults = outcomes.iter().any(|outcome| outcome.violations.total() > 0);
    rows.push(row("violations", "", outcomes, |outcome| match outcome.violations.total() {
        0 => "none".to_owned(),
        total => number(total as f64),
    }));
    if faults {
        for n in 0..outcomes[0].violations.rows().len() {
            let name = outcomes[0].violations.rows()[n].0;
            rows.push(row(&format!("  {name}"), "", outcomes, |outcome| number(outcome.violations.rows()[n].1 as f64)));
        }
    }
    rows
}

fn row(name: &str, unit: &str, outcomes: &[Outcome], cell: impl Fn(&Outcome) -> String) -> Vec<String> {
    [name.to_owned()].into_iter().chain(outcomes.iter().map(cell)).chain([unit.to_owned()]).collect()
}

/// Lines in which columns stand below each other: the first and the last to the left, the others to the right.
pub(crate) fn aligned(rows: &[Vec<String>]) -> Vec<String> {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| {
        rows.iter().filter_map(|row: &Vec<String>| row.get(column)).map(|cell: &String| cell.chars().count()).max()
    };
    let widths: Vec<usize> = (0..columns).map(|column| width(column).unwrap_or(0)).collect();
    rows.iter()
        .map(|row| {
            let cells = row.iter().enumerate().map(|(n, cell)| {
                let width = widths[n];
                if n == 0 || n + 1 == columns { format!("{cell:<width$}") } else { format!("{cell:>width$}") }
            });
            cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::Metric;
    use crate::verify::Violations;

    #[test]
    fn figures_of_all_servers_stand_side_by_side() {
        let ours = Outcome {
            target: "fanfare".to_owned(),
            transport: "ws".to_owned(),
            metrics: vec![Metric::more("rate", 1_000.0, "1/s"), Metric::more("only ours", 1.0, "")],
            ..Outcome::default()
        };
        let theirs = Outcome {
            target: "x".to_owned(),
            transport: "ws".to_owned(),
            metrics: vec![Metric::more("rate", 5.5, "1/s")],
            violations: Violations { missing: 3, ..Violations::default() },
            ..Outcome::default()
        };
        let lines = aligned(&rows(&[ours, theirs]));
        let cells = |name: &str| -> Vec<&str> {
            let line = lines.iter().find(|line| line.starts_with(name)).unwrap();
            line.split("  ").map(str::trim).filter(|cell| !cell.is_empty()).collect()
        };
        assert_eq!(cells(" "), ["fanfare ws", "x ws"]);
        assert_eq!(cells("rate"), ["rate", "1,000", "5.50", "1/s"]);
        assert_eq!(cells("only ours"), ["only ours", "1"]);
        assert_eq!(cells("violations"), ["violations", "none", "3"]);
        assert_eq!(cells("  missing"), ["missing", "0", "3"]);
        let ends = |cell: &str| lines.iter().find_map(|line| line.find(cell).map(|at| at + cell.len()));
        assert_eq!(ends("fanfare ws"), ends("1,000"), "{lines:#?}");
    }
}
