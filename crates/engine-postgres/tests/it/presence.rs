//! The contract of presence, and what only rows can suffer from.

use std::sync::Arc;
use std::time::Duration;

use fanfare_cluster::Fence;
use fanfare_lifecycle::Lifecycle;
use fanfare_model::{Clock as _, SessionId, SystemClock};
use fanfare_presence::{Done, Enter, Holder, Limits, Presence};
use metrics_exporter_prometheus::PrometheusBuilder;

use crate::support::{PATIENCE, application, ask, engine, key, run, shared};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keeps_the_contract_of_presence() {
    let life = Lifecycle::new();
    let server = shared().await;
    fanfare_presence::contract::run(move |setting| {
        let life = life.clone();
        async move {
            let schema = format!("presence_{}", setting.place);
            engine(&server.url(), &schema, Arc::new(SystemClock), &life).await.presence()
        }
    })
    .await;
}

fn holder(name: &str) -> Holder {
    Holder(Arc::from(name))
}

/// A session enters a topic and says nothing of itself.
async fn enter(presence: &dyn Presence, topic: &str, session: &str, at: &str) -> Done {
    let lease = Duration::from_secs(3600);
    let enter = Enter {
        topic: key(topic),
        policy: Arc::default(),
        holder: holder(at),
        session: SessionId::new(session).expect("a valid session"),
        user: None,
        info: None,
        data: None,
        now: SystemClock.now(),
        limits: Limits { topics_per_session_max: 1000, members_max: 1_000_000, waiting_max: 1_000_000, lease },
    };
    presence.enter(enter).await.expect("it may enter")
}

/// A node knows that there was a change, and a crash of the server takes it before it is read.
#[tokio::test]
async fn what_a_crash_took_is_not_looked_for_without_rest() {
    let recorder = PrometheusBuilder::new().build_recorder();
    let _counted = metrics::set_default_local_recorder(&recorder);
    let (url, life) = (shared().await.url(), Lifecycle::new());
    let presence = engine(&url, "taken", Arc::new(SystemClock), &life).await.presence();
    assert!(enter(&*presence, "a", "s", "node").await.changed);
    run(&mut application(&url).await, "DELETE FROM taken.presence_feed").await.unwrap();
    let calls = || -> u64 {
        let text = recorder.handle().render();
        let name = r#"fanfare_postgres_calls_total{operation="presence",outcome="ok"} "#;
        text.lines().find_map(|line| line.strip_prefix(name)).map_or(0, |number| number.parse().expect("a number"))
    };
    let before = calls();
    let shard = presence.shard_of(&key("a"));
    let looking = presence.feed(shard, 0, 10, Duration::from_secs(1));
    let found = tokio::time::timeout(PATIENCE, looking).await.expect("it does not look for ever").unwrap();
    assert!(found.is_empty());
    // Besides, it looks by itself every second. Without rest they would be hundreds.
    assert!(calls() - before <= 20, "{} looks", calls() - before);
    let done = enter(&*presence, "a", "t", "node").await;
    let found = presence.feed(shard, 0, 10, Duration::from_secs(20)).await.unwrap();
    assert_eq!(found.iter().map(|(at, _)| *at).collect::<Vec<_>>(), [done.position], "what comes then is heard");
    life.stop();
}

/// A node that was taken for dead lets somebody in at the moment at which it is forgotten, and dies.
#[tokio::test]
async fn nobody_stays_for_ever_whose_holder_was_forgotten_meanwhile() {
    let (url, life) = (shared().await.url(), Lifecycle::new());
    let presence = engine(&url, "ghosts", Arc::new(SystemClock), &life).await.presence();
    presence.heartbeat(&holder("dead"), Duration::from_micros(1)).await.unwrap();
    let mut app = application(&url).await;
    // Marked as dead, but not forgotten yet, because there was somebody.
    run(&mut app, "UPDATE ghosts.presence_holder SET dead = true").await.unwrap();
    let shard = presence.shard_of(&key("a"));
    let entering = format!(
        "SET search_path = ghosts, pg_temp; BEGIN; SELECT presence_enter({shard}, 'default', 'a', 's', 's', NULL, NULL,
            NULL, 1, 'dead', 100, 100, 100, 100, 30000000)"
    );
    run(&mut app, &entering).await.unwrap();
    assert_eq!(presence.reap(&holder("alive")).await.unwrap(), 0, "nobody sees it yet");
    run(&mut app, "COMMIT").await.unwrap();
    assert_eq!(presence.occupancy(&[key("a")]).await.unwrap()[0].count, 1);
    assert_eq!(presence.reap(&holder("alive")).await.unwrap(), 1);
    assert_eq!(presence.occupancy(&[key("a")]).await.unwrap()[0].count, 0);
    assert_eq!(presence.reap(&holder("alive")).await.unwrap(), 0);
    assert_eq!(ask(&mut app, "SELECT count(*)::text FROM presence_holder").await, "0", "and it is forgotten");
    life.stop();
}

/// What was dealt with cannot be cleared away while e.g. a backup reads: it must not be gone through each time.
#[tokio::test]
async fn a_long_transaction_does_not_make_the_feed_slow() {
    let (url, life) = (shared().await.url(), Lifecycle::new());
    let presence = engine(&url, "backup", Arc::new(SystemClock), &life).await.presence();
    let shard = presence.shard_of(&key("a"));
    let (mut backup, mut app) = (application(&url).await, application(&url).await);
    let begin = "BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM backup.presence_feed";
    run(&mut backup, begin).await.unwrap();
    let fill = format!(
        "SET search_path = backup, pg_temp; SET enable_seqscan = off;
         INSERT INTO presence_feed SELECT {shard}, n, repeat('x', 1000) FROM generate_series(1, 20000) n;
         UPDATE presence_shard SET position = 20000 WHERE shard = {shard}"
    );
    run(&mut app, &fill).await.unwrap();
    assert!(presence.fed(shard, Fence::new(1), 20000).await.unwrap());
    let done = enter(&*presence, "a", "s", "node").await;
    let explain = format!(
        "EXPLAIN (ANALYZE, BUFFERS, TIMING OFF, FORMAT JSON) SELECT presence_fed({shard}, 2, {})",
        done.position
    );
    let plan: serde_json::Value = sqlx::query_scalar(sqlx::AssertSqlSafe(explain)).fetch_one(&mut app).await.unwrap();
    let plan = &plan[0]["Plan"];
    let blocks = plan["Shared Hit Blocks"].as_u64().unwrap() + plan["Shared Read Blocks"].as_u64().unwrap();
    // Some hundred of the catalogue, but not the thousands that the feed has.
    assert!(blocks < 1000, "{blocks} blocks for one change");
    assert_eq!(presence.fed_position(shard).await.unwrap(), done.position);
    assert_eq!(ask(&mut app, "SELECT count(*)::text FROM presence_feed").await, "0");
    run(&mut backup, "COMMIT").await.unwrap();
    life.stop();
}
