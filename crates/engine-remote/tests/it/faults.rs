//! The connection breaks, the hub goes and comes back, a gateway is slow, a stranger calls.

use std::sync::Arc;
use std::time::Duration;

use fanfare_auth::Secret;
use fanfare_bus::{Broker, Receive};
use fanfare_engine_remote::{Engine, Error, Options};
use fanfare_history::{Append, Keep};
use fanfare_lifecycle::Lifecycle;
use fanfare_model::{ByteSize, Data, Draft, Kind, Tenant, Topic, TopicKey};
use fanfare_test_engines::{Cut, Port};

use crate::ear::{Ear, Heard, PATIENCE};
use crate::hub::{Behind, Keeps, Plan, TestHub, options};

fn topic() -> TopicKey {
    TopicKey::new(Tenant::default(), Topic::new("news").unwrap())
}

fn events(count: usize, bytes: usize) -> Vec<Append> {
    let keep = Arc::new(Keep { events_max: None, ..Keep::default() });
    let append =
        |_| Append { topic: topic(), draft: Draft::new(Data::binary(vec![7; bytes])), keep: Arc::clone(&keep) };
    (0..count).map(append).collect()
}

/// Publishes at the hub itself.
async fn publish(behind: &Behind, count: usize, bytes: usize) {
    for outcome in behind.hub().offer().broker.publish(events(count, bytes)).await {
        outcome.unwrap();
    }
}

/// A broker of the gateway that has attached the topic.
async fn attached(behind: &Behind) -> (Arc<Ear>, Arc<dyn Broker>) {
    let ear = Arc::new(Ear::default());
    let broker = behind.engine.broker(Arc::<Ear>::clone(&ear) as Arc<dyn Receive>);
    broker.attach(vec![topic()]).await.unwrap();
    ear.until(|heard| heard.contains(&Heard::Lost)).await;
    ear.take();
    (ear, broker)
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_broken_connection_heads_are_compared_and_news_go_on() {
    let behind = Behind::start(|_| {}).await;
    let (ear, broker) = attached(&behind).await;
    publish(&behind, 1, 10).await;
    ear.until(|heard| heard.contains(&Heard::Event(1))).await;
    for how in [Cut::Fin, Cut::Reset] {
        ear.take();
        behind.proxy.cut(how);
        ear.until(|heard| heard.contains(&Heard::Lost)).await;
        publish(&behind, 1, 10).await;
        ear.until(|heard| heard.iter().any(|heard| matches!(heard, Heard::Event(_)))).await;
        // What is interesting was told again before that.
        assert_eq!(ear.all()[0], Heard::Lost);
    }
    let head = broker.heads(vec![topic()]).await.unwrap().remove(0);
    assert_eq!(head.last.offset, 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hub_that_vanishes_fails_calls_in_time_and_is_found_again() {
    let mut behind = Behind::start(|options| options.timeout = fanfare_model::Duration::from_secs(2)).await;
    let (ear, broker) = attached(&behind).await;
    publish(&behind, 2, 10).await;
    behind.proxy.part(true);
    let failing = async {
        let outcome = broker.publish(events(1, 10)).await.remove(0);
        assert_eq!(outcome.unwrap_err().kind(), Kind::Unavailable);
        assert_eq!(broker.heads(vec![topic()]).await.unwrap_err().kind(), Kind::Unavailable);
        let other = TopicKey::new(Tenant::default(), Topic::new("other").unwrap());
        assert_eq!(broker.attach(vec![other]).await.unwrap_err().kind(), Kind::Unavailable);
    };
    tokio::time::timeout(PATIENCE / 2, failing).await.expect("calls fail in time");
    behind.proxy.part(false);
    ear.take();
    behind.restart_hub().await;
    behind.proxy.cut(Cut::Reset);
    ear.until(|heard| heard.contains(&Heard::Lost)).await;
    // It may or may not have been stored before the hub was gone; nothing before it is lost.
    let head = broker.heads(vec![topic()]).await.unwrap().remove(0);
    assert!((2..=3).contains(&head.last.offset), "{head:?}");
    let outcome = broker.publish(events(1, 10)).await.remove(0);
    assert_eq!(outcome.unwrap().position.offset, head.last.offset + 1);
    ear.until(|heard| heard.contains(&Heard::Event(head.last.offset + 1))).await;
}

/// More than waits at the hub and is under way.
const COUNT: usize = 400;

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_that_does_not_read_is_told_that_it_lost_something() {
    // What a connection holds under way is more than what waits at the hub.
    let behind = Behind::start(|options| options.waiting_bytes_max = ByteSize::mib(1)).await;
    let (ear, _broker) = attached(&behind).await;
    behind.proxy.bytes_per_second(Some(64 * 1024));
    publish(&behind, COUNT, 64 * 1024).await;
    behind.proxy.bytes_per_second(None);
    ear.until(|heard| heard.contains(&Heard::Lost)).await;
    publish(&behind, 1, 10).await;
    ear.until(|heard| heard.last() == Some(&Heard::Event(COUNT as u64 + 1))).await;
    let events = ear.all().iter().filter(|heard| matches!(heard, Heard::Event(_))).count();
    assert!(events < COUNT, "{events} of {COUNT} events came, so nothing was left out");
}

#[tokio::test(flavor = "multi_thread")]
async fn strangers_are_turned_away() {
    let dir = tempfile::tempdir().unwrap();
    let hub = TestHub::start(Plan::of(Keeps::In(dir.path().to_owned()))).await;
    let stranger = Options {
        url: Some(format!("http://{}", hub.address())),
        secret: Some(Secret::new("another-secret-of-thirty-two-bytes")),
        ..options()
    };
    let refused = Engine::connect(&stranger, &Lifecycle::new()).await.map(drop).unwrap_err();
    assert!(matches!(refused, Error::Denied { .. }), "{refused:?}");
    assert!(refused.to_string().contains("engine.remote.secret"), "{refused}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hub_that_is_not_there_is_named() {
    let nobodys = Port::reserve();
    let address = nobodys.address();
    let absent = Options { url: Some(format!("http://{address}")), ..options() };
    let refused = Engine::connect(&absent, &Lifecycle::new()).await.map(drop).unwrap_err();
    assert!(matches!(refused, Error::Unreachable { .. }), "{refused:?}");
    assert!(refused.to_string().contains(&address.to_string()), "{refused}");
}

#[tokio::test(flavor = "multi_thread")]
async fn fences_and_lives_go_on_after_the_hub_has_forgotten() {
    let mut behind = Behind::start(|_| {}).await;
    let leases = behind.engine.leases();
    let ttl = Duration::from_secs(60);
    let before = leases.acquire("own/x/1", "a", ttl).await.unwrap().unwrap();
    let holder = fanfare_presence::Holder(Arc::from("node"));
    let presence = behind.engine.presence();
    presence.heartbeat(&holder, ttl).await.unwrap();
    assert!(presence.heartbeat(&holder, ttl).await.unwrap());
    behind.restart_hub().await;
    behind.proxy.cut(Cut::Reset);
    let after = leases.acquire("own/x/1", "b", ttl).await.unwrap().unwrap();
    assert!(after > before, "{after} after {before}");
    assert!(!leases.renew("own/x/1", before, ttl).await.unwrap());
    assert!(!presence.heartbeat(&holder, ttl).await.unwrap(), "it has forgotten, and says so");
    let shard = 0;
    assert!(presence.fed(shard, after, 0).await.unwrap());
    assert!(!presence.fed(shard, before, 0).await.unwrap(), "an owner of before is refused");
}
