//! Readers that are slower than what is published: each policy keeps its promise, and nobody else notices.

use std::collections::BTreeMap;
use std::time::Duration;

use fanfare_tests::sse::subscribe;
use fanfare_tests::token::Token;
use fanfare_tests::ws::{self, Received};
use fanfare_tests::{Api, Config, InTime, Message, PATIENCE, Proxy, Server, eventually, fresh_topic, within};
use serde_json::{Value, json};

const EVENTS: u64 = 3000;
/// Of each event; far more in all than sockets, rings and buffers hold together.
const FILLING: usize = 8 * 1024;
/// Further readers that stop, so that what each of them costs can be told from what the log itself keeps in memory.
const COMPANIONS: usize = 10;
/// Above what the log keeps in memory of 24 MB of events, and far below what eleven readers would hold of them.
const GROWTH_MAX: u64 = 64 * 1024 * 1024;

/// What ends readers that stop would end what these tests look at.
fn config() -> Config {
    Config::new().lets_readers_stop()
}

/// Publishes `EVENTS` to `topic`, with keys `0..10`, while a healthy reader is given each event in time.
async fn publish_beside_a_healthy_reader(server: &Server, topic: &str) {
    let mut healthy = ws::connect(server.public(), &Token::client().user("healthy").mint()).await;
    healthy.subscribe(topic, "now").await;
    let api = server.api().pooled();
    let filling = "x".repeat(FILLING);
    let mut deliveries = InTime::new(Duration::from_secs(2));
    for n in 1..=EVENTS {
        let begun = tokio::time::Instant::now();
        publish(&api, topic, n, &filling).await;
        assert_eq!(healthy.event().await["data"][0], n);
        deliveries.took(begun.elapsed());
    }
}

async fn publish(api: &Api, topic: &str, n: u64, filling: &str) {
    api.publish(topic, Message::json(json!([n, filling])).with("key", (n % 10).to_string())).await;
}

/// Stalls a reader of a topic of `kind`, publishes everything, lets it read again: what it then gets, up to the
/// last event or the end of the connection.
async fn stall_and_resume(server: &Server, kind: &str) -> (Vec<Value>, Option<u16>) {
    let topic = fresh_topic(kind);
    let proxy = Proxy::start(server.public()).await;
    let mut slow = ws::connect(proxy.address(), &Token::client().user("slow").mint()).await;
    slow.subscribe(&topic, "now").await;
    publish(&server.api(), &topic, 0, "").await;
    assert_eq!(slow.event().await["data"][0], 0);
    let mut companions = Vec::new();
    for _ in 0..COMPANIONS {
        let mut companion = ws::connect(proxy.address(), &Token::client().user("slow").mint()).await;
        companion.subscribe(&topic, "now").await;
        companions.push(companion);
    }
    proxy.stall(true);
    let before = server.stats().rss_bytes;
    publish_beside_a_healthy_reader(server, &topic).await;
    let grown = server.stats().rss_bytes.saturating_sub(before);
    assert!(grown < GROWTH_MAX, "{kind}: {EVENTS} events for stopped readers took {} KiB", grown / 1024);

    drop(companions);
    proxy.stall(false);
    let mut frames = Vec::new();
    loop {
        match within(format!("frames of {kind}"), slow.receive()).await {
            Received::Frame(frame) if frame.get("ping").is_some() => {}
            Received::Frame(frame) => {
                let last = frame["event"]["data"][0] == EVENTS;
                frames.push(frame);
                if last {
                    return (frames, None);
                }
            }
            Received::Closed(closed) => return (frames, closed.code),
        }
    }
}

