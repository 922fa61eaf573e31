//! What statements cost where there is much: a page costs the same wherever it is.

use std::sync::Arc;

use fanfare_consumer::{ListQuery, Name};
use fanfare_history::{Direction, Read, ReadFrom, TopicsQuery};
use fanfare_lifecycle::Lifecycle;
use fanfare_model::{Clock as _, SystemClock, Tenant, Timestamp, Topic};
use fanfare_test_engines::Postgres;
use sqlx::PgConnection;

use crate::coordination::progress;
use crate::support::{Node, application, ask, engine, key, run};

/// Rows of each kind.
const MANY: u32 = 20_000;
/// Rows of a page.
const PAGE: usize = 50;
/// The most blocks of tables and indexes that a page may be read from: a few for each of its rows, and not all.
const BLOCKS: u64 = 12 * PAGE as u64;

/// Blocks that a statement with `part` in it was read from since this was last asked.
async fn blocks(app: &mut PgConnection, part: &str) -> u64 {
    let sum = format!(
        "SELECT coalesce(max((shared_blks_hit + shared_blks_read) / calls), 0)::text FROM pg_stat_statements
         WHERE query LIKE '%{part}%' AND query NOT LIKE '%pg_stat_statements%'"
    );
    let blocks = ask(app, &sum).await.parse().expect("a number");
    run(app, "SELECT pg_stat_statements_reset()").await.expect("the owner may");
    blocks
}

/// Reads a page of the long topic; what it cost.
async fn read(node: &Node, app: &mut PgConnection, from: ReadFrom, direction: Direction) -> u64 {
    let age_max = Some(std::time::Duration::from_secs(7 * 24 * 3600));
    let read = Read { topic: key("long"), from, direction, limit: PAGE, bytes_max: usize::MAX, age_max };
    let page = node.broker.read(read).await.expect("it is read");
    assert_eq!((page.events.len(), page.more), (PAGE, true), "{direction:?} from {from:?}");
    blocks(app, "FROM log e").await
}

#[tokio::test]
async fn a_page_costs_the_same_wherever_it_is() {
    let server = Postgres::start_with(&["fsync=off", "shared_preload_libraries=pg_stat_statements"]).await;
    let (url, life) = (server.url(), Lifecycle::new());
    let engine = engine(&url, "fanfare", Arc::new(SystemClock), &life).await;
    let (presence, cursors) = (engine.presence(), engine.cursors(&fanfare_consumer::Options::default()));
    let node = Node::start(&url, "fanfare").await;
    let mut app = application(&url).await;
    let shard = presence.shard_of(&key("room"));
    let (progress, now) = (progress(0).to_json(), SystemClock.now().as_micros());
    let middle = now + i64::from(MANY / 2);
    let fill = format!(
        "CREATE EXTENSION pg_stat_statements; SET search_path = fanfare, public;
         INSERT INTO presence_topic SELECT 'default', 'room', {shard}, life, floor, floor, {MANY}, {MANY}, {MANY}, {MANY}
             FROM presence_now();
         INSERT INTO presence_member SELECT 'default', 'room', 's' || lpad(n::text, 9, '0'), NULL, NULL, NULL, 1, 1
             FROM generate_series(1, {MANY}) n;
         INSERT INTO consumer SELECT 'default', 'c' || lpad((n / 10)::text, 9, '0'), 't' || n % 10, n,
             '{progress}' FROM generate_series(1, {MANY}) n;
         INSERT INTO topic (tenant, topic, epoch, top, appended)
             SELECT 'default', 't:' || lpad(n::text, 9, '0'), 1, 1, true FROM generate_series(1, {MANY}) n;
         INSERT INTO log (life, off, time, cum, size, kind, outside, id, data)
             SELECT life, 1, micros(clock_timestamp()), 1, 1, 0, false, 'id', '' FROM topic;
         INSERT INTO topic (tenant, topic, epoch, top, total, appended) VALUES ('default', 'long', 1, {MANY}, {MANY}, true);
         INSERT INTO log (life, off, time, cum, size, kind, outside, id, data)
             SELECT t.life, n, {now} + n, n, 1, 0, false, 'id' || n, '1' FROM topic t, generate_series(1, {MANY}) n
             WHERE t.topic = 'long';
         SELECT pg_stat_statements_reset()"
    );
    run(&mut app, &fill).await.unwrap();
    for after in [None, Some(format!("s{:09}", MANY - 100))] {
        let page = presence.members(&key("room"), after.as_deref(), PAGE, usize::MAX).await.unwrap();
        assert_eq!((page.members.len(), page.next.is_some()), (PAGE, true));
        let blocks = blocks(&mut app, "FROM presence_member").await;
        assert!((1..BLOCKS).contains(&blocks), "{blocks} blocks for members after {after:?}");
    }
    for after in [None, Some(Topic::new(format!("t:{:09}", MANY - 100)).unwrap())] {
        let query = TopicsQuery { tenant: Tenant::default(), prefix: "t:".to_owned(), after, limit: PAGE };
        let page = node.broker.topics(query.clone()).await.unwrap();
        assert_eq!((page.topics.len(), page.more), (PAGE, true));
        let blocks = blocks(&mut app, "FROM topic").await;
        assert!((1..BLOCKS).contains(&blocks), "{blocks} blocks for topics after {:?}", query.after);
    }
    for direction in [Direction::Forward, Direction::Backward] {
        for from in [100, u64::from(MANY / 2), u64::from(MANY) - 100].map(ReadFrom::Offset) {
            let blocks = read(&node, &mut app, from, direction).await;
            assert!((1..BLOCKS).contains(&blocks), "{blocks} blocks {direction:?} from {from:?}");
        }
        // Goes through the day up to there, but once, and not for every event of the page.
        let blocks = read(&node, &mut app, ReadFrom::Time(Timestamp::from_micros(middle)), direction).await;
        assert!((1..2 * u64::from(MANY)).contains(&blocks), "{blocks} blocks {direction:?} from a time");
    }
    // Of topics that keep nothing, of which the planner has not heard yet.
    let mut listener = node.listen(&["passing"]).await;
    let fill = "ALTER TABLE passing_topic SET (autovacuum_enabled = off);
        INSERT INTO passing_topic SELECT 'default', 'passing:' || n, 1, 1, 1 FROM generate_series(1, 20000) n";
    run(&mut app, fill).await.unwrap();
    blocks(&mut app, "FROM passed e").await;
    for n in 0..10 {
        node.publish("passing", &format!("{n}")).await;
        listener.until_text(&format!("{n}")).await;
    }
    let looking = blocks(&mut app, "FROM passed e").await;
    assert!((1..BLOCKS).contains(&looking), "{looking} blocks for each look of the tail");
    let late = Name::new(format!("c{:09}", MANY / 10 - 10)).unwrap();
    for (consumer, after, count) in [
        (None, Some((late.clone(), Topic::new("t1").unwrap())), PAGE),
        (Some(late.clone()), None, 10),
        (Some(late.clone()), Some((late, Topic::new("t4").unwrap())), 5),
    ] {
        let query = ListQuery { tenant: Tenant::default(), consumer, topic: None, after, limit: PAGE };
        let page = cursors.list(query.clone()).await.unwrap();
        assert_eq!((page.records.len(), page.more), (count, count == PAGE));
        let blocks = blocks(&mut app, "FROM consumer").await;
        assert!((1..BLOCKS).contains(&blocks), "{blocks} blocks for {query:?}");
    }
    life.stop();
}
