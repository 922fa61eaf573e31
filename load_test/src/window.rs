//! A stretch of time that is measured: what was counted, how long things took, and what the server used meanwhile.

use std::time::{Duration, Instant};

use hdrhistogram::Histogram;

use crate::engine::crowd::Crowd;
use crate::engine::tally::histogram;
use crate::machine;
use crate::report::{Latency, Metric, Outcome, Sample};
use crate::target::process::Usage;

/// How often the server is sampled.
const EVERY: Duration = Duration::from_secs(1);

/// Counts at one moment.
#[derive(Debug, Clone, Copy)]
struct Counts {
    at: Instant,
    deliveries: u64,
    published: u64,
    bytes: u64,
    usage: Option<Usage>,
    /// Time that the generator has spent on processors.
    own: Duration,
}

impl Counts {
    fn now(crowd: &Crowd, usage: Option<Usage>) -> Self {
        Self {
            at: Instant::now(),
            deliveries: crowd.sum(|tally| tally.deliveries),
            published: crowd.sum(|tally| tally.published),
            bytes: crowd.sum(|tally| tally.bytes),
            usage,
            own: machine::own_cpu(),
        }
    }
}

/// A measurement under way.
pub(crate) struct Window {
    begin: Counts,
    last: Counts,
    latency: Histogram<u64>,
    resident_max: u64,
    timeline: Vec<Sample>,
}

/// A measurement that has ended.
pub(crate) struct Measured {
    pub(crate) seconds: f64,
    pub(crate) deliveries: f64,
    pub(crate) published: f64,
    pub(crate) bytes: f64,
    /// Time that the server spent on processors, in seconds, if it could be seen.
    pub(crate) cpu: Option<f64>,
    /// The same of the generator.
    pub(crate) own_cpu: f64,
    pub(crate) resident_begin: u64,
    pub(crate) resident_end: u64,
    pub(crate) resident_max: u64,
    pub(crate) latency: Histogram<u64>,
    pub(crate) acknowledge: Histogram<u64>,
    pub(crate) timeline: Vec<Sample>,
}

impl Window {
    /// Begins: what was recorded before is thrown away.
    pub(crate) fn begin(crowd: &Crowd, usage: Option<Usage>) -> anyhow::Result<Self> {
        crowd.take(|tally| &mut tally.latency)?;
        crowd.take(|tally| &mut tally.acknowledge)?;
        let begin = Counts::now(crowd, usage);
        let resident_max = usage.map_or(0, |usage| usage.resident);
        Ok(Self { begin, last: begin, latency: histogram(), resident_max, timeline: Vec::new() })
    }

    /// Whether a sample is due.
    pub(crate) fn is_due(&self) -> bool {
        self.last.at.elapsed() >= EVERY
    }

    /// Takes a sample and returns it.
    pub(crate) fn sample(&mut self, crowd: &Crowd, usage: Option<Usage>) -> anyhow::Result<Sample> {
        let now = Counts::now(crowd, usage);
        let seconds = (now.at - self.last.at).as_secs_f64().max(1e-6);
        let latency = crowd.take(|tally| &mut tally.latency)?;
        let cpu = used(&self.last, &now).unwrap_or(0.0) / seconds;
        let resident = usage.map_or(0, |usage| usage.resident);
        let sample = Sample {
            at: (now.at - self.begin.at).as_secs_f64(),
            deliveries: (now.deliveries - self.last.deliveries) as f64 / seconds,
            p50: latency.value_at_percentile(50.0),
            p99: latency.value_at_percentile(99.0),
            resident,
            cpu,
        };
        self.latency.add(latency)?;
        self.resident_max = self.resident_max.max(resident);
        self.timeline.push(sample);
        self.last = now;
        Ok(sample)
    }

    pub(crate) fn end(mut self, crowd: &Crowd, usage: Option<Usage>) -> anyhow::Result<Measured> {
        self.sample(crowd, usage)?;
        let resident = |counts: &Counts| counts.usage.map_or(0, |usage| usage.resident);
        Ok(Measured {
            seconds: (self.last.at - self.begin.at).as_secs_f64().max(1e-6),
            deliveries: (self.last.deliveries - self.begin.deliveries) as f64,
            published: (self.last.published - self.begin.published) as f64,
            bytes: (self.last.bytes - self.begin.bytes) as f64,
            cpu: used(&self.begin, &self.last),
            own_cpu: self.last.own.saturating_sub(self.begin.own).as_secs_f64(),
            resident_begin: resident(&self.begin),
            resident_end: resident(&self.last),
            resident_max: self.resident_max,
            latency: self.latency,
            acknowledge: crowd.take(|tally| &mut tally.acknowledge)?,
            timeline: self.timeline,
        })
    }
}

/// Seconds on processors between two moments.
fn used(from: &Counts, to: &Counts) -> Option<f64> {
    Some(to.usage?.cpu.saturating_sub(from.usage?.cpu).as_secs_f64())
}

impl Measured {
    /// Deliveries a second.
    pub(crate) fn rate(&self) -> f64 {
        self.deliveries / self.seconds
    }

    /// The share of a core that the server used, in per cent.
    pub(crate) fn core_share(&self) -> Option<f64> {
        self.cpu.map(|cpu| cpu / self.seconds * 100.0)
    }

    /// Deliveries for each second that the server spent on processors.
    pub(crate) fn per_cpu_second(&self) -> Option<f64> {
        self.cpu.filter(|cpu| *cpu > 0.0).map(|cpu| self.deliveries / cpu)
    }

    /// What every measurement tells.
    pub(crate) fn outcome(self) -> Outcome {
        let mut metrics = vec![Metric::more("deliveries a second", self.rate(), "1/s")];
        if let Some(rate) = self.per_cpu_second() {
            metrics.push(Metric::more("deliveries per CPU-second", rate, "1/s"));
        }
        if let Some(cpu) = self.cpu {
            metrics.push(Metric::less("server CPU", cpu / self.seconds * 100.0, "% of a core"));
            metrics.push(Metric::less("server memory, most", self.resident_max as f64 / 1_048_576.0, "MiB"));
        }
        // Near a whole core for each thread of it, it is the generator that is measured.
        metrics.push(Metric::fact("generator CPU", self.own_cpu / self.seconds * 100.0, "% of a core"));
        Outcome { metrics, latency: Latency::of(&self.latency), timeline: self.timeline, ..Outcome::default() }
    }
}
