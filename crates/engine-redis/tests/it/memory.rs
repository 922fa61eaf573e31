//! What topics cost a server that has everything in memory.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use fanfare_bus::{Broker, History, Hub, HubOptions, Policies, PolicyOptions};
use fanfare_history::{Admin, Append, ReadFrom, TopicsQuery};
use fanfare_lifecycle::Lifecycle;
use fanfare_model::{Data, Draft, ManualClock, Tenant, Timestamp, TopicKey};
use fanfare_test_engines::{Redis, RedisKind};

use crate::reader::topic;
use crate::support::{at, engine};

const TOPICS: u64 = 10_000;
const DAY: Duration = Duration::from_secs(24 * 3600);

async fn used(server: &Redis) -> u64 {
    let info = server.cli(&["INFO", "memory"]).await;
    let used = info.lines().find_map(|line| line.strip_prefix("used_memory:"));
    used.and_then(|bytes| bytes.trim().parse().ok()).expect("a server knows what it uses")
}

async fn publish(broker: &dyn Broker, policies: &Policies, topics: &[TopicKey]) -> Vec<u64> {
    let mut offsets = Vec::new();
    for topics in topics.chunks(1000) {
        let append = |topic: &TopicKey| Append {
            topic: topic.clone(),
            draft: Draft::new(Data::text("x".repeat(100))),
            keep: Arc::clone(&policies.of(&topic.topic).keep),
        };
        let appended = broker.publish(topics.iter().map(append).collect()).await;
        offsets.extend(appended.into_iter().map(|appended| appended.expect("it is stored").position.offset));
    }
    offsets
}

/// A topic without events costs little, and is forgotten after a while; its offsets do not come again.
#[tokio::test(flavor = "multi_thread")]
async fn silent_topics_are_small_and_do_not_stay_for_ever() {
    let (server, life) = (Redis::start_with(RedisKind::Redis70, &[]).await, Lifecycle::new());
    let clock = Arc::new(ManualClock::new(Timestamp::from_seconds(1_800_000_000)));
    let policy = PolicyOptions {
        history: Some(History::default()),
        idempotency_window: Some(fanfare_model::Duration::from_secs(0)),
        ..PolicyOptions::default()
    };
    let policies = Arc::new(Policies::new(&BTreeMap::from([("*".to_owned(), policy)])));
    let engine = engine(&at(server.url()), 0, Arc::clone(&clock) as _, &life).await;
    let broker = engine.broker(Arc::clone(&policies), Hub::new(HubOptions::default(), Arc::clone(&policies), 1));
    let topics: Vec<_> = (0..TOPICS).map(|n| topic(&format!("conversation:{n:08}"))).collect();
    let empty = used(&server).await;
    let each = |now: u64| now.saturating_sub(empty) / TOPICS;

    assert!(publish(&*broker, &policies, &topics).await.iter().all(|offset| *offset == 1));
    let with_one = each(used(&server).await);
    clock.advance(DAY + Duration::from_secs(1));
    assert_eq!(broker.sweep().await.unwrap(), TOPICS);
    let silent = each(used(&server).await);
    println!("{with_one} bytes for a topic with one event of 100 bytes, {silent} for one without");
    assert!(with_one < 6000 && silent < 600, "{with_one}, {silent}");
    let head = broker.heads(vec![topics[7].clone()]).await.unwrap()[0];
    assert_eq!((head.last.offset, head.events), (1, 0), "it is remembered");
    publish(&*broker, &policies, &topics[..1]).await;

    clock.advance(88 * DAY);
    broker.sweep().await.unwrap();
    let listed = async || {
        let query = TopicsQuery { tenant: Tenant::default(), prefix: String::new(), after: None, limit: 100 };
        broker.topics(query).await.unwrap().topics.len()
    };
    assert_eq!(listed().await, 100);
    clock.advance(DAY + DAY / 2);
    broker.sweep().await.unwrap();
    let forgotten = each(used(&server).await);
    println!("{forgotten} bytes for one that is forgotten");
    // The server's tables of keys shrink later.
    assert!(forgotten < 100, "{forgotten}");
    // The first was published to once more, so it is remembered for longer.
    assert_eq!(listed().await, 1);
    let again = publish(&*broker, &policies, &topics[..20]).await;
    assert_eq!(again[0], 3);
    assert!(again[1..].iter().all(|offset| *offset > 1), "{again:?}");

    // Nor do those of a topic that was purged, in whatever epoch.
    broker.admin(Admin::Purge(topics[0].clone())).await.unwrap();
    assert!(publish(&*broker, &policies, &topics[..1]).await[0] > 3);
    let read = fanfare_history::Read {
        topic: topics[0].clone(),
        from: ReadFrom::Offset(0),
        direction: fanfare_history::Direction::Forward,
        limit: 10,
        bytes_max: 1 << 20,
        age_max: None,
    };
    assert_eq!(broker.read(read).await.unwrap().events.len(), 1);
    life.stop();
}
