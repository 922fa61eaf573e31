//! A server, the crowd of its readers and its publisher: what a scenario plays with.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use indicatif::ProgressBar;

use crate::clock;
use crate::engine::crowd::Crowd;
use crate::engine::plan::Plan;
use crate::machine;
use crate::publisher::Publisher;
use crate::report::print;
use crate::report::{Outcome, Sample};
use crate::target::{Target, Wish};
use crate::window::{Measured, Window};

/// How long nothing may happen until a wait is given up.
const PATIENCE: Duration = Duration::from_secs(20);
/// How long nothing comes until what was told to be gone is all that is missing.
const QUIET: Duration = Duration::from_secs(1);

pub(crate) struct Bench {
    pub(crate) target: Target,
    pub(crate) crowd: Crowd,
    publisher: Option<Publisher>,
    /// Connections that publish.
    callers: usize,
    /// Readers of each topic.
    readers: BTreeMap<u32, u64>,
    /// Deliveries that must have come when everything has settled.
    pub(crate) expected: u64,
    /// Gaps that were told and whose events are no longer expected.
    told_gaps: u64,
    window: Option<Window>,
    bar: ProgressBar,
}

impl Bench {
    pub(crate) fn new(
        target: Target,
        threads: usize,
        under_way_max: usize,
        bytes: usize,
        bar: ProgressBar,
    ) -> anyhow::Result<Self> {
        let mut bench = Self {
            publisher: target.publisher().ok(),
            crowd: Crowd::new(threads, under_way_max)?,
            target,
            callers: 0,
            readers: BTreeMap::new(),
            expected: 0,
            told_gaps: 0,
            window: None,
            bar,
        };
        if let Some(publisher) = &mut bench.publisher {
            publisher.bytes = bytes;
        }
        bench.callers(1);
        Ok(bench)
    }

    /// Publishes over so many connections from now on.
    pub(crate) fn callers(&mut self, callers: usize) {
        self.callers = callers;
        self.crowd.local.callers(callers, self.target.publish_at(), self.target.is_pipelined());
    }

    /// Says what is going on.
    pub(crate) fn say(&self, text: &str) {
        self.bar.set_message(format!("{}: {text}", self.target.name));
    }

    /// Does what is due, waiting for it at most so long.
    pub(crate) fn turn(&mut self, wait: Duration) -> anyhow::Result<()> {
        self.crowd.turn(wait)?;
        self.bar.tick();
        if self.window.as_ref().is_some_and(Window::is_due) {
            self.sample()?;
        }
        Ok(())
    }

    /// Measures for so long while nothing is asked of the server.
    pub(crate) fn watch(&mut self, duration: Duration) -> anyhow::Result<Measured> {
        self.begin()?;
        let end = Instant::now() + duration;
        while Instant::now() < end {
            self.turn(Duration::from_millis(100))?;
        }
        self.end()
    }

    /// Takes a sample of what is measured now.
    pub(crate) fn sample(&mut self) -> anyhow::Result<Option<Sample>> {
        let usage = self.target.usage();
        let Some(window) = &mut self.window else { return Ok(None) };
        let sample = window.sample(&self.crowd, usage)?;
        self.bar.set_message(format!(
            "{}: {} deliveries/s, p99 {}, {} of a core, {}",
            self.target.name,
            print::number(sample.deliveries.round()),
            print::time(sample.p99),
            print::number((sample.cpu * 100.0).round() / 100.0),
            print::size(sample.resident),
        ));
        Ok(Some(sample))
    }

    /// How readers connect.
    pub(crate) fn plan(&self, wish: &Wish) -> anyhow::Result<Arc<Plan>> {
        self.target.plan(wish)
    }

    /// Connects `count` readers, the nth of the topic that `topic` says, and waits until all are subscribed. Returns
    /// the number of the first.
    pub(crate) fn subscribe(
        &mut self,
        plan: &Arc<Plan>,
        count: u32,
        topic: impl Fn(u32) -> u32,
    ) -> anyhow::Result<u32> {
        let live = self.crowd.sum(|tally| tally.live);
        machine::expect_open_files(u64::from(count))?;
        let first = self.order(plan, count, topic)?;
        self.wait_live(live + u64::from(count))?;
        Ok(first)
    }

