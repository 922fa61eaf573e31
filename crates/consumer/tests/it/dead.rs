//! Events that nobody can work off.

use std::sync::Arc;

use fanfare_bus::{Direction, Read, ReadFrom};
use fanfare_consumer::{Act, Options};
use fanfare_model::Event;
use serde_json::{Value, json};

use crate::support::{Bench, key, offsets, release};

impl Bench {
    async fn letters(&self) -> Vec<Arc<Event>> {
        let (direction, limit, bytes_max) = (Direction::Forward, 1000, usize::MAX);
        let read = Read { topic: key("dead:jobs"), from: ReadFrom::End, direction, limit, bytes_max, age_max: None };
        self.bus.read(read).await.unwrap().events
    }
}

fn three() -> Options {
    Options { deliveries_max: 3, ..Options::default() }
}

#[tokio::test]
async fn an_event_that_fails_too_often_goes_to_the_dead_letters_alone() {
    let bench = Bench::with(three());
    bench.publish("failing:a", 1..=4).await;
    for _ in 0..2 {
        let leased = bench.pull("failing:a", 100).await;
        assert_eq!(offsets(&leased), [1, 2, 3, 4]);
        bench.ack("failing:a", &leased, release(0)).await;
    }
    // The last time they come one by one; only the second fails.
    for n in 1..=4 {
        let leased = bench.pull("failing:a", 100).await;
        assert_eq!((offsets(&leased), leased.deliveries[0]), (vec![n], 3));
        let act = if n == 2 { release(60) } else { Act::All };
        bench.ack("failing:a", &leased, act).await;
    }
    assert!(bench.letters().await.is_empty());
    bench.advance(60);
    assert_eq!(bench.pull("failing:a", 100).await.lease, None);
    let letters = bench.letters().await;
    assert_eq!(letters.len(), 1);
    let letter: Value = serde_json::from_slice(letters[0].draft.data.bytes()).unwrap();
    assert_eq!(letters[0].draft.name.as_ref().unwrap().as_str(), "fanfare.dead_letter");
    assert_eq!((&letter["topic"], &letter["message"]["data"]), (&json!("failing:a"), &json!("2")));
    assert_eq!(letter["reason"], "consumer c was given it 3 times");
    let position = letter["position"].as_str().unwrap().parse::<fanfare_model::Position>().unwrap();
    assert_eq!(position.offset, 2);
    bench.publish("failing:a", 5..=5).await;
    let next = bench.pull("failing:a", 100).await;
    assert_eq!((offsets(&next), bench.ack("failing:a", &next, Act::All).await), (vec![5], 5));
}

#[tokio::test]
async fn many_dead_events_are_each_kept_once() {
    let bench = Bench::with(three());
    bench.publish("failing:a", 1..=250).await;
    for _ in 0..2 {
        bench.pull("failing:a", 250).await;
        bench.advance(30);
    }
    for n in 1..=250 {
        assert_eq!(offsets(&bench.pull("failing:a", 250).await), [n]);
    }
    bench.advance(30);
    let leased = bench.pull("failing:a", 250).await;
    assert_eq!((leased.lease, bench.letters().await.len()), (None, 250));
    let told: std::collections::HashSet<String> = bench
        .letters()
        .await
        .iter()
        .map(|letter| serde_json::from_slice::<Value>(letter.draft.data.bytes()).unwrap()["message"]["id"].to_string())
        .collect();
    assert_eq!(told.len(), 250);
}

#[tokio::test]
async fn without_a_place_for_them_they_come_for_ever() {
    let bench = Bench::with(three());
    bench.publish("jobs", 1..=2).await;
    for n in 1..=9 {
        let leased = bench.pull("jobs", 100).await;
        assert_eq!((offsets(&leased), leased.deliveries[0]), (vec![1, 2], n));
        bench.ack("jobs", &leased, release(0)).await;
    }
}

#[tokio::test]
async fn what_was_trimmed_before_it_could_be_put_away_is_told() {
    let bench = Bench::with(Options { deliveries_max: 2, ..Options::default() });
    bench.publish("failing:a", 1..=3).await;
    for n in 1..=3 {
        assert_eq!(bench.pull("failing:a", 1).await.events[0].offset, n);
    }
    bench.advance(30);
    for n in 1..=3 {
        assert_eq!(bench.pull("failing:a", 1).await.events[0].offset, n);
    }
    bench.admin(fanfare_bus::Admin::TruncateBefore(key("failing:a"), 3)).await;
    bench.advance(30);
    let told = bench.pull("failing:a", 100).await;
    assert_eq!((offsets(&told), told.gap.map(|gap| (gap.from, gap.to))), (vec![], Some((1, 2))));
    assert_eq!(bench.ack("failing:a", &told, Act::All).await, 2);
    assert_eq!(bench.pull("failing:a", 100).await.lease, None);
    assert_eq!(bench.letters().await.len(), 1, "the one that was there");
}
