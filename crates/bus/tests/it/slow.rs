//! A reader that does not read: what each policy promises it, and what it costs.

use fanfare_bus::{Budget, Ended, OnSlow, PolicyOptions};
use fanfare_model::{Gap, GapReason, StartFrom};

use crate::support::{Got, bus, events, small_ring};

async fn fall_behind(on_slow: OnSlow, keys: Option<u64>) -> Vec<Got> {
    let test = bus(small_ring(), PolicyOptions::default());
    let mut listener = test.listener();
    listener.subscribe_with("t", StartFrom::Now, Some(on_slow), true).await;
    test.publish_keyed("t", 1..=2, keys).await;
    listener.until_event(2).await;
    test.publish_keyed("t", 3..=40, keys).await;
    listener.until(|got| got.contains(&Got::Event(40)) || got.contains(&Got::Ended(Ended::Slow))).await;
    if !listener.got.contains(&Got::Ended(Ended::Slow)) {
        // It is live again.
        test.publish_keyed("t", 41..=42, keys).await;
        listener.until_event(42).await;
    }
    listener.got
}

#[tokio::test]
async fn replay_gives_everything() {
    assert_eq!(fall_behind(OnSlow::Replay, None).await, events(1..=42));
}

#[tokio::test]
async fn skip_jumps_to_the_newest_and_says_so() {
    let mut expected = events(1..=2);
    expected.push(Got::Gap(Gap { from: 3, to: 39, reason: GapReason::Slow }));
    expected.extend(events(40..=42));
    assert_eq!(fall_behind(OnSlow::Skip, None).await, expected);
}

#[tokio::test]
async fn disconnect_ends_it() {
    let mut expected = events(1..=2);
    expected.push(Got::Ended(Ended::Slow));
    assert_eq!(fall_behind(OnSlow::Disconnect, None).await, expected);
}

#[tokio::test]
async fn conflate_gives_the_latest_of_each_key_and_says_so() {
    let got = fall_behind(OnSlow::Conflate, Some(3)).await;
    // Up to the ring (37 to 40 are in it) the latest of each of three keys, then everything.
    let mut expected = events(1..=2);
    expected.push(Got::Gap(Gap { from: 3, to: 40, reason: GapReason::Conflated }));
    expected.extend(events(38..=42));
    assert_eq!(got, expected);
}

#[tokio::test]
async fn a_stuck_reader_holds_a_cursor_not_a_queue() {
    let test = bus(small_ring(), PolicyOptions::default());
    let mut stuck = test.listener();
    stuck.subscribe("t", StartFrom::Now).await;
    let mut brisk = test.listener();
    brisk.subscribe("t", StartFrom::Now).await;
    for n in 1..=500 {
        test.publish("t", n..=n).await;
        brisk.until_event(n).await;
    }
    assert_eq!(brisk.got, events(1..=500));
    // A page at a time is all that it is ever handed.
    let most = stuck.turn(Budget { deliveries: 5, bytes: usize::MAX }).await;
    assert!(most <= 8 + 5, "{most} at once");
    assert_eq!(stuck.until_event(500).await, events(1..=500));
}

#[tokio::test]
async fn who_begins_in_the_past_is_not_slow() {
    for on_slow in [OnSlow::Replay, OnSlow::Skip, OnSlow::Disconnect, OnSlow::Conflate] {
        let test = bus(small_ring(), PolicyOptions::default());
        test.publish_keyed("t", 1..=40, Some(3)).await;
        let mut listener = test.listener();
        listener.subscribe_with("t", StartFrom::Start, Some(on_slow), true).await;
        listener.until_event(40).await;
        test.publish_keyed("t", 41..=42, Some(3)).await;
        listener.until_event(42).await;
        assert_eq!(listener.got, events(1..=42), "{on_slow:?}");
    }
}
