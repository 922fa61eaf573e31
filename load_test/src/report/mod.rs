//! What a run came to: the same figures as a table, as plots, and as JSON for machines.

pub(crate) mod compare;
pub(crate) mod plot;
pub(crate) mod print;
pub(crate) mod summary;
pub(crate) mod svg;
pub(crate) mod table;

use std::path::Path;

use anyhow::Context as _;
use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};

use crate::verify::Violations;

/// The file that `--json` writes. `docs/load-testing.md` describes it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Report {
    /// Version of the generator.
    pub(crate) version: String,
    /// Name of the scenario.
    pub(crate) scenario: String,
    /// The command line.
    pub(crate) command: Vec<String>,
    /// Seconds since 1970 at which it ended.
    pub(crate) ended_at: u64,
    /// Processor cores of the machine.
    pub(crate) cores: usize,
    pub(crate) outcomes: Vec<Outcome>,
}

/// What one server came to over one transport.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Outcome {
    /// Name of the server.
    pub(crate) target: String,
    /// `sse`, `ws`, or empty where nobody reads.
    pub(crate) transport: String,
    /// How many runs the figures are medians of.
    pub(crate) runs: usize,
    pub(crate) metrics: Vec<Metric>,
    /// From the intended time of publishing to the arrival, of all runs together.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) latency: Option<Latency>,
    /// What it looked like from second to second, of the last run.
    pub(crate) timeline: Vec<Sample>,
    /// Summed over all runs.
    pub(crate) violations: Violations,
    /// Gaps that the server itself told of: no violation.
    pub(crate) told_gaps: u64,
    /// The first thing that went wrong.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) complaint: Option<String>,
}

/// One figure.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Metric {
    pub(crate) name: String,
    pub(crate) value: f64,
    pub(crate) unit: String,
    pub(crate) better: Better,
}

/// In which direction a figure is better.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Better {
    More,
    Less,
    /// It only tells what was measured.
    Neither,
}

impl Metric {
    fn new(name: &str, value: f64, unit: &str, better: Better) -> Self {
        Self { name: name.to_owned(), value, unit: unit.to_owned(), better }
    }

    pub(crate) fn more(name: &str, value: f64, unit: &str) -> Self {
        Self::new(name, value, unit, Better::More)
    }

    pub(crate) fn less(name: &str, value: f64, unit: &str) -> Self {
        Self::new(name, value, unit, Better::Less)
    }

    pub(crate) fn fact(name: &str, value: f64, unit: &str) -> Self {
        Self::new(name, value, unit, Better::Neither)
    }
}

/// Percentiles, in microseconds.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Latency {
    /// How many were recorded.
    pub(crate) count: u64,
    pub(crate) mean: f64,
    /// Percentile and value, ascending; see [`PERCENTILES`].
    pub(crate) percentiles: Vec<(f64, u64)>,
}

/// The percentiles that are reported.
pub(crate) const PERCENTILES: [f64; 9] = [1.0, 25.0, 50.0, 75.0, 90.0, 99.0, 99.9, 99.99, 100.0];

impl Latency {
    /// `None` if nothing was recorded.
    pub(crate) fn of(histogram: &Histogram<u64>) -> Option<Self> {
        (!histogram.is_empty()).then(|| Self {
            count: histogram.len(),
            mean: histogram.mean(),
            percentiles: PERCENTILES.map(|p| (p, histogram.value_at_percentile(p))).to_vec(),
        })
    }

    pub(crate) fn at(&self, percentile: f64) -> u64 {
        self.percentiles.iter().find(|(p, _)| *p >= percentile).map_or(0, |(_, value)| *value)
    }
}

/// One second of a run.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Sample {
    /// Seconds since the measurement began.
    pub(crate) at: f64,
    /// Deliveries a second.
    pub(crate) deliveries: f64,
    /// Median and 99th percentile of this second, in microseconds; 0 if nothing came.
    pub(crate) p50: u64,
    pub(crate) p99: u64,
    /// Resident memory of the server, in bytes.
    pub(crate) resident: u64,
    /// Share of one core that the server used.
    pub(crate) cpu: f64,
}

/// The middle of `values`.
pub(crate) fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

/// The outcome of several runs: medians of the figures, sums of what went wrong.
pub(crate) fn merge(mut runs: Vec<Outcome>) -> Option<Outcome> {
    let mut merged = runs.pop()?;
    for metric in &mut merged.metrics {
        let of = |run: &Outcome| run.metrics.iter().find(|m| m.name == metric.name).map(|m| m.value);
        metric.value = median(runs.iter().filter_map(of).chain([metric.value]).collect());
    }
    for run in &runs {
        merged.violations += run.violations;
        merged.told_gaps += run.told_gaps;
        merged.complaint = merged.complaint.or_else(|| run.complaint.clone());
    }
    if let Some(latency) = &mut merged.latency {
        let others: Vec<&Latency> = runs.iter().filter_map(|run| run.latency.as_ref()).collect();
        for (percentile, value) in &mut latency.percentiles {
            let mut all: Vec<u64> = others.iter().map(|other| other.at(*percentile)).chain([*value]).collect();
            all.sort_unstable();
            *value = all[all.len() / 2];
        }
        latency.mean = median(others.iter().map(|other| other.mean).chain([latency.mean]).collect());
        latency.count += others.iter().map(|other| other.count).sum::<u64>();
    }
    merged.runs = runs.len() + 1;
    Some(merged)
}

impl Report {
    pub(crate) fn read(path: &Path) -> anyhow::Result<Self> {
        let text = std::fs::read(path).with_context(|| format!("{} cannot be read", path.display()))?;
        serde_json::from_slice(&text).with_context(|| format!("{} is not a report", path.display()))
    }

    pub(crate) fn write(&self, path: &Path) -> anyhow::Result<()> {
        let text = serde_json::to_vec_pretty(self)?;
        std::fs::write(path, text).with_context(|| format!("{} cannot be written", path.display()))
    }

    /// Whether every promise was kept.
    pub(crate) fn is_clean(&self) -> bool {
        self.outcomes.iter().all(|outcome| outcome.violations.total() == 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcome(value: f64, missing: u64) -> Outcome {
        Outcome {
            metrics: vec![Metric::more("rate", value, "1/s")],
            violations: Violations { missing, ..Violations::default() },
            ..Outcome::default()
        }
    }

    #[test]
    fn several_runs_become_their_median_and_all_their_faults() {
        let merged = merge(vec![outcome(9.0, 1), outcome(1.0, 0), outcome(5.0, 2)]).unwrap();
        assert_eq!((merged.metrics[0].value, merged.runs, merged.violations.missing), (5.0, 3, 3));
        assert_eq!(merge(vec![]), None);
    }

    #[test]
    fn latencies_are_read_by_percentile() {
        let mut histogram = crate::engine::tally::histogram();
        (1..=1000).for_each(|value| histogram.record(value).unwrap());
        let latency = Latency::of(&histogram).unwrap();
        assert_eq!((latency.count, latency.at(50.0), latency.at(100.0)), (1000, 500, 1000));
        assert_eq!(Latency::of(&crate::engine::tally::histogram()), None);
    }
}