/// The numbers of the events, and the gaps; every gap accounts for exactly what is missing.
fn accounted_for(frames: &[Value]) -> (Vec<u64>, Vec<Value>) {
    let (mut numbers, mut gaps, mut missing): (Vec<u64>, Vec<Value>, Vec<(u64, u64)>) = Default::default();
    for frame in frames {
        if let Some(gap) = frame.get("gap") {
            missing.push((gap["from"].as_u64().expect("a number"), gap["to"].as_u64().expect("a number")));
            gaps.push(gap.clone());
        } else if let Some(event) = frame.get("event") {
            numbers.push(event["data"][0].as_u64().expect("a number"));
        }
    }
    // The event with the number n has the offset n + 1.
    let covered = |n: &u64| missing.iter().any(|(from, to)| (*from..=*to).contains(&(n + 1)));
    let seen: std::collections::BTreeSet<u64> = numbers.iter().copied().collect();
    let last = numbers.last().copied().unwrap_or(0);
    let silent: Vec<u64> = (1..=last).filter(|n| !seen.contains(n) && !covered(n)).collect();
    assert!(silent.is_empty(), "missing without a word: {:?}", &silent[..silent.len().min(20)]);
    assert!(numbers.is_sorted_by(|a, b| a < b), "in order, none twice");
    (numbers, gaps)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn replay_gives_everything_later() {
    let server = Server::start(config()).await;
    let (frames, closed) = stall_and_resume(&server, "replayed").await;
    assert_eq!(closed, None);
    let (numbers, gaps) = accounted_for(&frames);
    assert_eq!((numbers, gaps), ((1..=EVENTS).collect(), Vec::new()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn disconnect_ends_it_with_a_code_that_says_to_come_back() {
    let server = Server::start(config().kind("ended", "on_slow = \"disconnect\"")).await;
    let (frames, closed) = stall_and_resume(&server, "ended").await;
    let (numbers, gaps) = accounted_for(&frames);
    assert!(gaps.is_empty() && numbers.len() < 3000, "{} events, {gaps:?}", numbers.len());
    assert_eq!(numbers, (1..=numbers.len() as u64).collect::<Vec<_>>(), "what came is a prefix");
    assert!(closed.is_none_or(|code| code == 3003), "{closed:?}");
    eventually("the end to be counted", PATIENCE, || async {
        (server.api().metric("fanfare_sessions_ended_total", "slow").await >= 1.0).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn skip_jumps_to_the_end_and_says_what_is_missing() {
    let server = Server::start(config().kind("skipped", "on_slow = \"skip\"")).await;
    let (frames, closed) = stall_and_resume(&server, "skipped").await;
    assert_eq!(closed, None);
    let (numbers, gaps) = accounted_for(&frames);
    assert!(numbers.len() < 3000, "nothing was skipped");
    assert!(!gaps.is_empty() && gaps.iter().all(|gap| gap["reason"] == "slow"), "{gaps:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn conflate_gives_the_latest_of_each_key() {
    let server = Server::start(config().kind("conflated", "on_slow = \"conflate\"")).await;
    let (frames, closed) = stall_and_resume(&server, "conflated").await;
    assert_eq!(closed, None);
    let (numbers, gaps) = accounted_for(&frames);
    assert!(numbers.len() < 3000, "nothing was conflated");
    assert!(!gaps.is_empty() && gaps.iter().all(|gap| gap["reason"] == "conflated"), "{gaps:?}");
    let latest: BTreeMap<u64, u64> = numbers.iter().map(|n| (n % 10, *n)).collect();
    let expected: BTreeMap<u64, u64> = (EVENTS - 9..=EVENTS).map(|n| (n % 10, n)).collect();
    assert_eq!(latest, expected, "the latest of every key has come");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_a_topic_without_history_a_slow_reader_is_told() {
    let server = Server::start(config().kind("ephemeral", "history = \"none\"")).await;
    let (frames, closed) = stall_and_resume(&server, "ephemeral").await;
    assert_eq!(closed, None);
    let (numbers, gaps) = accounted_for(&frames);
    assert!(numbers.len() < 3000, "nothing was lost");
    assert!(!gaps.is_empty() && gaps.iter().all(|gap| gap["reason"] == "slow"), "{gaps:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_waits_for_slow_readers_is_shown_and_bounded() {
    const READERS: usize = 5;
    let batch = 64.0 * 1024.0;
    let server = Server::start(config()).await;
    let topic = fresh_topic("watched");
    let proxy = Proxy::start(server.public()).await;
    let (mut ws_readers, mut sse_readers) = (Vec::new(), Vec::new());
    for _ in 0..READERS {
        let mut reader = ws::connect(proxy.address(), &Token::client().user("slow").mint()).await;
        reader.subscribe(&topic, "now").await;
        ws_readers.push(reader);
        sse_readers.push(subscribe(proxy.address(), &[&topic]).open().await);
    }
    proxy.stall(true);
    publish_beside_a_healthy_reader(&server, &topic).await;
    let api = server.api();
    for protocol in ["protocol=\"websocket\"", "protocol=\"sse\""] {
        let waiting = api.metric("fanfare_output_waiting_bytes", protocol).await;
        // One batch each, and the event that filled it.
        let most = (batch + 2.0 * FILLING as f64) * READERS as f64;
        assert!(waiting > 0.0 && waiting <= most, "{protocol}: {waiting} bytes wait");
    }
    drop((ws_readers, sse_readers));
    proxy.stall(false);
    eventually("nothing to wait any more", PATIENCE, || async {
        (api.metric("fanfare_output_waiting_bytes", "").await == 0.0).then_some(())
    })
    .await;
}
