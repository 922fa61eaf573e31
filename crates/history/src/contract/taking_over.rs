//! Taking over the log of another engine.

use std::future::Future;
use std::sync::Arc;

use fanfare_model::{Epoch, Event, Position, Tag, Timestamp, TopicKey};

use super::bench::setting;
use super::kinds::{FIVE, MINUTE};
use super::{Announced, Bench, Setting, everything, is_chained, next_place, numbered, of_kind, topic, with_id};
use crate::{Error, Head, Keep, Log, Restore, Stretch};

/// Runs the cases of [`Restore`] on a log that `make` makes, and makes again for the same place.
///
/// # Panics
///
/// When a case fails.
pub async fn restoring<M, F, T>(make: M)
where
    M: Fn(Setting) -> F + Send + Sync + 'static,
    F: Future<Output = Arc<T>> + Send + 'static,
    T: Log + Restore,
{
    let make = Arc::new(make);
    let again = Arc::clone(&make);
    let as_log = Arc::new(move |setting| {
        let log = again(setting);
        Box::pin(async move { log.await as Arc<dyn Log> }) as _
    });
    let setting = setting(next_place());
    let restore: Arc<T> = make(setting.clone()).await;
    let bench = Bench::with(Arc::clone(&restore) as _, setting, as_log, Announced::First);
    restore_all(&bench, &*restore).await;
    drop(restore);
    let bench = bench.restart(true).await;
    if bench.can.survives_restart {
        look_again(&bench).await;
    }
}

/// The time of the first event is a little later, in seconds, and before the case begins.
const BEGIN: i64 = 1_799_999_970;

/// A log as another engine had it: offsets with holes, one event a second.
fn other_log(topic: &TopicKey) -> (Head, Vec<Arc<Event>>) {
    let epoch = Epoch::from_u32(77).expect("an epoch");
    let event = |n: u64| Event {
        topic: topic.clone(),
        epoch,
        offset: n * 3,
        prev: (n - 1) * 3,
        time: Timestamp::from_seconds(BEGIN + n.cast_signed()),
        draft: with_id(&format!("id-{n}"), "x"),
    };
    let events: Vec<_> = (11..=20).map(|n| Arc::new(event(n))).collect();
    let bytes = events.iter().map(|event| event.draft.size() as u64).sum();
    let (first, last) = (&events[0], &events[9]);
    let head = Head { last: last.position(), first: first.offset, events: 10, bytes, time: Some(last.time) };
    (head, events)
}

fn stretch(topic: &TopicKey, keep: Keep, head: Head, events: &[Arc<Event>]) -> Stretch {
    Stretch { topic: topic.clone(), keep: Arc::new(keep), head, events: events.to_vec() }
}

fn gone() -> TopicKey {
    topic("gone")
}

async fn restore_all(bench: &Bench, restore: &dyn Restore) {
    let a = topic("a");
    let (head, events) = other_log(&a);
    // In pieces, one of them twice.
    for piece in [0..4, 4..7, 4..7, 7..10, 0..0] {
        let piece = stretch(&a, everything(), head, &events[piece]);
        restore.restore(piece).await.expect("it is restored");
    }
    let found = bench.head(&a).await;
    assert_eq!(found, Head { bytes: found.bytes, ..head });
    bench.assert_bytes(found, head.bytes);
    assert!(bench.all(&a).await == events, "epoch, offset, prev, time and id are what they were");
    assert!(bench.setting.heard.events(&a).is_empty(), "what is old is not announced");
    let again = bench.append(&a, with_id("id-15", "y")).await;
    assert_eq!((again.duplicate, again.position), (true, events[4].position()), "ids are remembered");
    let next = bench.append(&a, numbered(0)).await.position;
    assert!(next.epoch == head.last.epoch && next.offset > 60);
    let all = bench.all(&a).await;
    assert!(all.len() == 11 && is_chained(&all));

    // Only the end of its log is left.
    let gone = gone();
    let last = Position { epoch: head.last.epoch, offset: 5000, tag: Tag::from_u16(9) };
    let empty = Head { last, first: 5001, events: 0, bytes: 0, time: head.time };
    restore.restore(stretch(&gone, everything(), empty, &[])).await.expect("it is restored");
    assert_eq!(bench.head(&gone).await, empty);

    // What is not kept here is not taken over.
    let few = of_kind(FIVE);
    let (head, events) = other_log(&few);
    let keep = Keep { events_max: Some(5), ..everything() };
    restore.restore(stretch(&few, keep, head, &events)).await.expect("it is restored");
    assert_eq!(bench.all(&few).await, events[5..]);

    // Age goes on from where it was.
    if bench.has_time() {
        let aged = of_kind(MINUTE);
        let (head, events) = other_log(&aged);
        let keep = Keep { age_max: Some(std::time::Duration::from_secs(60)), ..everything() };
        restore.restore(stretch(&aged, keep, head, &events)).await.expect("it is restored");
        bench.advance(46);
        assert_eq!(bench.log.sweep().await.expect("the sweep succeeds"), 5);
        assert_eq!(bench.all(&aged).await, events[5..]);
    }

    misfits(bench, restore).await;
}

async fn misfits(bench: &Bench, restore: &dyn Restore) {
    let (own, empty) = (topic("own"), topic("empty"));
    bench.append(&own, numbered(0)).await;
    let mine = bench.all(&own).await;
    let (head, events) = other_log(&own);
    let foreign = stretch(&own, everything(), head, &events);
    assert!(matches!(restore.restore(foreign).await, Err(Error::Occupied)));
    assert_eq!(bench.all(&own).await, mine);
    // Another topic's events, a hole, and more than there was.
    let (head, events) = other_log(&empty);
    let short = Head { last: events[3].position(), ..head };
    let (holed, long) = ([events[..3].to_vec(), events[5..].to_vec()].concat(), events.clone());
    for (head, events) in [(head, other_log(&own).1), (head, holed), (short, long)] {
        let wrong = stretch(&empty, everything(), head, &events);
        assert!(matches!(restore.restore(wrong).await, Err(Error::Occupied)));
    }
    assert!(bench.all(&empty).await.is_empty());
}

/// After a restart.
async fn look_again(bench: &Bench) {
    let a = topic("a");
    let (_, events) = other_log(&a);
    let all = bench.all(&a).await;
    assert!(all.len() == 11 && all[..10] == events[..]);
    let head = bench.head(&gone()).await;
    assert_eq!((head.last.offset, head.first, head.events), (5000, 5001, 0));
    let next = bench.append(&gone(), numbered(0)).await.position;
    assert!(next.offset > 5000 && bench.all(&gone()).await[0].prev == 5000);
}
