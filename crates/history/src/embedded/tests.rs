//! What cannot be provoked from outside: a disk that does not confirm, and a machine that went down.

use std::path::Path;
use std::sync::atomic::Ordering;

use fanfare_model::{Data, Draft, EventId, SystemClock, Tenant, Topic};

use super::life::CEILING_STEP;
use super::*;
use crate::contract::Heard;
use crate::{Direction, Keep, ReadFrom};

fn topic(name: &str) -> TopicKey {
    TopicKey::new(Tenant::default(), Topic::new(name).unwrap())
}

fn open(path: &Path, heard: &Arc<Heard>) -> EmbeddedLog {
    let options = Options { retry_every: fanfare_model::Duration::from_millis(0), ..Options::at(path) };
    EmbeddedLog::open(options, Arc::new(SystemClock), Arc::<Heard>::clone(heard)).unwrap()
}

async fn append(log: &EmbeddedLog, name: &str, durability: Durability, id: &str) -> Result<Appended, Error> {
    let keep = Arc::new(Keep { durability, events_max: None, age_max: None, ..Keep::default() });
    let draft = Draft { id: EventId::new(id).unwrap(), ..Draft::new(Data::text("x")) };
    log.append(vec![Append { topic: topic(name), draft, keep }]).await.remove(0)
}

async fn all(log: &EmbeddedLog, name: &str) -> Page {
    let (limit, bytes_max) = (usize::MAX, usize::MAX);
    let (from, direction) = (ReadFrom::End, Direction::Forward);
    log.read(Read { topic: topic(name), from, direction, limit, bytes_max, age_max: None }).await.unwrap()
}

