//! Where subscriptions begin, and that nothing is missed from there on.

use std::sync::Arc;

use fanfare_bus::{Admin, Budget, HubOptions, PolicyOptions, State};
use fanfare_model::{Epoch, Gap, GapReason, Position, StartFrom, Tag, Timestamp};

use crate::support::{Got, bus, events, key, small_ring};

const ALL: Budget = Budget { deliveries: usize::MAX, bytes: usize::MAX };

fn keep(max_events: u64) -> PolicyOptions {
    serde_json::from_value(serde_json::json!({ "history": { "max_events": max_events } })).unwrap()
}

#[tokio::test]
async fn a_live_reader_gets_what_is_published_in_order() {
    let test = bus(HubOptions::default(), PolicyOptions::default());
    let mut listener = test.listener();
    let subscribed = listener.subscribe("t", StartFrom::Now).await;
    assert_eq!((subscribed.position.offset, subscribed.state), (0, State::Live));
    test.publish("t", 1..=3).await;
    test.publish("other", 9..=9).await;
    test.publish("t", 4..=4).await;
    assert_eq!(listener.until_event(4).await, events(1..=4));
}

#[tokio::test]
async fn resume_at_every_offset_yields_exactly_the_rest() {
    // Once with everything in the ring, once with almost nothing in it.
    for options in [HubOptions::default(), small_ring()] {
        let test = bus(options, PolicyOptions::default());
        let mut keeps_the_tail = test.listener();
        keeps_the_tail.subscribe("t", StartFrom::Now).await;
        let positions = test.publish("t", 1..=100).await;
        for after in 0..=99 {
            let start = match after {
                0 => StartFrom::Start,
                n => StartFrom::After(positions[n - 1]),
            };
            let mut listener = test.listener();
            let subscribed = listener.subscribe("t", start).await;
            assert_eq!(subscribed.gap, None);
            assert_eq!(listener.until_event(100).await, events(after as u64 + 1..=100));
        }
        let mut at_head = test.listener();
        let subscribed = at_head.subscribe("t", StartFrom::After(positions[99])).await;
        assert_eq!((subscribed.state, subscribed.position), (State::Live, positions[99]));
        test.publish("t", 101..=101).await;
        assert_eq!(at_head.until_event(101).await, events(101..=101));
    }
}

#[tokio::test]
async fn starts_by_count_and_by_time() {
    for options in [HubOptions::default(), small_ring()] {
        let test = bus(options, PolicyOptions::default());
        test.publish("t", 1..=10).await;
        test.clock.set(Timestamp::from_seconds(2_000));
        test.publish("t", 11..=20).await;
        for (start, first) in [
            (StartFrom::Last(3), 18),
            (StartFrom::Last(20), 1),
            (StartFrom::Last(50), 1),
            (StartFrom::Since(Timestamp::from_seconds(2_000)), 11),
            (StartFrom::Since(Timestamp::from_seconds(1_500)), 11),
            (StartFrom::Since(Timestamp::from_seconds(1)), 1),
        ] {
            let mut listener = test.listener();
            listener.subscribe("t", start).await;
            assert_eq!(listener.until_event(20).await, events(first..=20), "{start:?}");
        }
        for start in [StartFrom::Last(0), StartFrom::Since(Timestamp::from_seconds(3_000))] {
            let mut listener = test.listener();
            assert_eq!(listener.subscribe("t", start).await.position.offset, 20, "{start:?}");
        }
    }
}

#[tokio::test]
async fn a_position_of_another_life_or_a_forked_log_is_told() {
    let test = bus(small_ring(), PolicyOptions::default());
    let positions = test.publish("t", 1..=20).await;
    let real = positions[9];
    let other_tag = Tag::from_u16(real.tag.as_u16().wrapping_add(1).max(1));
    let other_epoch = Epoch::from_u32(real.epoch.as_u32().wrapping_add(1).max(1)).unwrap();
    for (position, reason) in [
        (Position { tag: other_tag, ..real }, GapReason::Fork),
        (Position { tag: other_tag, ..positions[19] }, GapReason::Fork),
        (Position { offset: 21, ..real }, GapReason::Fork),
        (Position { epoch: other_epoch, ..real }, GapReason::Epoch),
    ] {
        let mut listener = test.listener();
        let subscribed = listener.subscribe("t", StartFrom::After(position)).await;
        assert_eq!(subscribed.gap, Some(Gap { from: position.offset + 1, to: 0, reason }));
        assert_eq!(listener.until_event(20).await, events(1..=20), "all of the log that is there");

        let mut without_history = test.listener();
        let subscribed = without_history.subscribe_with("t", StartFrom::After(position), None, false).await;
        assert_eq!(subscribed.gap, Some(Gap { from: position.offset + 1, to: 20, reason }));
        assert_eq!(subscribed.position.offset, 20, "nothing from before it came");
    }
}