    /// Orders readers without waiting for them. Returns the number of the first.
    pub(crate) fn order(&mut self, plan: &Arc<Plan>, count: u32, topic: impl Fn(u32) -> u32) -> anyhow::Result<u32> {
        let mut first = None;
        for n in 0..count {
            let topic = topic(n);
            let id = self.crowd.dial(plan, topic)?;
            first.get_or_insert(id);
            for topic in plan.topics.from(topic) {
                *self.readers.entry(topic).or_insert(0) += 1;
            }
        }
        first.context("no reader was asked for")
    }

    /// All readers leave, for good.
    pub(crate) fn leave(&mut self) -> anyhow::Result<()> {
        self.crowd.cut_all()?;
        let gone = self.crowd.turn_until(PATIENCE, |crowd| crowd.sum(|tally| tally.live) == 0)?;
        ensure!(gone, "the readers do not leave");
        Ok(())
    }

    /// Waits until so many readers are subscribed.
    pub(crate) fn wait_live(&mut self, count: u64) -> anyhow::Result<()> {
        let mut best = (0, Instant::now());
        loop {
            let live = self.crowd.sum(|tally| tally.live);
            if live >= count {
                return Ok(());
            }
            self.say(&format!("{live} of {count} readers are subscribed"));
            let refused = self.crowd.sum(|tally| tally.refused + tally.lost);
            ensure!(refused == 0, "{refused} readers were refused or lost{}", self.why());
            if live > best.0 {
                best = (live, Instant::now());
            }
            ensure!(
                best.1.elapsed() < PATIENCE,
                "only {live} of {count} readers are subscribed and nothing has moved for {} s; does the server limit \
                 connections, or its open files?{}",
                PATIENCE.as_secs(),
                self.why()
            );
            self.turn(Duration::from_millis(50))?;
        }
    }

    pub(crate) fn publisher(&mut self) -> anyhow::Result<&mut Publisher> {
        self.publisher.as_mut().with_context(|| format!("{} cannot be published to over HTTP", self.target.name))
    }

    /// Events that one request may publish.
    pub(crate) fn batch_max(&mut self) -> anyhow::Result<usize> {
        Ok(self.publisher()?.batch_max)
    }

    /// Publishes `count` events to a topic now, in as few requests as it takes.
    pub(crate) fn publish(&mut self, topic: u32, count: usize) -> anyhow::Result<()> {
        self.publish_at(topic, count, clock::now())
    }

    /// The same, when the schedule wanted them sent at `at`. Events of one topic go over one connection, in order.
    pub(crate) fn publish_at(&mut self, topic: u32, count: usize, at: u64) -> anyhow::Result<()> {
        let caller = topic as usize % self.callers;
        self.publish_over(caller, topic, count, at)
    }

    /// The same, over a connection of choice.
    pub(crate) fn publish_over(&mut self, caller: usize, topic: u32, count: usize, at: u64) -> anyhow::Result<()> {
        let batch_max = self.batch_max()?;
        let publisher = self.publisher.as_mut().context("nobody publishes")?;
        let mut left = count;
        while left > 0 {
            let batch = left.min(batch_max);
            let request = publisher.request(topic, batch, at);
            self.crowd.local.call(caller, request, at, u32::try_from(batch)?)?;
            left -= batch;
        }
        self.expected += count as u64 * self.readers.get(&topic).copied().unwrap_or(0);
        Ok(())
    }

    /// Requests that are not answered yet, on all connections.
    pub(crate) fn in_flight(&self) -> usize {
        (0..self.callers).map(|caller| self.crowd.local.in_flight(caller)).sum()
    }

    /// Calls `act` at a fixed rate for so long, with the number of the call and the time that the schedule wanted it.
    /// A call that comes late does not move the ones after it.
    pub(crate) fn paced(
        &mut self,
        per_second: f64,
        duration: Duration,
        act: impl FnMut(&mut Self, u32, u64) -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        self.paced_while(per_second, duration, |_| true, act)?;
        Ok(())
    }

