//! The contracts of leases and of consumers' progress.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use fanfare_consumer::{Cursors, Key, Name, Options, Progress, Swap, Swapped, Version};
use fanfare_lifecycle::Lifecycle;
use fanfare_model::{Epoch, Position, SystemClock, Tag, Tenant, Timestamp, Topic};
use fanfare_test_engines::Postgres;

use crate::support::{application, ask, engine, shared};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keeps_the_contract_of_leases() {
    let life = Lifecycle::new();
    let server = shared().await;
    fanfare_cluster::contract::run(move |setting| {
        let life = life.clone();
        async move {
            let schema = format!("leases_{}", setting.place);
            engine(&server.url(), &schema, Arc::new(SystemClock), &life).await.leases()
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keeps_the_contract_of_consumers() {
    let life = Lifecycle::new();
    let server = shared().await;
    fanfare_consumer::contract::run(move |setting| {
        let life = life.clone();
        async move {
            let schema = format!("consumers_{}", setting.place);
            let options = fanfare_consumer::Options {
                consumers_max: setting.consumers_max,
                ..fanfare_consumer::Options::default()
            };
            engine(&server.url(), &schema, Arc::new(SystemClock), &life).await.cursors(&options)
        }
    })
    .await;
}

/// Nodes ask again and again for what another one holds.
#[tokio::test]
async fn asking_for_a_lease_that_is_held_writes_nothing() {
    let (url, life) = (shared().await.url(), Lifecycle::new());
    let leases = engine(&url, "held", Arc::new(SystemClock), &life).await.leases();
    let fence = leases.acquire("a", "one", Duration::from_secs(3600)).await.unwrap().expect("it is free");
    let mut app = application(&url).await;
    let last = "SELECT last::text FROM held.fence";
    assert_eq!(ask(&mut app, last).await, fence.get().to_string());
    for _ in 0..3 {
        assert_eq!(leases.acquire("a", "two", Duration::from_secs(3600)).await.unwrap(), None);
    }
    assert_eq!(ask(&mut app, last).await, fence.get().to_string());
    leases.release("a", fence).await.unwrap();
    assert!(leases.acquire("a", "two", Duration::from_secs(3600)).await.unwrap() > Some(fence));
    life.stop();
}

/// A consumer that is done with so many events.
pub(crate) fn progress(offset: u64) -> Progress {
    let epoch = Epoch::from_u32(1).expect("it is not 0");
    Progress::new(Position { epoch, offset, tag: Tag::NONE }, Timestamp::from_seconds(1_800_000_000))
}

async fn swap(cursors: &dyn Cursors, expected: Option<Version>, offset: u64, commit: bool) -> Version {
    let key = Key {
        tenant: Tenant::default(),
        consumer: Name::new("c").expect("a valid name"),
        topic: Topic::new("t").expect("a valid topic"),
    };
    let swap = Swap { key, expected, progress: Some(progress(offset)), commit };
    match cursors.swap(swap).await.expect("the server is there") {
        Swapped::Done(version) => version,
        other => panic!("{other:?}"),
    }
}

/// Progress that need not be on the disk is lost with a server that crashes. Who has seen it must not take what is written
/// in its place for it.
#[tokio::test]
async fn a_crash_does_not_give_a_version_to_two_records() {
    // Nothing is written to the disk that nobody waits for.
    let server = Postgres::start_with(&["wal_writer_delay=10s"]).await;
    let (url, life) = (server.url(), Lifecycle::new());
    let cursors = engine(&url, "fanfare", Arc::new(SystemClock), &life).await.cursors(&Options::default());
    let first = swap(&*cursors, None, 0, true).await;
    let mut given = HashSet::from([first]);
    let mut last = first;
    for offset in 1..100 {
        last = swap(&*cursors, Some(last), offset, false).await;
        assert!(given.insert(last));
    }
    server.kill();
    life.stop();
    server.restart().await;
    let life = Lifecycle::new();
    let cursors = engine(&url, "fanfare", Arc::new(SystemClock), &life).await.cursors(&Options::default());
    let key = Key { tenant: Tenant::default(), consumer: Name::new("c").unwrap(), topic: Topic::new("t").unwrap() };
    // How much is lost is the server's to say; nearly always it is all that nobody waited for.
    let (mut last, _) = cursors.get(&key).await.unwrap().expect("the first was waited for");
    for offset in 1000..1100 {
        last = swap(&*cursors, Some(last), offset, false).await;
        assert!(!given.contains(&last), "{last:?} was another record");
    }
    life.stop();
}
