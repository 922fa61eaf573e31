//! A server that comes back with nothing in it, so soon that it looks like a short break.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use fanfare_cluster::Leases;
use fanfare_consumer::{Cursors, Key, Name, Progress, Swap, Swapped};
use fanfare_model::{Epoch, GapReason, Kind, Position, StartFrom, Timestamp, TopicKey};
use fanfare_presence::{Enter, Holder, Limits, Presence};
use fanfare_test_engines::Nats;
use futures_util::future::{join, join_all};

use crate::node::{Got, Node, topic};
use crate::support::{engine, options};

const ROUNDS: usize = 4;
/// So many events are in every life, at least.
const EVENTS_MIN: u64 = 60;

/// What was said of an event, and when it was sent.
struct Acknowledged {
    sent: Instant,
    number: u64,
    position: Position,
}

/// Publishes one event after the other, with numbers from `first` on, until it is enough.
async fn keep_publishing(node: &Node, topic: &TopicKey, first: u64, enough: &AtomicBool) -> Vec<Acknowledged> {
    let mut acknowledged = Vec::new();
    for number in first.. {
        let (sent, position) = loop {
            let sent = Instant::now();
            if let Some(position) = node.offer(topic, number).await {
                break (sent, position);
            }
        };
        acknowledged.push(Acknowledged { sent, number, position });
        if enough.load(Ordering::Acquire) {
            break;
        }
    }
    acknowledged
}

/// Nothing that was sent to the new server is acknowledged as if it were in the old log, by any node; what is
/// acknowledged in the new one is in it, once and at its place; and readers are told where one ends and the other begins.
#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_comes_back_empty_is_not_taken_for_the_old_one() {
    let server = Nats::start().await;
    let options = options(vec![server.url()], "forgets");
    let nodes = [Node::start(&options).await, Node::start(&options).await];
    let topics = [topic("a"), topic("b")];
    let mut listeners = Vec::new();
    for node in &nodes {
        for topic in &topics {
            listeners.push((topic, node.listen(topic, StartFrom::Start).await));
        }
    }
    let enough = AtomicBool::new(false);
    let numbers = (0..).map(|publisher: u64| 1 + 1_000_000 * publisher);
    let places = nodes.iter().flat_map(|node| topics.iter().map(move |topic| (node, topic)));
    let publishing = places.zip(numbers).map(|((node, topic), first)| keep_publishing(node, topic, first, &enough));
    let breaking = async {
        // When each server was gone for sure.
        let mut gone = Vec::new();
        let mut epochs = Vec::new();
        for _ in 0..ROUNDS {
            for topic in &topics {
                nodes[0].until_head(topic, EVENTS_MIN).await;
            }
            epochs.push(nodes[1].heads(topics.to_vec()).await[0].last.epoch);
            server.kill();
            gone.push(Instant::now());
            server.restart_empty().await;
        }
        for topic in &topics {
            nodes[0].until_head(topic, EVENTS_MIN).await;
        }
        epochs.push(nodes[1].heads(topics.to_vec()).await[0].last.epoch);
        enough.store(true, Ordering::Release);
        (gone, epochs)
    };
    let (acknowledged, (gone, epochs)) = join(join_all(publishing), breaking).await;

    for (at, topic) in topics.iter().enumerate() {
        let log = nodes[1].log(topic).await;
        let epoch = log[0].epoch;
        assert!(log.iter().all(|event| event.epoch == epoch));
        let stored: BTreeMap<u64, u64> = log.iter().map(|event| (number(event), event.offset)).collect();
        assert_eq!(stored.len(), log.len(), "an id is stored once");
        for said in acknowledged.iter().skip(at).step_by(topics.len()).flatten() {
            let Acknowledged { sent, number, position } = said;
            let sent_in = gone.iter().filter(|gone| *gone < sent).count();
            let stored_in = epochs.iter().position(|epoch| *epoch == position.epoch).expect("it is one of the lives");
            assert!(
                stored_in >= sent_in,
                "{number} was sent in life {sent_in} of {epochs:?}, and said to be at {position:?}"
            );
            if position.epoch == epoch {
                assert_eq!(stored.get(number), Some(&position.offset), "{number} was said to be at {position:?}");
            }
        }
        let last = log.last().map(|event| number(event)).expect("the new life has events");
        for (of, listener) in &mut listeners {
            if *of == topic {
                let got = listener.until_event(last).await;
                let begins = got.iter().rposition(|got| matches!(got, Got::Gap(gap) if gap.reason == GapReason::Epoch));
                let begins = begins.expect("it is told that the log began anew");
                let seen: Vec<Got> = got[begins + 1..].to_vec();
                let whole: Vec<Got> = log.iter().map(|event| Got::Event(number(event))).collect();
                assert_eq!(seen, whole, "all of the new log, in order");
            }
        }
    }
}

