//! Order, time, idempotency, limits and announcements.

use std::sync::Arc;
use std::time::Duration;

use fanfare_model::{
    Data, DataKind, Draft, EventName, Key, Position, Source, Tag, Tenant, Timestamp, Topic, TopicKey, UserId,
};

use super::bench::item;
use super::kinds::WINDOW;
use super::{Announced, Bench, cases, is_chained, numbered, of_kind, offsets, placed, topic, with_id};
use crate::{Error, Window};

cases! {
    offsets_increase_and_prev_is_exact,
    offsets_are_in_order_under_64_concurrent_publishers,
    what_is_announced_is_what_is_stored,
    time_never_decreases,
    an_id_is_stored_once,
    an_id_is_stored_once_among_concurrent_appends,
    an_id_is_stored_again_after_the_window,
    an_id_is_stored_again_after_the_window_of_the_engine,
    a_batch_keeps_its_order_and_an_item_fails_alone,
    the_largest_event_fits_and_a_larger_one_is_refused,
    names_and_data_come_back,
    every_character_makes_another_topic,
    a_dropped_future_does_not_undo_its_append,
}

// 1
async fn offsets_increase_and_prev_is_exact(bench: Bench) {
    let (a, b) = (topic("a"), topic("b"));
    let (mut in_a, mut in_b) = (Vec::new(), Vec::new());
    for n in 1..=20_u64 {
        in_a.push(bench.append(&a, numbered(0)).await.position.offset);
        if n % 3 == 0 {
            in_b.push(bench.append(&b, numbered(0)).await.position.offset);
        }
    }
    bench.assert_places(&in_a);
    bench.assert_places(&in_b);
    let events = bench.all(&a).await;
    assert_eq!(offsets(&events), in_a);
    assert!(is_chained(&events) && events[0].prev == 0);
    let epoch = bench.head(&a).await.last.epoch;
    assert!(events.iter().all(|event| event.epoch == epoch), "one epoch");
}

// 2
async fn offsets_are_in_order_under_64_concurrent_publishers(bench: Bench) {
    let topics = [topic("a"), topic("b"), topic("c")];
    let publisher = |n: usize| {
        let (log, topics) = (Arc::clone(&bench.log), topics.clone());
        async move {
            for round in 0..20 {
                let topic = &topics[(n + round) % 3];
                let batch = (0..3).map(|i| item(topic, numbered(i))).collect();
                let places = placed(&log.append(batch).await);
                assert!(places.is_sorted_by(|a, b| a < b), "the order of the batch is kept");
            }
        }
    };
    // Real concurrency without tasks: each thread drives some publishers.
    let threads: Vec<_> = (0..8)
        .map(|thread| {
            let publishers: Vec<_> = (0..8).map(|n| publisher(thread * 8 + n)).collect();
            let runtime = tokio::runtime::Handle::current();
            let (done, all_done) = tokio::sync::oneshot::channel();
            std::thread::spawn(move || {
                runtime.block_on(futures_util::future::join_all(publishers));
                // Whoever does not wait any more has failed for another reason.
                done.send(()).ok()
            });
            all_done
        })
        .collect();
    for thread in threads {
        thread.await.expect("the publishers of this thread succeed");
    }
    let mut count = 0;
    for topic in &topics {
        let events = bench.all(topic).await;
        bench.assert_places(&offsets(&events));
        assert!(is_chained(&events) && events[0].prev == 0);
        bench.assert_heard(topic, &events).await;
        count += events.len();
    }
    assert_eq!(count, 64 * 20 * 3);
}

async fn what_is_announced_is_what_is_stored(bench: Bench) {
    let a = topic("a");
    let first = bench.append(&a, with_id("1", "x")).await;
    if bench.announced == Announced::First {
        assert_eq!(bench.setting.heard.events(&a).len(), 1, "before the answer");
    }
    bench.append(&a, with_id("1", "x")).await;
    bench.fill(&a, 10).await;
    let events = bench.all(&a).await;
    assert_eq!((events.len(), events[0].position()), (11, first.position), "duplicates are not announced");
    bench.assert_heard(&a, &events).await;
    assert!(bench.setting.heard.resets().is_empty());
}

// 5
async fn time_never_decreases(bench: Bench) {
    let a = topic("a");
    let start = bench.now();
    let first = bench.append(&a, numbered(0)).await.time;
    bench.setting.clock.set(start.minus(Duration::from_secs(100)));
    let second = bench.append(&a, numbered(1)).await.time;
    bench.setting.clock.set(start.plus(Duration::from_secs(1)));
    let third = bench.append(&a, numbered(2)).await.time;
    if bench.has_time() {
        assert_eq!([first, second, third], [start, start, bench.now()]);
    }
    let events = bench.all(&a).await;
    assert_eq!(events.iter().map(|event| event.time).collect::<Vec<_>>(), [first, second, third]);
    assert!(first <= second && second <= third);
    assert_eq!(bench.head(&a).await.time, Some(third));
}

