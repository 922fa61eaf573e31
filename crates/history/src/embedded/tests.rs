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

/// The next time the disk is asked to confirm the write-ahead log it fails to.
fn fail_sync(log: &EmbeddedLog) {
    log.fail_sync.store(true, Ordering::SeqCst);
}

/// Has everything that is recent moved to the store, by way of the sweep.
async fn move_all(log: &EmbeddedLog) {
    // An order is given after a sweep was answered, and only when the one before is done.
    while !log.shared.read().recent.topics.is_empty() {
        log.sweep().await.unwrap();
        log.mover.wait(true).unwrap();
    }
    log.mover.wait(true).unwrap();
}

fn moving_at_once(path: &Path) -> Options {
    Options { move_every: fanfare_model::Duration::from_millis(0), ..Options::at(path) }
}

fn store_of(log: &EmbeddedLog) -> Arc<super::store::Store> {
    Arc::clone(&log.shared.read().base.as_ref().unwrap().store)
}

fn ids(page: &Page) -> Vec<String> {
    page.events.iter().map(|event| event.draft.id.to_string()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_disk_did_not_confirm_counts_for_nothing_and_nothing_else_is_lost() {
    let dir = tempfile::tempdir().unwrap();
    let heard = Arc::new(Heard::default());
    let log = open(dir.path(), &heard);
    append(&log, "a", Durability::Committed, "1").await.unwrap();
    append(&log, "b", Durability::Buffered, "1").await.unwrap();
    fail_sync(&log);
    let refused = append(&log, "a", Durability::Committed, "2").await;
    assert!(matches!(refused, Err(Error::Unavailable(_))));
    assert_eq!((all(&log, "a").await.events.len(), heard.events(&topic("a")).len()), (1, 1));
    let next = append(&log, "a", Durability::Committed, "3").await.unwrap();
    assert_eq!((ids(&all(&log, "a").await), next.position.offset), (["1", "3"].map(str::to_owned).to_vec(), 2));
    let again = append(&log, "a", Durability::Committed, "2").await.unwrap();
    assert_eq!((again.duplicate, again.position.offset), (false, 3), "trying again stores it once");
    assert_eq!(append(&log, "a", Durability::Committed, "2").await.unwrap().position, again.position);
    // The other topic's event was in doubt as well; it is safe now.
    assert_eq!(append(&log, "b", Durability::Buffered, "2").await.unwrap().position.offset, 2);
    assert_eq!(heard.events(&topic("a")), all(&log, "a").await.events);
    let seen = (all(&log, "a").await.events, all(&log, "b").await.events);
    drop(log);
    let log = open(dir.path(), &heard);
    assert_eq!((all(&log, "a").await.events, all(&log, "b").await.events), seen);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_not_confirmed_may_be_found_after_a_crash_and_is_stored_once() {
    let dir = tempfile::tempdir().unwrap();
    let heard = Arc::new(Heard::default());
    let log = open(dir.path(), &heard);
    append(&log, "a", Durability::Committed, "1").await.unwrap();
    fail_sync(&log);
    assert!(append(&log, "a", Durability::Committed, "2").await.is_err());
    drop(log);
    let log = open(dir.path(), &heard);
    assert_eq!(ids(&all(&log, "a").await), ["1", "2"]);
    let again = append(&log, "a", Durability::Committed, "2").await.unwrap();
    assert_eq!((again.duplicate, again.position.offset), (true, 2));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_purge_that_was_not_confirmed_has_not_happened() {
    let dir = tempfile::tempdir().unwrap();
    let heard = Arc::new(Heard::default());
    let log = open(dir.path(), &heard);
    let old = append(&log, "a", Durability::Committed, "1").await.unwrap();
    fail_sync(&log);
    assert!(log.admin(Admin::Purge(topic("a"))).await.is_err());
    let again = append(&log, "a", Durability::Committed, "1").await.unwrap();
    assert_eq!((again.duplicate, again.position), (true, old.position));
    assert_eq!((heard.resets().len(), all(&log, "a").await.events.len()), (0, 1));
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
        drop(opening::open(&home, &Options::at(dir.path()), &clock, true, &|| false).unwrap());
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
async fn what_is_not_kept_is_removed_from_the_store() {
    let dir = tempfile::tempdir().unwrap();
    let log = EmbeddedLog::open(moving_at_once(dir.path()), Arc::new(SystemClock), Arc::new(Heard::default())).unwrap();
    let keep = Arc::new(Keep { durability: Durability::None, events_max: None, ..Keep::default() });
    let item = || Append { topic: topic("a"), draft: Draft::new(Data::text("x")), keep: Arc::clone(&keep) };
    // More than one turn removes, and so many that the ceiling has to be raised.
    for _ in 0..4 {
        log.append(std::iter::repeat_with(item).take(5000).collect()).await;
    }
    move_all(&log).await;
    let pages = || store_of(&log).pages.len().unwrap();
    assert_eq!(pages(), 20_000 / page::EVENTS_MAX);
    log.admin(Admin::Purge(topic("a"))).await.unwrap();
    move_all(&log).await;
    assert_eq!((pages(), store_of(&log).purged.len().unwrap()), (0, 0));
    for _ in 0..4 {
        log.append(std::iter::repeat_with(item).take(5000).collect()).await;
    }
    move_all(&log).await;
    for (before, expected) in [(19_001, 125), (19_002, 125), (19_008, 125), (19_009, 124)] {
        let end = log.admin(Admin::TruncateBefore(topic("a"), before)).await.unwrap();
        move_all(&log).await;
        assert_eq!((end.first, end.events, pages()), (before, 20_001 - before, expected));
        assert_eq!(all(&log, "a").await.events[0].offset, before);
    }
    log.admin(Admin::TruncateBefore(topic("a"), 30_000)).await.unwrap();
    move_all(&log).await;
    assert_eq!(pages(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn expired_ids_go_when_tables_are_merged() {
    let dir = tempfile::tempdir().unwrap();
    let clock = Arc::new(fanfare_model::ManualClock::new(fanfare_model::Timestamp::from_seconds(1000)));
    let heard = Arc::new(Heard::default());
    let log =
        EmbeddedLog::open(moving_at_once(dir.path()), Arc::<fanfare_model::ManualClock>::clone(&clock), heard).unwrap();
    let window = Keep::default().idempotency_window;
    append(&log, "a", Durability::Committed, "old").await.unwrap();
    move_all(&log).await;
    clock.advance(window / 2);
    append(&log, "a", Durability::Committed, "new").await.unwrap();
    move_all(&log).await;
    let store = store_of(&log);
    let merge = || {
        store.ids.rotate_memtable_and_wait().unwrap();
        store.ids.major_compact().unwrap();
        store.ids.len().unwrap()
    };
    assert_eq!(merge(), 2);
    assert!(append(&log, "a", Durability::Committed, "old").await.unwrap().duplicate);
    clock.advance(window / 2 + std::time::Duration::from_secs(1));
    assert_eq!(merge(), 1);
    assert!(!append(&log, "a", Durability::Committed, "old").await.unwrap().duplicate);
    assert!(append(&log, "a", Durability::Committed, "new").await.unwrap().duplicate);
}

/// Every id is found wherever it is: in memory, moving, in one chunk of several, and after a crash.
#[tokio::test(flavor = "multi_thread")]
async fn ids_are_found_in_every_chunk() {
    let dir = tempfile::tempdir().unwrap();
    let open =
        || EmbeddedLog::open(moving_at_once(dir.path()), Arc::new(SystemClock), Arc::new(Heard::default())).unwrap();
    let mut log = open();
    let mut stored = Vec::new();
    for round in 0..4 {
        for n in 0..13 {
            let id = format!("{round}-{n}");
            stored.push((append(&log, "a", Durability::Buffered, &id).await.unwrap().position, id));
        }
        move_all(&log).await;
        append(&log, "b", Durability::Buffered, &format!("{round}")).await.unwrap();
        move_all(&log).await;
    }
    for _ in 0..2 {
        for (position, id) in &stored {
            let again = append(&log, "a", Durability::Buffered, id).await.unwrap();
            assert_eq!((again.duplicate, again.position), (true, *position), "{id}");
        }
        drop(log);
        log = open();
    }
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let (path, target) = entry.map(|entry| (entry.path(), to.join(entry.file_name()))).unwrap();
        if path.is_dir() {
            copy(&path, &target);
        } else {
            std::fs::copy(path, target).unwrap();
        }
    }
}

/// What the topics hold, to be compared.
async fn everything(log: &EmbeddedLog, names: &[&str]) -> Vec<(Head, Vec<Arc<fanfare_model::Event>>)> {
    let mut found = Vec::new();
    for name in names {
        let page = all(log, name).await;
        found.push((page.head, page.events));
    }
    found
}

/// The power goes while what a crash has left is moved to the store, at every step of it.
#[tokio::test(flavor = "multi_thread")]
async fn a_move_may_be_interrupted_at_every_step() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("store");
    let names = ["a", "b", "c", "d", "e"];
    let heard = Arc::new(Heard::default());
    let keep = Arc::new(Keep { events_max: Some(11), durability: Durability::Buffered, ..Keep::default() });
    let fill = async |log: &EmbeddedLog, from: u32| {
        for n in from..from + 12 {
            for name in names {
                let draft = Draft { id: EventId::new(n.to_string()).unwrap(), ..Draft::new(Data::text("x")) };
                let item = Append { topic: topic(name), draft, keep: Arc::clone(&keep) };
                log.append(vec![item]).await.remove(0).unwrap();
            }
        }
    };
    let log = open(&path, &heard);
    fill(&log, 0).await;
    log.close().await.unwrap();
    drop(log);
    let log = open(&path, &heard);
    fill(&log, 12).await;
    log.admin(Admin::Purge(topic("b"))).await.unwrap();
    log.admin(Admin::TruncateBefore(topic("c"), 20)).await.unwrap();
    fill(&log, 24).await;
    let expected = everything(&log, &names).await;
    drop(log);
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let mut steps = 0_u32;
    loop {
        let crashed = dir.path().join(steps.to_string());
        copy(&path, &crashed);
        // Once more from where the first attempt has come to, with other events in between.
        for attempt in 0..2 {
            let left = std::cell::Cell::new(steps);
            let is_stopped = || left.replace(left.get().saturating_sub(1)) == 0;
            let home = Home::enter(&crashed).unwrap();
            if opening::open(&home, &Options::at(&crashed), &clock, false, &is_stopped).is_ok() {
                assert!(steps > 10, "there are steps to be interrupted");
                return;
            }
            drop(home);
            if attempt == 0 && steps.is_multiple_of(3) {
                continue;
            }
            break;
        }
        let log = open(&crashed, &heard);
        assert_eq!(everything(&log, &names).await, expected, "after {steps} steps");
        fill(&log, 30).await;
        let after = everything(&log, &names).await;
        for ((head, events), (was, _)) in after.iter().zip(&expected) {
            assert_eq!((head.last.offset, head.events, events.len()), (was.last.offset + 6, 11, 11));
            assert!(events.windows(2).all(|pair| pair[1].prev == pair[0].offset));
        }
        drop(log);
        std::fs::remove_dir_all(&crashed).unwrap();
        steps += 1;
    }
}

/// The power goes: the write-ahead log is there up to some byte. What the disk had confirmed by then is there, in
/// order and without a hole, and no offset is used again.
#[tokio::test(flavor = "multi_thread")]
async fn the_power_goes_at_every_frame() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("store");
    let heard = Arc::new(Heard::default());
    let log = open(&path, &heard);
    let kinds = [("c", Durability::Committed), ("b", Durability::Buffered)];
    // Of each frame: the topic and the offset of its event.
    let mut written = Vec::new();
    for n in 0..8 {
        for (name, durability) in kinds {
            let offset = append(&log, name, durability, &n.to_string()).await.unwrap().position.offset;
            written.push((name, offset));
        }
    }
    drop(log);
    let wal = std::fs::read_dir(path.join("wal")).unwrap().next().unwrap().unwrap().path();
    let whole = std::fs::read(&wal).unwrap();
    let ends = super::wal::frame_ends(&whole);
    assert_eq!(ends.len(), written.len());
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    for end in &ends {
        for cut in [end - 1, *end] {
            let torn = dir.path().join("torn");
            copy(&path, &torn);
            let mut bytes = whole.clone();
            bytes[cut..].fill(0);
            // What is behind the cut may have been zero before.
            let intact = whole.iter().zip(&bytes).take_while(|(was, is)| was == is).count();
            std::fs::write(torn.join("wal").join(wal.file_name().unwrap()), bytes).unwrap();
            {
                let home = Home::enter(&torn).unwrap();
                drop(opening::open(&home, &Options::at(&torn), &clock, true, &|| false).unwrap());
            }
            let log = open(&torn, &heard);
            let there = &written[..ends.iter().filter(|end| **end <= intact).count()];
            for (name, durability) in kinds {
                let offsets: Vec<u64> = all(&log, name).await.events.iter().map(|event| event.offset).collect();
                let expected: Vec<u64> =
                    there.iter().filter(|(of, _)| *of == name).map(|(_, offset)| *offset).collect();
                assert_eq!(offsets, expected, "{name} cut at {cut}");
                // The frame of a committed event that the disk had confirmed is whole, so that its topic goes on;
                // of the others it is not known what was lost.
                let next = append(&log, name, durability, "next").await.unwrap().position.offset;
                let lost = written.iter().filter(|(of, _)| *of == name).count() > expected.len();
                match durability {
                    Durability::Committed => assert_eq!(next, expected.last().unwrap_or(&0) + 1),
                    _ if expected.is_empty() => assert_eq!(next, 1, "of another epoch"),
                    _ => assert!(next >= CEILING_STEP, "{next} {lost}"),
                }
            }
            drop(log);
            std::fs::remove_dir_all(&torn).unwrap();
        }
    }
}

/// Readers that read while events are moved under them see every event once.
#[tokio::test(flavor = "multi_thread")]
async fn reads_are_whole_while_events_are_moved() {
    let dir = tempfile::tempdir().unwrap();
    let log = EmbeddedLog::open(moving_at_once(dir.path()), Arc::new(SystemClock), Arc::new(Heard::default())).unwrap();
    let keep = Arc::new(Keep { events_max: Some(50), durability: Durability::None, ..Keep::default() });
    let is_done = std::cell::Cell::new(false);
    let write = async {
        for n in 0..300 {
            let draft = Draft { id: EventId::new(n.to_string()).unwrap(), ..Draft::new(Data::text("x")) };
            let item = Append { topic: topic("a"), draft, keep: Arc::clone(&keep) };
            log.append(vec![item]).await.remove(0).unwrap();
        }
        is_done.set(true);
    };
    let read = async {
        let mut direction = Direction::Forward;
        while !is_done.get() {
            let (limit, bytes_max, from) = (usize::MAX, usize::MAX, ReadFrom::End);
            let page =
                log.read(Read { topic: topic("a"), from, direction, limit, bytes_max, age_max: None }).await.unwrap();
            let mut offsets: Vec<u64> = page.events.iter().map(|event| event.offset).collect();
            if direction == Direction::Backward {
                offsets.reverse();
                direction = Direction::Forward;
            } else {
                direction = Direction::Backward;
            }
            assert_eq!(offsets, (page.head.first..=page.head.last.offset).collect::<Vec<_>>());
            assert_eq!(page.head.events, offsets.len() as u64);
        }
    };
    futures_util::future::join(write, read).await;
}