#[tokio::test]
async fn what_retention_removed_is_a_gap_and_nothing_else_is() {
    let test = bus(small_ring(), keep(10));
    let positions = test.publish("t", 1..=30).await;
    let mut returning = test.listener();
    let subscribed = returning.subscribe("t", StartFrom::After(positions[4])).await;
    assert_eq!(subscribed.gap, Some(Gap { from: 6, to: 20, reason: GapReason::Trimmed }));
    assert_eq!(returning.until_event(30).await, events(21..=30));

    // Trimmed under a reader that is behind already.
    let mut behind = test.listener();
    behind.subscribe("t", StartFrom::After(positions[29])).await;
    let mut keeps_the_tail = test.listener();
    keeps_the_tail.subscribe("t", StartFrom::Now).await;
    let positions = [positions, test.publish("t", 31..=60).await].concat();
    let mut expected = vec![Got::Gap(Gap { from: 31, to: 50, reason: GapReason::Trimmed })];
    expected.extend(events(51..=60));
    assert_eq!(behind.until_event(60).await, expected);

    let mut just_in_time = test.listener();
    just_in_time.subscribe("t", StartFrom::After(positions[49])).await;
    assert_eq!(just_in_time.until_event(60).await, events(51..=60));
}

#[tokio::test]
async fn a_purge_is_told_to_live_and_to_returning_readers() {
    let test = bus(HubOptions::default(), PolicyOptions::default());
    let mut live = test.listener();
    live.subscribe("t", StartFrom::Now).await;
    let positions = test.publish("t", 1..=5).await;
    live.until_event(5).await;
    test.bus.admin(Admin::Purge(key("t"))).await.unwrap();
    test.publish("t", 6..=7).await;
    let gap = Got::Gap(Gap { from: 6, to: 0, reason: GapReason::Epoch });
    assert_eq!(live.until_event(7).await[5..], [gap, Got::Event(6), Got::Event(7)]);

    let mut returning = test.listener();
    let subscribed = returning.subscribe("t", StartFrom::After(positions[4])).await;
    assert_eq!(subscribed.gap, Some(Gap { from: 6, to: 0, reason: GapReason::Epoch }));
    assert_eq!(returning.until_event(7).await, events(6..=7));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_missed_between_subscribing_and_publishing() {
    let test = Arc::new(bus(HubOptions::default(), PolicyOptions::default()));
    for round in 0..1_000_u64 {
        let topic = format!("race:{round}");
        let mut publisher = tokio::task::JoinSet::new();
        let (other, name) = (Arc::clone(&test), topic.clone());
        publisher.spawn(async move { other.publish(&name, 1..=3).await });
        let mut listener = test.listener();
        let subscribed = listener.subscribe(&topic, StartFrom::Now).await;
        publisher.join_all().await;
        let first = subscribed.position.offset + 1;
        if first <= 3 {
            assert_eq!(listener.until_event(3).await, events(first..=3), "round {round}");
        }
    }
}

#[tokio::test]
async fn a_topic_without_history_delivers_live_only() {
    let test = bus(small_ring(), PolicyOptions::default());
    let mut listener = test.listener();
    listener.subscribe("passing:1", StartFrom::Start).await;
    test.publish("passing:1", 1..=3).await;
    assert_eq!(listener.until_event(3).await, events(1..=3));
    test.publish("passing:1", 4..=20).await;
    // Four are in the ring; what it missed is told, and delivery continues with the newest.
    let got = listener.until_event(20).await;
    assert_eq!(got[3..], [Got::Gap(Gap { from: 4, to: 19, reason: GapReason::Slow }), Got::Event(20)]);
}

#[tokio::test]
async fn unsubscribing_stops_delivery_and_the_number_can_be_used_again() {
    let test = bus(HubOptions::default(), PolicyOptions::default());
    let mut listener = test.listener();
    let first = listener.subscribe("a", StartFrom::Now).await;
    test.publish("a", 1..=2).await;
    listener.reader.unsubscribe(first.id);
    let second = listener.subscribe("b", StartFrom::Now).await;
    assert_eq!(first.id, second.id);
    test.publish("a", 3..=3).await;
    test.publish("b", 1..=1).await;
    assert_eq!(listener.until_event(1).await, events(1..=1));
}

#[tokio::test]
async fn the_budget_is_kept_and_subscriptions_take_turns() {
    let test = bus(HubOptions::default(), PolicyOptions::default());
    let mut listener = test.listener();
    listener.subscribe("a", StartFrom::Now).await;
    listener.subscribe("b", StartFrom::Now).await;
    test.publish("a", 1..=50).await;
    test.publish("b", 101..=110).await;
    let budget = Budget { deliveries: 20, ..ALL };
    assert_eq!(listener.turn(budget).await, 20);
    assert_eq!(listener.turn(budget).await, 20);
    assert!(listener.got.contains(&Got::Event(110)), "b has had its turn before a is done");
}