// 6
async fn an_id_is_stored_once(bench: Bench) {
    let (a, b) = (topic("a"), topic("b"));
    let first = bench.append(&a, with_id("x", "1")).await;
    assert!(!first.duplicate);
    bench.advance(10);
    bench.fill(&a, 3).await;
    let second = bench.append(&a, with_id("x", "2")).await;
    assert!(second.duplicate);
    assert_eq!((second.position, second.time), (first.position, first.time));
    assert!(!bench.append(&b, with_id("x", "1")).await.duplicate, "another topic");
    let batch = ["y", "x", "y", "z"].map(|id| item(&a, with_id(id, "")));
    let answers = bench.log.append(batch.into()).await;
    let places = placed(&answers);
    let duplicate: Vec<_> = answers.iter().flatten().map(|answer| answer.duplicate).collect();
    assert_eq!(duplicate, [false, true, true, false]);
    assert_eq!((places[1], places[2]), (first.position.offset, places[0]));
    let events = bench.all(&a).await;
    bench.assert_places(&offsets(&events));
    let ids: Vec<_> = events.iter().map(|event| event.draft.id.as_str()).collect();
    assert_eq!((ids.len(), [ids[0], ids[4], ids[5]]), (6, ["x", "y", "z"]));
}

// 6
async fn an_id_is_stored_once_among_concurrent_appends(bench: Bench) {
    let a = topic("a");
    let appends = (0..64).map(|n| bench.append(&a, with_id(&format!("id-{}", n % 4), "x")));
    let answers = futures_util::future::join_all(appends).await;
    assert_eq!(answers.iter().filter(|answer| !answer.duplicate).count(), 4);
    let events = bench.all(&a).await;
    assert_eq!(events.len(), 4);
    for (n, answer) in answers.iter().enumerate() {
        let stored = events.iter().find(|event| event.draft.id.as_str() == format!("id-{}", n % 4));
        assert_eq!(stored.map(|event| event.position()), Some(answer.position));
    }
}

// 7
async fn an_id_is_stored_again_after_the_window(bench: Bench) {
    if bench.can.window != Window::PerAppend || !bench.has_time() {
        return;
    }
    let a = of_kind(WINDOW);
    let first = bench.append(&a, with_id("x", "1")).await;
    bench.advance(59);
    assert!(bench.append(&a, with_id("x", "2")).await.duplicate);
    bench.advance(1);
    let again = bench.append(&a, with_id("x", "3")).await;
    assert!(!again.duplicate && again.position.offset > first.position.offset);
    bench.advance(59);
    let dup = bench.append(&a, with_id("x", "4")).await;
    assert_eq!((dup.duplicate, dup.position), (true, again.position), "the window began again");
    assert_eq!(bench.all(&a).await.len(), 2);
}

