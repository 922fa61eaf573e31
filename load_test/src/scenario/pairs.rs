//! Pairs of people who talk to each other.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, ensure};

use crate::bench::Bench;
use crate::clock;
use crate::engine::plan::Plan;
use crate::engine::swarm::Order;
use crate::ground::Ground;
use crate::publisher::payload;
use crate::report::Outcome;
use crate::stamp::Stamp;
use crate::target::Wish;
use crate::target::fanfare::Setting;
use crate::target::template::Values;
use crate::transport::Transport;

/// Pairs of people who talk to each other: many topics with two clients each, both of which also publish.
///
/// After the paired clients of quiet-interview-chat: both write over their own WebSocket, and every third message is late (it
/// happened 5 to 10 s before it is sent). Both must get every message of both, once, in the same order, late ones like all
/// others. Then its validity check, on some pairs: the newest messages are read from the history, and must be as many as
/// asked for, newest first, of this pair, with the right content, and late exactly where they should be.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// How many pairs.
    #[arg(long, default_value_t = 500)]
    pairs: u32,
    /// Messages a second of each client.
    #[arg(long, default_value_t = 1.0)]
    rate: f64,
    /// For how long.
    #[arg(long, default_value_t = 20)]
    seconds: u64,
    /// Pairs whose history is checked.
    #[arg(long, default_value_t = 20)]
    checked: u32,
}

/// Messages that the validity check reads.
const PAGE: usize = 30;
/// Every so manieth message is late.
const LATE: u32 = 3;

/// How late a message is, in microseconds: 5 to 10 s.
fn lateness(sequence: u32) -> Option<u64> {
    sequence.is_multiple_of(LATE).then(|| 5_000_000 + u64::from(sequence) * 7_919_000 % 5_000_000)
}

impl Options {
    pub(crate) fn run(&self, ground: &Ground) -> anyhow::Result<Vec<Outcome>> {
        ground
            .each(Setting::LOG, &[Transport::Ws], 1, |bench, transport| self.measure(bench, transport, ground.bytes()))
    }

    fn measure(&self, bench: &mut Bench, transport: Transport, bytes: usize) -> anyhow::Result<Outcome> {
        let plan = bench.plan(&Wish::new(transport).distinct())?;
        ensure!(plan.publish.is_some(), "the adapter does not say how a client publishes");
        let clients = self.pairs * 2;
        let first = bench.subscribe(&plan, clients, |n| n / 2)?;
        let mut sent = vec![0_u32; clients as usize];
        bench.begin()?;
        bench.paced(self.rate * f64::from(clients), Duration::from_secs(self.seconds), |bench, n, at| {
            let client = n % clients;
            let sequence = &mut sent[client as usize];
            *sequence += 1;
            let publisher = u16::try_from(1 + client % 2)?;
            let stamp = Stamp { run: plan.run, topic: client / 2, publisher, sequence: *sequence, at };
            say(bench, &plan, first + client, &stamp, bytes)?;
            bench.expected += 2;
            Ok(())
        })?;
        bench.settle()?;
        let outcome = bench.end()?.outcome();
        if bench.target.is_ours() {
            for pair in 0..self.checked.min(self.pairs) {
                let total = sent[pair as usize * 2] + sent[pair as usize * 2 + 1];
                check(bench, pair, (total as usize).min(PAGE))
                    .with_context(|| format!("the history of pair {pair}"))?;
            }
        }
        bench.verdict(outcome)
    }
}

/// A client publishes over its own connection.
fn say(bench: &mut Bench, plan: &Arc<Plan>, id: u32, stamp: &Stamp, bytes: usize) -> anyhow::Result<()> {
    let late = lateness(stamp.sequence);
    let template = if late.is_some() { plan.late_publish.as_ref() } else { None }.or(plan.publish.as_ref());
    let template = template.context("the adapter does not say how a client publishes")?;
    let text = payload(stamp, bytes);
    let occurred_at = (clock::unix_micros_at_zero() + stamp.at).saturating_sub(late.unwrap_or(0));
    let topic = plan.topic(stamp.topic);
    let mut frame = Vec::with_capacity(bytes + 128);
    template.render(&Values { topic: &topic, payload: &text, occurred_at, ..Values::default() }, &mut frame);
    bench.crowd.order(id, Order::Say { id, text: frame })
}

/// The validity check: what the newest page of a pair's history must be like.
fn check(bench: &Bench, pair: u32, expected: usize) -> anyhow::Result<()> {
    let topic = bench.target.topic(pair);
    let text = bench.target.get(&format!("/v1/topics/{topic}/events?direction=backward&limit={PAGE}"))?;
    let page: serde_json::Value = serde_json::from_str(&text)?;
    let events = page["events"].as_array().context("it has no events")?;
    ensure!(events.len() == expected, "it has {} events and should have {expected}", events.len());
    let users = [0, 1].map(|side| format!("user-{}", pair * 2 + side));
    let mut newer = u64::MAX;
    for event in events {
        let offset = event["offset"].as_u64().context("an event has no offset")?;
        ensure!(offset < newer, "offset {offset} does not come before {newer}");
        newer = offset;
        let data = event["data"].as_str().unwrap_or_default();
        let found = Stamp::find(data.as_bytes()).map(|(stamp, _)| stamp);
        let Some(Ok(stamp)) = found else { anyhow::bail!("offset {offset} is not what was sent: {data}") };
        let user = event["user"].as_str().unwrap_or_default();
        let sender = &users[usize::from(stamp.publisher) - 1];
        ensure!(stamp.topic == pair && user == sender, "offset {offset} is of {user} and not of {sender}");
        let time = event["time"].as_u64().unwrap_or(0);
        let late = event["occurred_at"].as_u64().map(|occurred_at| time.saturating_sub(occurred_at));
        ensure!(late.is_some() == lateness(stamp.sequence).is_some(), "offset {offset} is late: {late:?}");
        // The server's clock is read later than ours, by the latency.
        ensure!(late.is_none_or(|late| (4_900_000..60_000_000).contains(&late)), "offset {offset} is late by {late:?}");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::lateness;

    #[test]
    fn every_third_message_is_five_to_ten_seconds_late() {
        let late: Vec<u64> = (1..=3000).filter_map(lateness).collect();
        assert_eq!(late.len(), 1000);
        assert!(late.iter().all(|micros| (5_000_000..10_000_000).contains(micros)));
    }
}
