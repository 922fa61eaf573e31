//! Order, time, idempotency, limits and announcements.

use std::sync::Arc;

use fanfare_model::{
    Data, DataKind, Draft, EventName, Key, Position, Source, Tag, Tenant, Timestamp, Topic, TopicKey, UserId,
};

use super::{Bench, cases, keep_all, numbered, offsets, topic, with_id};
use crate::{Append, Error, Keep};

cases! {
    offsets_increase_from_1_and_prev_is_exact,
    offsets_are_dense_under_64_concurrent_publishers,
    what_is_announced_is_what_is_stored,
    time_never_decreases,
    an_id_is_stored_once,
    an_id_is_stored_once_among_concurrent_appends,
    an_id_is_stored_again_after_the_window,
    a_batch_keeps_its_order_and_an_item_fails_alone,
    the_largest_event_fits_and_a_larger_one_is_refused,
    names_and_data_come_back,
    a_dropped_future_does_not_undo_its_append,
}

// 1
async fn offsets_increase_from_1_and_prev_is_exact(bench: Bench) {
    let (a, b, keep) = (topic("a"), topic("b"), keep_all());
    for n in 1..=20_u64 {
        let position = bench.append(&a, &keep, numbered(0)).await.position;
        assert_eq!(position.offset, n);
        if n % 3 == 0 {
            assert_eq!(bench.append(&b, &keep, numbered(0)).await.position.offset, n / 3);
        }
    }
    let events = bench.all(&a).await;
    assert_eq!(offsets(&events), (1..=20).collect::<Vec<_>>());
    assert!(events.iter().all(|event| event.prev + 1 == event.offset));
    let epochs = (bench.head(&a).await.last.epoch, events[0].epoch, events[19].epoch);
    assert_eq!((epochs.0, epochs.0), (epochs.1, epochs.2), "one epoch");
}