fn fail_sync(log: &EmbeddedLog) {
    log.slot.read().as_ref().unwrap().store.fail_sync.store(true, Ordering::SeqCst);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_disk_did_not_confirm_is_not_seen_until_it_is_sure() {
    let dir = tempfile::tempdir().unwrap();
    let heard = Arc::new(Heard::default());
    let log = open(dir.path(), &heard);
    append(&log, "a", Durability::Committed, "1").await.unwrap();
    append(&log, "b", Durability::Buffered, "1").await.unwrap();
    fail_sync(&log);
    let refused = append(&log, "a", Durability::Committed, "2").await;
    assert!(matches!(refused, Err(Error::Unavailable(_))));
    // It is in the store, but nobody may see it: it may be lost.
    assert_eq!((all(&log, "a").await.events.len(), heard.events(&topic("a")).len()), (1, 1));
    // The next append opens the store again, and finds that it was not lost.
    let next = append(&log, "a", Durability::Committed, "3").await.unwrap();
    let page = all(&log, "a").await;
    let ids: Vec<_> = page.events.iter().map(|event| event.draft.id.to_string()).collect();
    assert_eq!((ids, next.position.offset), (["1", "2", "3"].map(str::to_owned).to_vec(), 3));
    assert_eq!(heard.events(&topic("a")), page.events);
    let again = append(&log, "a", Durability::Committed, "2").await.unwrap();
    assert_eq!((again.duplicate, again.position.offset), (true, 2), "trying again finds it");
    // Of the other topic something may have been lost that had been acknowledged.
    let after = append(&log, "b", Durability::Buffered, "2").await.unwrap();
    assert_eq!(after.position.offset, CEILING_STEP);
    assert_eq!(all(&log, "b").await.events[1].prev, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_purge_that_was_not_confirmed_is_told_when_it_surfaces() {
    let dir = tempfile::tempdir().unwrap();
    let heard = Arc::new(Heard::default());
    let log = open(dir.path(), &heard);
    let old = append(&log, "a", Durability::Committed, "1").await.unwrap();
    fail_sync(&log);
    assert!(log.admin(Admin::Purge(topic("a"))).await.is_err());
    assert_eq!(heard.resets().len(), 0);
    let new = append(&log, "a", Durability::Committed, "1").await.unwrap();
    assert_ne!(old.position.epoch, new.position.epoch);
    let resets = heard.resets();
    assert_eq!((resets.len(), resets[0].head.last.epoch), (1, new.position.epoch));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_close_can_be_tried_again() {
    let dir = tempfile::tempdir().unwrap();
    let heard = Arc::new(Heard::default());
    let log = open(dir.path(), &heard);
    append(&log, "n", Durability::None, "1").await.unwrap();
    fail_sync(&log);
    assert!(append(&log, "a", Durability::Committed, "1").await.is_err());
    log.close().await.unwrap();
    assert!(matches!(append(&log, "a", Durability::Committed, "2").await, Err(Error::Closed)));
}

#[tokio::test(flavor = "multi_thread")]
async fn after_the_machine_went_down_no_offset_is_used_again() {
    let dir = tempfile::tempdir().unwrap();
    let heard = Arc::new(Heard::default());
    let kinds = [("c", Durability::Committed), ("b", Durability::Buffered), ("n", Durability::None)];
    let log = open(dir.path(), &heard);
    for (name, durability) in kinds {
        for id in ["1", "2", "3"] {
            append(&log, name, durability, id).await.unwrap();
        }
    }
    let known = log.heads(vec![topic("c"), topic("b")]).await.unwrap();
    let unknown = log.heads(vec![topic("unknown")]).await.unwrap()[0];
    drop(log);
    // The next run finds another boot of the machine.
    {
        let home = Home::enter(dir.path()).unwrap();
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        drop(Store::open(&home, &Options::at(dir.path()), &clock, true).unwrap());
    }
    let log = open(dir.path(), &heard);
    assert_eq!(log.heads(vec![topic("c"), topic("b")]).await.unwrap(), known, "what was not lost is as it was");
    let unknown_now = log.heads(vec![topic("unknown")]).await.unwrap()[0];
    assert_ne!(unknown.last.epoch, unknown_now.last.epoch, "one that was lost as a whole");
    let mut next = Vec::new();
    for (name, durability) in kinds {
        next.push(append(&log, name, durability, "4").await.unwrap().position.offset);
        assert_eq!(append(&log, name, durability, "5").await.unwrap().position.offset, next[next.len() - 1] + 1);
        assert_eq!(all(&log, name).await.events[3].prev, 3);
    }
    assert_eq!(next[0], 4);
    assert!(next[1..].iter().all(|offset| *offset >= CEILING_STEP));
    // Reading finds its way over the jump.
    let time = all(&log, "b").await.events[4].time;
    let read = Read {
        topic: topic("b"),
        from: ReadFrom::Time(time),
        direction: Direction::Backward,
        limit: 10,
        bytes_max: usize::MAX,
        age_max: None,
    };
    assert!(log.read(read).await.unwrap().events.iter().all(|event| event.time < time));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_ceiling_is_raised_before_it_is_reached() {
    let dir = tempfile::tempdir().unwrap();
    let heard = Arc::new(Heard::default());
    let mut at = 0;
    for _ in 0..4 {
        let log = open(dir.path(), &heard);
        let first = append(&log, "n", Durability::None, &format!("{at}-1")).await.unwrap().position.offset;
        assert!(first > at, "never again an offset that may have been used");
        at = append(&log, "n", Durability::None, &format!("{at}-2")).await.unwrap().position.offset;
        assert_eq!(at, first + 1);
        // Not closed.
    }
    assert!(at > 3 * CEILING_STEP);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_weaker_promise_is_confirmed_once_so_that_a_crash_is_understood() {
    let dir = tempfile::tempdir().unwrap();
    let heard = Arc::new(Heard::default());
    let log = open(dir.path(), &heard);
    append(&log, "a", Durability::Committed, "1").await.unwrap();
    fail_sync(&log);
    assert!(append(&log, "a", Durability::Buffered, "2").await.is_err(), "this one waits for the disk");
    append(&log, "a", Durability::Buffered, "3").await.unwrap();
    fail_sync(&log);
    append(&log, "a", Durability::Buffered, "4").await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn purged_logs_are_removed_bit_by_bit() {
    let dir = tempfile::tempdir().unwrap();
    let heard = Arc::new(Heard::default());
    let log = open(dir.path(), &heard);
    let keep = Arc::new(Keep { durability: Durability::None, events_max: None, ..Keep::default() });
    let item = || Append { topic: topic("a"), draft: Draft::new(Data::text("x")), keep: Arc::clone(&keep) };
    // More than one turn of the sweep removes, and so many that the ceiling has to be raised.
    for _ in 0..4 {
        log.append(std::iter::repeat_with(item).take(5000).collect()).await;
    }
    let store = Arc::clone(&log.slot.read().as_ref().unwrap().store);
    assert_eq!(store.log.len().unwrap(), 20_000);
    log.admin(Admin::Purge(topic("a"))).await.unwrap();
    assert_eq!(log.sweep().await.unwrap(), 0, "nobody's events do not count");
    assert_eq!((store.log.len().unwrap(), store.purged.len().unwrap()), (0, 0));
    // The same for age and truncation, which count.
    for _ in 0..4 {
        log.append(std::iter::repeat_with(item).take(5000).collect()).await;
    }
    let end = log.admin(Admin::TruncateBefore(topic("a"), 19_001)).await.unwrap();
    assert_eq!((end.first, end.events, store.log.len().unwrap()), (19_001, 1000, 1000));
}

#[tokio::test(flavor = "multi_thread")]
async fn expired_ids_go_when_tables_are_merged() {
    let dir = tempfile::tempdir().unwrap();
    let clock = Arc::new(fanfare_model::ManualClock::new(fanfare_model::Timestamp::from_seconds(1000)));
    let heard = Arc::new(Heard::default());
    let log =
        EmbeddedLog::open(Options::at(dir.path()), Arc::<fanfare_model::ManualClock>::clone(&clock), heard).unwrap();
    let window = Keep::default().idempotency_window;
    append(&log, "a", Durability::Committed, "old").await.unwrap();
    clock.advance(window / 2);
    append(&log, "a", Durability::Committed, "new").await.unwrap();
    let store = Arc::clone(&log.slot.read().as_ref().unwrap().store);
    let merge = || {
        store.dedup.rotate_memtable_and_wait().unwrap();
        store.dedup.major_compact().unwrap();
        store.dedup.len().unwrap()
    };
    assert_eq!(merge(), 2);
    clock.advance(window / 2 + std::time::Duration::from_secs(1));
    assert_eq!(merge(), 1);
    assert!(!append(&log, "a", Durability::Committed, "old").await.unwrap().duplicate);
    assert!(append(&log, "a", Durability::Committed, "new").await.unwrap().duplicate);
}