fn number(event: &fanfare_model::Event) -> u64 {
    event.draft.data.as_text().expect("a text").parse().expect("a number")
}

/// Asks until the servers answer.
async fn answered<T, E: std::fmt::Display>(kind: impl Fn(&E) -> Kind, mut ask: impl AsyncFnMut() -> Result<T, E>) -> T {
    let answer = async {
        loop {
            match ask().await {
                Ok(answer) => return answer,
                Err(error) => assert_eq!(kind(&error), Kind::Unavailable, "{error}"),
            }
        }
    };
    tokio::time::timeout(crate::node::PATIENCE, answer).await.expect("the servers answer in time")
}

/// Leases, consumers and presence go on with the node that is there, and nothing of before is taken for what is now.
#[tokio::test(flavor = "multi_thread")]
async fn everything_else_begins_anew_as_well() {
    let server = Nats::start().await;
    let engine = engine(options(vec![server.url()], "anew")).await;
    let leases: Arc<dyn Leases> = engine.leases().await.expect("the leases open");
    let cursors: Arc<dyn Cursors> = engine.cursors(&fanfare_consumer::Options::default()).await.expect("they open");
    let presence: Arc<dyn Presence> = engine.presence().await.expect("presence opens");
    let ttl = std::time::Duration::from_secs(30);
    let a = topic("a");
    let key = Key { tenant: a.tenant.clone(), consumer: Name::new("c").unwrap(), topic: a.topic.clone() };
    let swap = |expected| {
        let at = Position::origin(Epoch::from_u32(1).unwrap());
        let progress = Some(Progress::new(at, Timestamp::from_micros(0)));
        Swap { key: key.clone(), expected, progress, commit: false }
    };
    let enter = || Enter {
        topic: a.clone(),
        policy: Arc::default(),
        holder: Holder("node".into()),
        session: fanfare_model::SessionId::generate(),
        user: None,
        info: None,
        data: None,
        now: Timestamp::from_micros(0),
        limits: Limits { topics_per_session_max: 9, members_max: 99, waiting_max: 99, lease: ttl },
    };
    let acquire =
        async || answered(fanfare_cluster::Error::kind, async || leases.acquire("own/a", "me", ttl).await).await;
    let before = acquire().await.expect("it is free");
    assert_eq!(acquire().await, None, "it is held");
    let Swapped::Done(version) = cursors.swap(swap(None)).await.expect("it is kept") else { panic!("it is new") };
    presence.enter(enter()).await.expect("it may enter");
    presence.enter(enter()).await.expect("it may enter");
    server.kill();
    server.restart_empty().await;
    let after = acquire().await.expect("it is free again");
    assert!(after > before, "fences only grow: {before} and then {after}");
    assert!(!leases.renew("own/a", before, ttl).await.expect("the servers answer"), "the old one has ended");
    let kind = fanfare_consumer::Error::kind;
    let swapped = answered(kind, async || cursors.swap(swap(Some(version))).await).await;
    assert_eq!(swapped, Swapped::Conflict, "what was read before is not there any more");
    let Swapped::Done(next) = cursors.swap(swap(None)).await.expect("it is kept") else { panic!("it is new") };
    assert!(next.0 > version.0);
    let kind = fanfare_presence::Error::kind;
    answered(kind, async || presence.enter(enter()).await).await;
    let there = presence.members(&a, None, 10, 1 << 20).await.expect("they are read");
    assert_eq!(there.count, 1, "only who entered since is there");
    assert!(!presence.heartbeat(&Holder("other".into()), ttl).await.expect("it is heard"), "nobody knows it");
}
