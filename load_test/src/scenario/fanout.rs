//! One topic, many readers, against a bare loop of `write(2)`.

use std::num::NonZeroUsize;
use std::time::{Duration, Instant};

use anyhow::ensure;

use crate::bare;
use crate::bench::Bench;
use crate::ground::Ground;
use crate::report::{Metric, Outcome};
use crate::target::Wish;
use crate::target::fanfare::Setting;
use crate::transport::Transport;

/// One topic, many readers: a match, a price, a dashboard that everybody watches.
///
/// Measured twice. Lockstep: the next event is published when every reader has the last one. Pressure: batches of ten,
/// the next before the readers have the last. Both against a bare loop in the same run, on the same core, with as many
/// readers and bytes: one thread that writes one shared buffer to every socket.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// How many readers.
    #[arg(long, default_value_t = 1000)]
    readers: u32,
    /// How many events each way publishes in a run.
    #[arg(long, default_value_t = 200)]
    events: usize,
    /// Events of one batch under pressure.
    #[arg(long, default_value = "10")]
    batch: NonZeroUsize,
}

impl Options {
    pub(crate) fn run(&self, ground: &Ground) -> anyhow::Result<Vec<Outcome>> {
        ground.each(Setting::LIVE, ground.transports(), 5, |bench, transport| self.measure(ground, bench, transport))
    }

    fn measure(&self, ground: &Ground, bench: &mut Bench, transport: Transport) -> anyhow::Result<Outcome> {
        let wish = Wish::new(transport);
        let readers = u64::from(self.readers);
        bench.subscribe(&bench.plan(&wish)?, self.readers, |_| 0)?;
        let before = bench.crowd.sum(|tally| tally.bytes);
        self.lockstep(bench, 1)?;
        let event_bytes = (bench.crowd.sum(|tally| tally.bytes) - before) / readers;

        bench.say("lockstep");
        bench.begin()?;
        let lockstep_rate = self.lockstep(bench, self.events)?;
        let lockstep = bench.end()?;
        bench.say("pressure");
        bench.begin()?;
        let pressure_rate = self.pressure(bench)?;
        let pressure = bench.end()?;
        let per_cpu_second = [("lockstep", lockstep.per_cpu_second()), ("pressure", pressure.per_cpu_second())];
        let encodings = bench.target.encodings_per_event()?;
        let mut outcome = bench.verdict(lockstep.outcome())?;
        // Nobody would answer the server's pings meanwhile.
        bench.leave()?;

        // The loop writes as many bytes as it is told; in which framing does not matter to it.
        let framing = if transport == Transport::Grpc { Transport::Sse } else { transport };
        let wish = Wish::new(framing);
        let target = bare::server::start(ground, framing, usize::try_from(event_bytes)?, false)?;
        let mut bare = ground.bench(target)?;
        bare.subscribe(&bare.plan(&wish)?, self.readers, |_| 0)?;
        self.lockstep(&mut bare, 1)?;
        bare.say("lockstep");
        let bare_rate = self.lockstep(&mut bare, self.events)?;
        bare.verdict(Outcome::default())?;

        let mut metrics = vec![
            Metric::fact("bare loop", bare_rate, "deliveries/s"),
            Metric::more("lockstep", lockstep_rate, "deliveries/s"),
            Metric::more("lockstep over bare", lockstep_rate / bare_rate, ""),
            Metric::more("pressure", pressure_rate, "deliveries/s"),
            Metric::more("pressure over bare", pressure_rate / bare_rate, ""),
        ];
        for (way, rate) in per_cpu_second {
            metrics.extend(rate.map(|rate| Metric::more(&format!("{way} per CPU-second"), rate, "deliveries/s")));
        }
        metrics.push(Metric::less("bytes of an event", event_bytes as f64, "B"));
        metrics.extend(encodings.map(|encodings| Metric::less("encodings of an event", encodings, "")));
        outcome.metrics = metrics;
        Ok(outcome)
    }

    /// Deliveries a second, each event after the one before has come everywhere.
    fn lockstep(&self, bench: &mut Bench, events: usize) -> anyhow::Result<f64> {
        let begin = Instant::now();
        for _ in 0..events {
            bench.publish(0, 1)?;
            let expected = bench.expected;
            let done = bench.crowd.turn_until(Duration::from_secs(30), |crowd| {
                crowd.sum(|tally| tally.deliveries) >= expected || crowd.sum(|tally| tally.unpublished) > 0
            })?;
            ensure!(
                done,
                "an event of {} did not come everywhere within 30 s: {} deliveries are missing, {} requests are not answered, \
                 {} readers are left{}",
                bench.target.name,
                bench.backlog(),
                bench.in_flight(),
                bench.crowd.sum(|tally| tally.live),
                bench.why()
            );
        }
        let rate = (events * self.readers as usize) as f64 / begin.elapsed().as_secs_f64();
        bench.answered()?;
        Ok(rate)
    }

    /// Deliveries a second, with batches that do not wait for the readers.
    fn pressure(&self, bench: &mut Bench) -> anyhow::Result<f64> {
        let begin = Instant::now();
        let before = bench.crowd.sum(|tally| tally.deliveries);
        for _ in 0..self.events / self.batch {
            bench.publish(0, self.batch.get())?;
            // One batch at a time is under way to the server.
            while bench.in_flight() > 0 {
                bench.turn(Duration::from_millis(1))?;
            }
        }
        bench.settle()?;
        let come = bench.crowd.sum(|tally| tally.deliveries) - before;
        Ok(come as f64 / begin.elapsed().as_secs_f64())
    }
}