// 7, where time cannot be made to pass: of an engine that is set up with a window so short that it can be waited for
async fn an_id_is_stored_again_after_the_window_of_the_engine(bench: Bench) {
    let Window::Fixed(window) = bench.can.window else { return };
    if window > Duration::from_secs(2) {
        return;
    }
    let a = topic("a");
    let waited = std::time::Instant::now();
    let first = bench.append(&a, with_id("x", "1")).await;
    let again = async {
        loop {
            let answer = bench.append(&a, with_id("x", "2")).await;
            if !answer.duplicate {
                return answer;
            }
            assert_eq!(answer.position, first.position);
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    let again = tokio::time::timeout(Duration::from_secs(60), again).await.expect("the id is forgotten");
    assert!(waited.elapsed() >= window.mul_f64(0.9), "forgotten after {:?}", waited.elapsed());
    assert!(again.position.offset > first.position.offset);
    assert_eq!(bench.all(&a).await.len(), 2);
}

// 9
async fn a_batch_keeps_its_order_and_an_item_fails_alone(bench: Bench) {
    let (a, b) = (topic("a"), topic("b"));
    let too_large = Draft::new(Data::binary(vec![0; bench.can.event_bytes_max + 1]));
    let batch = vec![
        item(&a, numbered(0)),
        item(&b, numbered(0)),
        item(&a, too_large),
        item(&a, numbered(1)),
        item(&b, numbered(1)),
    ];
    let answers = bench.log.append(batch).await;
    let found: Vec<_> = answers.iter().map(|a| a.as_ref().ok().map(|a| a.position.offset)).collect();
    assert!(matches!(answers[2], Err(Error::TooLarge { .. })));
    for (topic, places) in [(&a, [found[0], found[3]]), (&b, [found[1], found[4]])] {
        let events = bench.all(topic).await;
        bench.assert_places(&offsets(&events));
        assert_eq!(events.iter().map(|event| Some(event.offset)).collect::<Vec<_>>(), places);
        assert_eq!(events.iter().map(|event| event.draft.data.as_text()).collect::<Vec<_>>(), [Some("0"), Some("1")]);
    }
    assert!(bench.log.append(Vec::new()).await.is_empty());
}

// 10
async fn the_largest_event_fits_and_a_larger_one_is_refused(bench: Bench) {
    let a = topic("a");
    let size_max = bench.can.event_bytes_max;
    let sized = |size: usize| {
        let draft = with_id("x", "");
        let data = vec![7; size - draft.size()];
        Draft { data: Data::binary(data), ..draft }
    };
    let refused = bench.try_append(&a, sized(size_max + 1)).await;
    assert!(matches!(refused, Err(Error::TooLarge { size, size_max: max }) if size == size_max + 1 && max == size_max));
    assert_eq!(bench.head(&a).await.last.offset, 0, "nothing was stored");
    bench.append(&a, sized(size_max)).await;
    assert!(bench.all(&a).await[0].draft == sized(size_max));
}

// 11
async fn names_and_data_come_back(bench: Bench) {
    let names =
        ["a", &"k".repeat(50), &format!("k:{}", "x".repeat(253)), "a.b:c", "a:*", "a:>", "a:{}", "a:ä€😀", "a:b:c"];
    let tenants = ["default", "other", "a"].map(|name| Tenant::new(name).expect("a valid tenant"));
    let mut topics = Vec::new();
    for tenant in &tenants {
        topics.extend(names.map(|name| TopicKey::new(tenant.clone(), Topic::new(name).expect("a valid topic"))));
    }
    let drafts: Vec<_> = topics.iter().enumerate().map(|(n, _)| rich(n)).collect();
    for (topic, draft) in topics.iter().zip(&drafts) {
        bench.append(topic, draft.clone()).await;
    }
    for (topic, draft) in topics.iter().zip(drafts) {
        let events = bench.all(topic).await;
        assert_eq!(events.len(), 1, "no cross-talk with {topic:?}");
        assert_eq!((&events[0].topic, &events[0].draft), (topic, &draft));
        bench.assert_heard(topic, &events).await;
        let head = bench.head(topic).await;
        bench.assert_bytes(head, draft.size() as u64);
        let position = Position { epoch: head.last.epoch, offset: events[0].offset, tag: Tag::of(&draft.id) };
        assert_eq!(head.last, position);
    }
}

// 11
async fn every_character_makes_another_topic(bench: Bench) {
    let ids = (' '..='~').chain(['ä', 'Ä', '€', '😀']).map(|c| format!("k:{c}"));
    let kinds = ["k", "K", "0", "_", ".", "-", "k.", "k_", "k-", "..", "k.k"].map(str::to_owned);
    let topics: Vec<_> = ids.chain(kinds).map(|name| topic(&name)).collect();
    let append = topics.iter().map(|topic| item(topic, Draft::new(Data::text(topic.topic.as_str()))));
    let places = placed(&bench.log.append(append.collect()).await);
    assert_eq!(places.len(), topics.len());
    for topic in &topics {
        let events = bench.all(topic).await;
        let said: Vec<_> = events.iter().map(|event| event.draft.data.as_text()).collect();
        assert_eq!(said, [Some(topic.topic.as_str())], "no cross-talk");
    }
}

/// A draft that uses every field in some `n`.
fn rich(n: usize) -> Draft {
    let data = match n % 5 {
        0 => Data::text(""),
        1 => Data::binary((0..=255).collect::<Vec<u8>>()),
        2 => Data::json(r#"{"a":[1,2,"\u0000"]}"#).expect("valid JSON"),
        3 => Data::text("line\nline\r\n\u{2028}"),
        _ => Data::from_stored(DataKind::Binary, bytes::Bytes::new()),
    };
    let mut draft = Draft::new(data);
    if n.is_multiple_of(2) {
        draft.name = Some(EventName::new("message").expect("a valid name"));
        draft.user = Some(UserId::new("ada").expect("a valid user"));
        draft.occurred_at = Some(Timestamp::from_micros(-1));
    }
    if n.is_multiple_of(3) {
        draft.key = Some(Key::new("ключ").expect("a valid key"));
        draft.source = Some(Source::new("api").expect("a valid source"));
        draft.headers.insert("traceparent", "00-ab-cd-01").expect("a valid header");
        draft.headers.insert("a", "").expect("a valid header");
    }
    draft
}

async fn a_dropped_future_does_not_undo_its_append(bench: Bench) {
    let a = topic("a");
    bench.append(&a, numbered(0)).await;
    let mut append = bench.log.append(vec![item(&a, numbered(1))]);
    std::future::poll_fn(|context| {
        let _ = append.as_mut().poll(context);
        std::task::Poll::Ready(())
    })
    .await;
    drop(append);
    // It may come before or after this one.
    bench.append(&a, numbered(2)).await;
    if bench.announced != Announced::Perhaps {
        bench.setting.heard.until_events(&a, 3).await;
        assert_eq!(bench.all(&a).await.len(), 3);
    }
}
