//! Members who come and go.

use std::time::{Duration, Instant};

use anyhow::ensure;

use crate::engine::swarm::Order;
use crate::ground::Ground;
use crate::report::{Metric, Outcome};
use crate::target::Wish;
use crate::target::fanfare::Setting;
use crate::transport::Transport;

/// Members who enter and leave rooms as fast as the server answers: a lobby, a lecture that begins.
///
/// Each client enters its room and leaves it again, over and over, both in one message; the next message is sent when both
/// are answered. One client in ten also watches its room.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// How many clients.
    #[arg(long, default_value_t = 1000)]
    clients: u32,
    /// How many rooms.
    #[arg(long, default_value_t = 10)]
    rooms: u32,
    /// How often each enters and leaves.
    #[arg(long, default_value_t = 50)]
    times: u32,
}

const SETTING: Setting = Setting {
    topics: "durability = \"none\"\npresence = { members_max = 100000 }",
    tables: "[ws]\ncommands_per_second = 1000000\ncommands_burst = 1000000",
    ..Setting::LIVE
};

impl Options {
    pub(crate) fn run(&self, ground: &Ground) -> anyhow::Result<Vec<Outcome>> {
        ensure!(self.rooms > 0 && self.clients > 0, "--rooms and --clients must be more than 0");
        ground.each(SETTING, &[Transport::Ws], 3, |bench, transport| {
            ensure!(bench.target.is_ours(), "only Fanfare's own presence is measured");
            // Answers to commands have an id; what is told of others has none.
            let plan = bench.plan(&Wish::new(transport).distinct().counting("\"id\":3,"))?;
            let first = bench.subscribe(&plan, self.clients, |n| n % self.rooms)?;
            for n in (0..self.clients).step_by(10) {
                let room = plan.topic(n % self.rooms);
                let (drop, watch) = (
                    format!(r#"{{"unsubscribe":{{"topic":"{room}"}}}}"#),
                    format!(r#"{{"subscribe":{{"topic":"{room}","presence":true}}}}"#),
                );
                let text = format!("{drop}\n{watch}").into_bytes();
                bench.crowd.order(first + n, Order::Say { id: first + n, text })?;
            }
            bench.begin()?;
            let begin = Instant::now();
            for round in 1..=u64::from(self.times) {
                for n in 0..self.clients {
                    let room = plan.topic(n % self.rooms);
                    let enter = format!(r#"{{"id":3,"presence":{{"topic":"{room}","enter":{{"status":"here"}}}}}}"#);
                    let leave = format!(r#"{{"id":3,"presence":{{"topic":"{room}","leave":{{}}}}}}"#);
                    let text = format!("{enter}\n{leave}").into_bytes();
                    bench.crowd.order(first + n, Order::Say { id: first + n, text })?;
                }
                let expected = round * u64::from(self.clients) * 2;
                let done = bench
                    .crowd
                    .turn_until(Duration::from_secs(30), |crowd| crowd.sum(|tally| tally.replies) >= expected)?;
                ensure!(done, "{} of {expected} answers came{}", bench.crowd.sum(|tally| tally.replies), bench.why());
            }
            let joins = f64::from(self.clients) * f64::from(self.times);
            let seconds = begin.elapsed().as_secs_f64();
            let measured = bench.end()?;
            let mut metrics = vec![Metric::more("joins, each with its leave, a second", joins / seconds, "1/s")];
            if let Some(cpu) = measured.cpu {
                metrics.push(Metric::more("joins per CPU-second", joins / cpu, "1/s"));
            }
            bench.verdict(Outcome { metrics, timeline: measured.timeline, ..Outcome::default() })
        })
    }
}
