//! Payload rules, and the letters about what they refuse.

use std::collections::BTreeMap;
use std::sync::Arc;

use fanfare_bus::{Direction, Error, Hub, HubOptions, LocalBroker, Policies, PolicyOptions, Read, ReadFrom};
use fanfare_model::{Data, Draft, EventName, Kind, ManualClock, Tenant, Timestamp, Topic, UserId};
use serde_json::{Value, json};

use crate::support::{TestBus, key, memory_log, start};

/// A bus with these topics.
fn with(topics: Value) -> TestBus {
    let topics: BTreeMap<String, PolicyOptions> = serde_json::from_value(topics).unwrap();
    let policies = Arc::new(Policies::new(&topics));
    let hub = Hub::new(HubOptions::default(), Arc::clone(&policies), 1);
    let clock = Arc::new(ManualClock::new(Timestamp::from_seconds(1_000)));
    let log = || memory_log(&clock, Arc::clone(&hub) as _);
    let broker = LocalBroker::new(log(), log(), policies);
    start(hub, Arc::new(broker), clock)
}

fn draft(data: &Value) -> Draft {
    Draft::new(Data::json(data.to_string()).unwrap())
}

impl TestBus {
    async fn try_publish(&self, batch: Vec<(&str, Draft)>) -> Result<usize, fanfare_bus::Refused> {
        let batch = batch.into_iter().map(|(topic, draft)| (Topic::new(topic).unwrap(), draft)).collect();
        let answers = self.bus.publish(&Tenant::default(), batch).await?;
        Ok(answers.into_iter().flatten().count())
    }

    async fn stored(&self, topic: &str) -> Vec<Draft> {
        let (direction, limit, bytes_max) = (Direction::Forward, 100, usize::MAX);
        let read = Read { topic: key(topic), from: ReadFrom::End, direction, limit, bytes_max, age_max: None };
        self.bus.read(read).await.unwrap().events.iter().map(|event| event.draft.clone()).collect()
    }

    async fn letters(&self, topic: &str) -> Vec<Value> {
        let stored = self.stored(topic).await;
        stored.iter().map(|letter| serde_json::from_slice(letter.data.bytes()).unwrap()).collect()
    }
}

#[tokio::test]
async fn a_refused_event_refuses_its_batch_and_is_kept_as_a_letter() {
    let bus = with(json!({
        "orders": {
            "payload": {"schemas": {"paid": {"properties": {"amount": {"type": "integer"}}, "required": ["amount"]}}},
            "dead_letter": "dead:orders"
        }
    }));
    let named = |data: &Value| Draft { name: Some(EventName::new("paid").unwrap()), ..draft(data) };
    let bad = Draft { user: Some(UserId::new("alice").unwrap()), ..named(&json!({"amount": "12"})) };
    let batch =
        vec![("orders:1", named(&json!({"amount": 12}))), ("orders:2", bad.clone()), ("news", draft(&json!(1)))];
    let refused = bus.try_publish(batch).await.unwrap_err();
    assert_eq!((refused.index, refused.error.kind(), refused.error.code()), (1, Kind::Invalid, "payload_refused"));
    let Error::Payload { reason, at } = &refused.error else { panic!("{refused}") };
    assert_eq!(reason, "the data break the schema at /amount: value is not of type \"integer\"");
    assert_eq!(at.as_deref(), Some("/amount"));
    for topic in ["orders:1", "orders:2", "news"] {
        assert!(bus.stored(topic).await.is_empty(), "nothing of the batch is published");
    }
    let letters = bus.letters("dead:orders").await;
    assert_eq!(
        letters,
        [json!({
            "topic": "orders:2",
            "reason": reason,
            "at": "/amount",
            "user": "alice",
            "message": {"id": bad.id.as_str(), "name": "paid", "data": {"amount": "12"}}
        })]
    );
    assert_eq!(
        bus.try_publish(vec![("orders:1", named(&json!({"amount": 12}))), ("orders:1", draft(&json!(1)))])
            .await
            .unwrap(),
        2
    );
}

#[tokio::test]
async fn rules_are_inherited_and_do_not_hold_for_letters() {
    let bus = with(json!({
        "*": {"payload": {"content": "json_object"}, "dead_letter": "dead"},
        "free": {"payload": {}}
    }));
    assert!(bus.try_publish(vec![("any", draft(&json!(1)))]).await.is_err());
    assert_eq!(bus.letters("dead").await.len(), 1);
    assert_eq!(bus.try_publish(vec![("free", Draft::new(Data::text("x")))]).await.unwrap(), 1);
    // The dead-letter topic is a topic as others are, but nothing goes from it to itself.
    assert!(bus.try_publish(vec![("dead", Draft::new(Data::text("x")))]).await.is_err());
    assert_eq!(bus.letters("dead").await.len(), 1);
}

#[tokio::test]
async fn without_a_place_for_letters_there_are_none_and_small_ones_are_kept_without_data() {
    let bus = with(json!({
        "plain": {"payload": {"names": ["a"]}},
        "large": {"payload": {"data_bytes_max": "10B"}, "dead_letter": "small"},
        "small": {"event_bytes_max": "400B"}
    }));
    let refused = bus.try_publish(vec![("plain", draft(&json!(1)))]).await.unwrap_err();
    assert_eq!(refused.to_string(), "item 0: the event has no name; allowed are `a`");
    bus.try_publish(vec![("large", draft(&json!("x".repeat(500))))]).await.unwrap_err();
    let letters = bus.letters("small").await;
    assert_eq!((&letters[0]["data_bytes"], letters[0]["message"].get("data")), (&json!(502), None));
}

#[tokio::test]
async fn a_draft_can_be_checked_before_it_is_published() {
    let bus = with(json!({"orders": {"payload": {"content": "json"}, "dead_letter": "dead"}}));
    let topic = Topic::new("orders").unwrap();
    assert!(bus.bus.check(&topic, &draft(&json!(1))).is_ok());
    assert!(matches!(bus.bus.check(&topic, &Draft::new(Data::text("x"))), Err(Error::Payload { .. })));
    assert!(bus.stored("dead").await.is_empty(), "checking leaves nothing behind");
}

#[test]
fn a_mistake_in_the_rules_is_found_when_they_are_read() {
    for (rules, part) in [
        (json!({"content": "yaml"}), "unknown variant `yaml`"),
        (json!({"schema": {}}), "unknown field `schema`"),
        (json!({"schemas": {"a": {"type": "strng"}}}), "the schema is wrong at /type"),
        (json!({"schemas": {"a": "no/such/file.json"}}), "no/such/file.json"),
    ] {
        let error = serde_json::from_value::<PolicyOptions>(json!({"payload": rules})).unwrap_err().to_string();
        assert!(error.contains(part), "{error}");
    }
}
