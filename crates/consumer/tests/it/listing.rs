//! Where consumers are.

use fanfare_consumer::{Act, CursorsQuery, Error, Pull};
use fanfare_model::{StartFrom, Tenant};

use crate::support::{Bench, key, name, pull, release};

fn all() -> CursorsQuery {
    CursorsQuery { tenant: Tenant::default(), consumer: None, topic: None, after: None, limit: 100 }
}

#[tokio::test]
async fn a_consumer_shows_what_is_behind_out_and_to_come_again() {
    let bench = Bench::new();
    bench.publish("jobs", 1..=10).await;
    let (first, second) = (bench.pull("jobs", 2).await, bench.pull("jobs", 3).await);
    bench.pull("jobs", 1).await;
    bench.advance(5);
    bench.ack("jobs", &first, Act::All).await;
    bench.ack("jobs", &second, release(60)).await;
    let page = bench.consumers.cursors(all()).await.unwrap();
    assert_eq!((page.cursors.len(), &page.next), (1, &None));
    let cursor = &page.cursors[0];
    assert_eq!((cursor.consumer.as_str(), cursor.topic.as_str()), ("c", "jobs"));
    assert_eq!((cursor.position.offset, cursor.lag), (2, 8));
    assert_eq!((cursor.leases, cursor.leased, cursor.waiting), (1, 1, 3));
    assert_eq!(cursor.moved_at.as_seconds(), 1_800_000_005);
    bench.advance(30);
    let cursor = &bench.consumers.cursors(all()).await.unwrap().cursors[0];
    assert_eq!((cursor.leases, cursor.waiting), (0, 4), "a lease that ended is not out any more");
}

#[tokio::test]
async fn trimmed_events_and_an_earlier_log_do_not_count_as_behind() {
    let bench = Bench::new();
    bench.publish("short:a", 1..=5).await;
    bench.consumers.seek(&key("short:a"), &name("c"), StartFrom::Start).await.unwrap();
    bench.publish("short:a", 6..=30).await;
    let lag = async || bench.consumers.cursors(all()).await.unwrap().cursors[0].lag;
    assert_eq!(lag().await, 10);
    bench.admin(fanfare_bus::Admin::Purge(key("short:a"))).await;
    bench.publish("short:a", 1..=4).await;
    assert_eq!(lag().await, 4);
}

#[tokio::test]
async fn lists_come_in_pages() {
    let bench = Bench::new();
    for consumer in ["a", "b", "c"] {
        for topic in ["jobs", "news:1"] {
            bench.try_pull(Pull { consumer: name(consumer), ..pull(topic, 1) }).await.unwrap();
        }
    }
    let (mut after, mut found) = (None, Vec::new());
    loop {
        let page = bench.consumers.cursors(CursorsQuery { after, limit: 4, ..all() }).await.unwrap();
        found.extend(page.cursors.into_iter().map(|cursor| format!("{}/{}", cursor.consumer, cursor.topic)));
        let Some(next) = page.next else { break };
        after = Some(CursorsQuery::read_after(&next).unwrap());
    }
    assert_eq!(found, ["a/jobs", "a/news:1", "b/jobs", "b/news:1", "c/jobs", "c/news:1"]);
    let one = CursorsQuery { consumer: Some(name("b")), topic: Some(key("jobs").topic), ..all() };
    assert_eq!(bench.consumers.cursors(one).await.unwrap().cursors.len(), 1);
    for bad in ["", "b", "b/", "/jobs"] {
        assert!(CursorsQuery::read_after(bad).is_err(), "{bad}");
    }
}

#[tokio::test]
async fn a_consumer_can_be_forgotten() {
    let bench = Bench::new();
    bench.publish("jobs", 1..=2).await;
    let before = bench.pull("jobs", 100).await;
    bench.consumers.forget(&key("jobs"), &name("c")).await.unwrap();
    assert!(matches!(bench.consumers.forget(&key("jobs"), &name("c")).await, Err(Error::NotFound)));
    assert!(matches!(bench.try_ack("jobs", before.lease.unwrap(), Act::All).await, Err(Error::NotFound)));
    bench.advance(1);
    let anew = bench.pull("jobs", 100).await;
    assert_eq!((anew.events.len(), anew.deliveries[0]), (2, 1));
    assert!(anew.lease > before.lease, "also when it was forgotten in between");
}
