//! New tokens for everybody at once.

use std::time::{Duration, Instant};

use anyhow::ensure;

use crate::engine::swarm::Order;
use crate::ground::Ground;
use crate::report::{Metric, Outcome};
use crate::target::Wish;
use crate::target::fanfare::Setting;
use crate::transport::Transport;

/// Everybody refreshes the token at once: an application that mints tokens on the hour.
///
/// Each client sends a token of its own that the server has not seen, several times; the next when all are answered.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// How many clients.
    #[arg(long, default_value_t = 2000)]
    clients: u32,
    /// How often.
    #[arg(long, default_value_t = 5)]
    times: u32,
}

impl Options {
    pub(crate) fn run(&self, ground: &Ground) -> anyhow::Result<Vec<Outcome>> {
        ground.each(Setting::LIVE, &[Transport::Ws], 3, |bench, transport| {
            ensure!(bench.target.is_ours(), "only Fanfare's own refresh is measured");
            let plan = bench.plan(&Wish::new(transport).distinct().counting("\"refreshed\""))?;
            let first = bench.subscribe(&plan, self.clients, |_| 0)?;
            let (mut storm, mut cpu) = (Duration::ZERO, Some(0.0));
            for round in 1..=u64::from(self.times) {
                // Signed before the clock runs: that is the application's work.
                let mut frames = Vec::with_capacity(self.clients as usize);
                for n in 0..self.clients {
                    let token = plan.tokens.of(first + n, "")?;
                    frames.push(format!(r#"{{"id":4,"refresh":{{"token":"{token}"}}}}"#).into_bytes());
                }
                bench.begin()?;
                let begin = Instant::now();
                for (id, text) in (first..).zip(frames) {
                    bench.crowd.order(id, Order::Say { id, text })?;
                }
                let expected = round * u64::from(self.clients);
                let done = bench
                    .crowd
                    .turn_until(Duration::from_secs(30), |crowd| crowd.sum(|tally| tally.replies) >= expected)?;
                ensure!(done, "{} of {expected} answers came{}", bench.crowd.sum(|tally| tally.replies), bench.why());
                storm += begin.elapsed();
                cpu = cpu.zip(bench.end()?.cpu).map(|(sum, cpu)| sum + cpu);
            }
            let refreshes = f64::from(self.clients) * f64::from(self.times);
            let mut metrics = vec![Metric::more("refreshes a second", refreshes / storm.as_secs_f64(), "1/s")];
            if let Some(cpu) = cpu {
                metrics.push(Metric::less("processor time of a refresh", cpu / refreshes * 1e6, "µs"));
            }
            bench.verdict(Outcome { metrics, ..Outcome::default() })
        })
    }
}
