//! Two reports beside each other: what has changed, in per cent.

use super::print::number;
use super::table::aligned;
use super::{Better, Outcome, Report};

/// Less than this is taken for noise.
const NOISE_PER_CENT: f64 = 3.0;

/// A table of every figure that both have.
pub(crate) fn lines(a: &Report, b: &Report) -> Vec<String> {
    let mut rows = vec![["", "A", "B", "B over A", ""].map(str::to_owned).to_vec()];
    for outcome in &a.outcomes {
        let same = |other: &&Outcome| other.target == outcome.target && other.transport == outcome.transport;
        let Some(other) = b.outcomes.iter().find(same) else { continue };
        rows.push(vec![format!("{} {}", outcome.target, outcome.transport)]);
        for metric in &outcome.metrics {
            if let Some(later) = other.metrics.iter().find(|later| later.name == metric.name) {
                let name = format!("  {}, {}", metric.name, metric.unit);
                rows.push(row(name.trim_end_matches(", "), metric.value, later.value, metric.better));
            }
        }
        if let (Some(before), Some(after)) = (&outcome.latency, &other.latency) {
            for percentile in [50.0, 99.0, 99.9] {
                let name = format!("  latency p{percentile}, µs");
                let (before, after) = (before.at(percentile) as f64, after.at(percentile) as f64);
                rows.push(row(&name, before, after, Better::Less));
            }
        }
        let (before, after) = (outcome.violations.total() as f64, other.violations.total() as f64);
        rows.push(row("  violations", before, after, Better::Less));
    }
    aligned(&rows)
}

fn row(name: &str, before: f64, after: f64, better: Better) -> Vec<String> {
    let (change, verdict) = difference(before, after, better);
    vec![name.to_owned(), number(before), number(after), change, verdict.to_owned()]
}

/// The difference in per cent, and whether it is good.
fn difference(before: f64, after: f64, better: Better) -> (String, &'static str) {
    if before.total_cmp(&after).is_eq() {
        return ("=".to_owned(), "");
    }
    let per_cent = (after - before) / before.abs() * 100.0;
    let change = if before == 0.0 { "new".to_owned() } else { format!("{per_cent:+.1} %") };
    let verdict = match better {
        Better::Neither => "",
        _ if per_cent.abs() < NOISE_PER_CENT => "",
        Better::More if after > before => "better",
        Better::Less if after < before => "better",
        Better::More | Better::Less => "worse",
    };
    (change, verdict)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::Metric;

    fn report(rate: f64, memory: f64) -> Report {
        let metrics = vec![Metric::more("rate", rate, "1/s"), Metric::less("memory", memory, "B")];
        let outcome = Outcome { target: "fanfare".to_owned(), metrics, ..Outcome::default() };
        Report {
            version: String::new(),
            scenario: "x".to_owned(),
            command: vec![],
            ended_at: 0,
            cores: 2,
            outcomes: vec![outcome],
        }
    }

    #[test]
    fn changes_are_told_with_their_direction() {
        let text = lines(&report(100.0, 1000.0), &report(150.0, 1200.0)).join("\n");
        assert!(text.contains("+50.0 %  better"), "{text}");
        assert!(text.contains("+20.0 %  worse"), "{text}");
        let text = lines(&report(100.0, 1000.0), &report(50.0, 500.0)).join("\n");
        assert!(text.contains("-50.0 %  worse") && text.contains("-50.0 %  better"), "{text}");
    }

    #[test]
    fn noise_and_nothing_are_no_verdict() {
        assert_eq!(difference(100.0, 101.0, Better::More), ("+1.0 %".to_owned(), ""));
        assert_eq!(difference(0.0, 0.0, Better::Less), ("=".to_owned(), ""));
        assert_eq!(difference(0.0, 4.0, Better::Less), ("new".to_owned(), "worse"));
        assert_eq!(difference(1.0, 4.0, Better::Neither).1, "");
    }
}