// 2
async fn offsets_are_dense_under_64_concurrent_publishers(bench: Bench) {
    let topics = [topic("a"), topic("b"), topic("c")];
    let keep = keep_all();
    let publisher = |n: usize| {
        let (log, topics, keep) = (Arc::clone(&bench.log), topics.clone(), Arc::clone(&keep));
        async move {
            for round in 0..20 {
                let topic = topics[(n + round) % 3].clone();
                let batch = (0..3)
                    .map(|i| Append { topic: topic.clone(), draft: numbered(i), keep: Arc::clone(&keep) })
                    .collect();
                let mut last = 0;
                for answer in log.append(batch).await {
                    let offset = answer.expect("the append is accepted").position.offset;
                    assert!(offset > last, "the order of the batch is kept");
                    last = offset;
                }
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
        assert_eq!(offsets(&events), (1..=events.len() as u64).collect::<Vec<_>>());
        assert!(events.iter().all(|event| event.prev + 1 == event.offset));
        assert_eq!(bench.setting.heard.events(topic), events, "announced as stored");
        count += events.len();
    }
    assert_eq!(count, 64 * 20 * 3);
}

async fn what_is_announced_is_what_is_stored(bench: Bench) {
    let (a, keep) = (topic("a"), keep_all());
    let first = bench.append(&a, &keep, with_id("1", "x")).await;
    // Before the answer.
    assert_eq!(offsets(&bench.setting.heard.events(&a)), [1]);
    bench.append(&a, &keep, with_id("1", "x")).await;
    bench.fill(&a, &keep, 10).await;
    let heard = bench.setting.heard.events(&a);
    assert_eq!(heard, bench.all(&a).await, "duplicates are not announced");
    assert_eq!(heard[0].position(), first.position);
    assert!(bench.setting.heard.resets().is_empty());
}

// 5
async fn time_never_decreases(bench: Bench) {
    let (a, keep) = (topic("a"), keep_all());
    let start = bench.now();
    assert_eq!(bench.append(&a, &keep, numbered(0)).await.time, start);
    bench.setting.clock.set(start.minus(std::time::Duration::from_secs(100)));
    assert_eq!(bench.append(&a, &keep, numbered(1)).await.time, start);
    bench.setting.clock.set(start.plus(std::time::Duration::from_secs(1)));
    bench.append(&a, &keep, numbered(2)).await;
    let events = bench.all(&a).await;
    assert!(events.is_sorted_by_key(|event| event.time));
    assert_eq!(bench.head(&a).await.time, Some(bench.now()));
}

// 6
async fn an_id_is_stored_once(bench: Bench) {
    let (a, b, keep) = (topic("a"), topic("b"), keep_all());
    let first = bench.append(&a, &keep, with_id("x", "1")).await;
    assert!(!first.duplicate);
    bench.advance(10);
    bench.fill(&a, &keep, 3).await;
    let second = bench.append(&a, &keep, with_id("x", "2")).await;
    assert!(second.duplicate);
    assert_eq!((second.position, second.time), (first.position, first.time));
    assert!(!bench.append(&b, &keep, with_id("x", "1")).await.duplicate, "another topic");
    let item = |id: &str| Append { topic: a.clone(), draft: with_id(id, ""), keep: Arc::clone(&keep) };
    let answers = bench.log.append(vec![item("y"), item("x"), item("y"), item("z")]).await;
    let answers: Vec<_> = answers.into_iter().map(|a| a.expect("the append is accepted")).collect();
    assert_eq!(answers.iter().map(|a| a.duplicate).collect::<Vec<_>>(), [false, true, true, false]);
    assert_eq!(answers.iter().map(|a| a.position.offset).collect::<Vec<_>>(), [5, 1, 5, 6]);
    let texts: Vec<_> = bench.all(&a).await.iter().map(|event| event.draft.id.clone()).collect();
    assert_eq!(texts.iter().filter(|id| ["x", "y", "z"].contains(&id.as_str())).count(), 3);
}

// 6
async fn an_id_is_stored_once_among_concurrent_appends(bench: Bench) {
    let (a, keep) = (topic("a"), keep_all());
    let appends = (0..64).map(|n| bench.append(&a, &keep, with_id(&format!("id-{}", n % 4), "x")));
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
    let a = topic("a");
    let keep = Arc::new(Keep { idempotency_window: std::time::Duration::from_secs(60), ..Keep::default() });
    bench.append(&a, &keep, with_id("x", "1")).await;
    bench.advance(59);
    assert!(bench.append(&a, &keep, with_id("x", "2")).await.duplicate);
    bench.advance(1);
    let again = bench.append(&a, &keep, with_id("x", "3")).await;
    assert_eq!((again.duplicate, again.position.offset), (false, 2));
    bench.advance(59);
    let dup = bench.append(&a, &keep, with_id("x", "4")).await;
    assert_eq!((dup.duplicate, dup.position.offset), (true, 2), "the window began again");
}

// 9
async fn a_batch_keeps_its_order_and_an_item_fails_alone(bench: Bench) {
    let (a, b, keep) = (topic("a"), topic("b"), keep_all());
    let too_large = Draft::new(Data::binary(vec![0; bench.log.capabilities().event_bytes_max + 1]));
    let item = |topic: &TopicKey, draft| Append { topic: topic.clone(), draft, keep: Arc::clone(&keep) };
    let batch = vec![
        item(&a, numbered(0)),
        item(&b, numbered(0)),
        item(&a, too_large),
        item(&a, numbered(1)),
        item(&b, numbered(1)),
    ];
    let answers = bench.log.append(batch).await;
    let found: Vec<_> = answers.iter().map(|a| a.as_ref().ok().map(|a| a.position.offset)).collect();
    assert_eq!(found, [Some(1), Some(1), None, Some(2), Some(2)]);
    assert!(matches!(answers[2], Err(Error::TooLarge { .. })));
    let texts: Vec<_> = bench.all(&a).await.iter().map(|event| event.draft.data.as_text().map(str::to_owned)).collect();
    assert_eq!(texts, [Some("0".to_owned()), Some("1".to_owned())]);
    assert!(bench.log.append(Vec::new()).await.is_empty());
}

// 10
async fn the_largest_event_fits_and_a_larger_one_is_refused(bench: Bench) {
    let (a, keep) = (topic("a"), keep_all());
    let size_max = bench.log.capabilities().event_bytes_max;
    let sized = |size: usize| {
        let draft = with_id("x", "");
        let data = vec![7; size - draft.size()];
        Draft { data: Data::binary(data), ..draft }
    };
    let refused = bench.try_append(&a, &keep, sized(size_max + 1)).await;
    assert!(matches!(refused, Err(Error::TooLarge { size, size_max: max }) if size == size_max + 1 && max == size_max));
    assert_eq!(bench.head(&a).await.last.offset, 0, "nothing was stored");
    bench.append(&a, &keep, sized(size_max)).await;
    assert_eq!(bench.all(&a).await[0].draft, sized(size_max));
}

// 11
async fn names_and_data_come_back(bench: Bench) {
    let keep = keep_all();
    let names =
        ["a", &"k".repeat(50), &format!("k:{}", "x".repeat(253)), "a.b:c", "a:*", "a:>", "a:{}", "a:ä€😀", "a:b:c"];
    let tenants = ["default", "other", "a"].map(|name| Tenant::new(name).expect("a valid tenant"));
    let mut topics = Vec::new();
    for tenant in &tenants {
        topics.extend(names.map(|name| TopicKey::new(tenant.clone(), Topic::new(name).expect("a valid topic"))));
    }
    let drafts: Vec<_> = topics.iter().enumerate().map(|(n, _)| rich(n)).collect();
    for (topic, draft) in topics.iter().zip(&drafts) {
        bench.append(topic, &keep, draft.clone()).await;
    }
    for (topic, draft) in topics.iter().zip(drafts) {
        let events = bench.all(topic).await;
        assert_eq!(events.len(), 1, "no cross-talk with {topic:?}");
        assert_eq!((&events[0].topic, &events[0].draft), (topic, &draft));
        let head = bench.head(topic).await;
        assert_eq!(head.bytes, draft.size() as u64);
        assert_eq!(head.last, Position { epoch: head.last.epoch, offset: 1, tag: Tag::of(&draft.id) });
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
    let (a, keep) = (topic("a"), keep_all());
    let item = Append { topic: a.clone(), draft: numbered(0), keep: Arc::clone(&keep) };
    let mut append = bench.log.append(vec![item]);
    std::future::poll_fn(|context| {
        let _ = append.as_mut().poll(context);
        std::task::Poll::Ready(())
    })
    .await;
    drop(append);
    assert_eq!(bench.append(&a, &keep, numbered(1)).await.position.offset, 2);
    assert_eq!(bench.all(&a).await.len(), 2);
}