    /// The same, but ends before its time when `go_on` says so; returns whether it did not.
    pub(crate) fn paced_while(
        &mut self,
        per_second: f64,
        duration: Duration,
        go_on: impl Fn(&Self) -> bool,
        mut act: impl FnMut(&mut Self, u32, u64) -> anyhow::Result<()>,
    ) -> anyhow::Result<bool> {
        let begin = clock::now();
        let end = begin + clock::micros(duration);
        let mut n = 0;
        loop {
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "microseconds of a run")]
            let at = begin + (f64::from(n) * 1e6 / per_second) as u64;
            let now = clock::now();
            if at > now.max(begin) && at < end {
                // The wait is in whole milliseconds and must not be too long; the last one is spent turning.
                self.turn(Duration::from_millis((at - now) / 1000))?;
                continue;
            }
            if at >= end {
                break;
            }
            act(self, n, at)?;
            n += 1;
            if n % 16 == 0 {
                self.turn(Duration::ZERO)?;
            }
            if !go_on(self) {
                return Ok(false);
            }
        }
        while clock::now() < end {
            self.turn(Duration::from_millis((end - clock::now().min(end)) / 1000))?;
        }
        Ok(true)
    }

    /// Deliveries that must come and have not.
    pub(crate) fn backlog(&self) -> u64 {
        self.expected.saturating_sub(self.crowd.sum(|tally| tally.deliveries))
    }

    /// Waits until every delivery has come that must. Returns `false` if none came for too long. What the server has told to be gone
    /// is not waited for longer than it takes to know that nothing else comes.
    pub(crate) fn settle(&mut self) -> anyhow::Result<bool> {
        let mut best = (0, Instant::now());
        loop {
            let come = self.crowd.sum(|tally| tally.deliveries);
            if come >= self.expected && self.in_flight() == 0 {
                return Ok(true);
            }
            if come > best.0 {
                best = (come, Instant::now());
            }
            let is_told = self.crowd.sum(|tally| tally.told_gaps) > self.told_gaps;
            if is_told && self.in_flight() == 0 && best.1.elapsed() > QUIET {
                self.told_gaps = self.crowd.sum(|tally| tally.told_gaps);
                self.expected = come;
                return Ok(true);
            }
            if best.1.elapsed() > PATIENCE || self.crowd.sum(|tally| tally.unpublished) > 0 {
                return Ok(false);
            }
            self.turn(Duration::from_millis(20))?;
        }
    }

    /// Waits for the same, but only so long in all.
    pub(crate) fn settles_within(&mut self, time: Duration) -> anyhow::Result<bool> {
        let deadline = Instant::now() + time;
        while self.crowd.sum(|tally| tally.deliveries) < self.expected {
            if Instant::now() >= deadline {
                return Ok(false);
            }
            self.turn(Duration::from_millis(5))?;
        }
        Ok(true)
    }

    /// Waits until every request is answered.
    pub(crate) fn answered(&mut self) -> anyhow::Result<()> {
        let deadline = Instant::now() + PATIENCE;
        while self.in_flight() > 0 {
            ensure!(
                Instant::now() < deadline,
                "{} requests to publish were not answered within {} s{}",
                self.in_flight(),
                PATIENCE.as_secs(),
                self.why()
            );
            self.turn(Duration::from_millis(20))?;
        }
        self.expect_published()
    }

    /// An error if publishing failed: the events that are lacking would look like loss.
    fn expect_published(&self) -> anyhow::Result<()> {
        let failed = self.crowd.sum(|tally| tally.unpublished);
        ensure!(failed == 0, "{failed} events were not published{}", self.why());
        Ok(())
    }

    /// The first thing that went wrong, to stand behind a sentence.
    pub(crate) fn why(&self) -> String {
        self.crowd.complaint().map(|complaint| format!(": {complaint}")).unwrap_or_default()
    }

    /// Begins to measure.
    pub(crate) fn begin(&mut self) -> anyhow::Result<()> {
        self.window = Some(Window::begin(&self.crowd, self.target.usage())?);
        Ok(())
    }

    /// Ends the measurement.
    pub(crate) fn end(&mut self) -> anyhow::Result<Measured> {
        self.expect_published()?;
        let window = self.window.take().context("nothing is measured")?;
        window.end(&self.crowd, self.target.usage())
    }

    /// Completes an outcome with what was verified.
    pub(crate) fn verdict(&mut self, outcome: Outcome) -> anyhow::Result<Outcome> {
        let mut violations = self.crowd.violations();
        violations.disagreements += self.crowd.disagreements()?;
        let come = self.crowd.sum(|tally| tally.deliveries);
        let told_gaps = self.crowd.sum(|tally| tally.told_gaps);
        // What is known to be missing, or was told to be gone, is not counted twice.
        if told_gaps == 0 {
            violations.undelivered += self.expected.saturating_sub(come + violations.missing);
        }
        Ok(Outcome { violations, told_gaps, complaint: self.crowd.complaint(), ..outcome })
    }
}
