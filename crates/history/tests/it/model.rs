//! Random histories against a model that is too simple to be wrong.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use fanfare_history::contract::Heard;
use fanfare_history::embedded::{EmbeddedLog, Options};
use fanfare_history::memory::{self, MemoryLog};
use fanfare_history::{Admin, Append, Direction, Durability, Keep, Log, Read, ReadFrom};
use fanfare_model::{
    ByteSize, Clock as _, Data, Draft, Epoch, EventId, ManualClock, Tenant, Timestamp, Topic, TopicKey,
};
use proptest::prelude::*;

#[derive(Debug, Clone)]
enum Step {
    /// Appends to topics the ids.
    Append(Vec<(usize, u8)>),
    Truncate(usize, u64),
    Purge(usize),
    Sweep,
    Advance(u64),
    /// Closes the log and opens it again.
    Reopen,
    /// Opens it again without closing it.
    Kill,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => prop::collection::vec((0..TOPICS, any::<u8>()), 1..12).prop_map(Step::Append),
        1 => (0..TOPICS, 0..40_u64).prop_map(|(topic, before)| Step::Truncate(topic, before)),
        1 => (0..TOPICS).prop_map(Step::Purge),
        2 => Just(Step::Sweep),
        3 => (0..40_u64).prop_map(Step::Advance),
        1 => Just(Step::Reopen),
        1 => Just(Step::Kill),
    ]
}

const TOPICS: usize = 4;
const AGE: Duration = Duration::from_secs(60);
const WINDOW: Duration = Duration::from_secs(45);

fn topic(n: usize) -> TopicKey {
    TopicKey::new(Tenant::default(), Topic::new(format!("t:{n}")).unwrap())
}

/// Each topic has another policy.
fn keep(n: usize) -> Arc<Keep> {
    Arc::new(Keep {
        events_max: [None, Some(7), Some(0), Some(30)][n],
        bytes_max: [None, None, None, Some(90)][n],
        age_max: [Some(AGE), None, None, Some(AGE)][n],
        durability: [Durability::Committed, Durability::Buffered, Durability::Committed, Durability::Committed][n],
        idempotency_window: WINDOW,
    })
}

#[derive(Default)]
struct ModelTopic {
    epoch: Option<Epoch>,
    last: u64,
    time: Option<Timestamp>,
    /// Offset, id, time, size.
    events: Vec<(u64, u8, Timestamp, u64)>,
    ids: HashMap<u8, (u64, Timestamp)>,
}

impl ModelTopic {
    /// Returns offset and whether it is a duplicate.
    fn append(&mut self, id: u8, size: u64, keep: &Keep, now: Timestamp) -> (u64, bool) {
        if let Some((offset, time)) = self.ids.get(&id)
            && now.since(*time) < WINDOW
        {
            return (*offset, true);
        }
        self.last += 1;
        let time = self.time.map_or(now, |time| time.max(now));
        self.time = Some(time);
        self.events.push((self.last, id, time, size));
        self.ids.insert(id, (self.last, time));
        let bytes = |events: &[(u64, u8, Timestamp, u64)]| events.iter().map(|event| event.3).sum::<u64>();
        while !self.events.is_empty()
            && (keep.events_max.is_some_and(|max| self.events.len() as u64 > max)
                || keep.bytes_max.is_some_and(|max| bytes(&self.events) > max))
        {
            self.events.remove(0);
        }
        (self.last, false)
    }
}

fn draft(id: u8) -> Draft {
    Draft { id: EventId::new(format!("id-{id}")).unwrap(), ..Draft::new(Data::text("x".repeat(usize::from(id % 9)))) }
}

/// What the log under test is.
#[derive(Clone, Copy)]
enum Engine<'a> {
    Memory,
    /// In this directory.
    Embedded(&'a Path),
    /// As well, and every group is moved to the store at once.
    Moving(&'a Path),
}

fn log_at(engine: Engine<'_>, clock: &Arc<ManualClock>, heard: &Arc<Heard>) -> Box<dyn Log> {
    let (path, memory_bytes_max) = match engine {
        Engine::Memory => {
            return Box::new(MemoryLog::new(
                Arc::<ManualClock>::clone(clock),
                Arc::<Heard>::clone(heard),
                memory::Options::default(),
            ));
        }
        Engine::Embedded(path) => (path, Options::default().memory_bytes_max),
        Engine::Moving(path) => (path, ByteSize(1)),
    };
    let options = Options { topics_cached_max: 2, read_threads: 1, memory_bytes_max, ..Options::at(path) };
    Box::new(EmbeddedLog::open(options, Arc::<ManualClock>::clone(clock), Arc::<Heard>::clone(heard)).unwrap())
}

/// Runs the steps.
async fn follow(steps: Vec<Step>, engine: Engine<'_>) {
    let clock = Arc::new(ManualClock::new(Timestamp::from_seconds(1000)));
    let heard = Arc::new(Heard::default());
    let mut log = log_at(engine, &clock, &heard);
    let mut model: [ModelTopic; TOPICS] = Default::default();
    for step in steps {
        match &step {
            Step::Append(items) => {
                let batch = items.iter().map(|(n, id)| Append { topic: topic(*n), draft: draft(*id), keep: keep(*n) });
                let answers = log.append(batch.collect()).await;
                for (answer, (n, id)) in answers.into_iter().zip(items) {
                    let answer = answer.unwrap();
                    let size = draft(*id).size() as u64;
                    let expected = model[*n].append(*id, size, &keep(*n), clock.now());
                    assert_eq!((answer.position.offset, answer.duplicate), expected, "topic {n} id {id}");
                }
            }
            Step::Truncate(n, before) => {
                log.admin(Admin::TruncateBefore(topic(*n), *before)).await.unwrap();
                model[*n].events.retain(|event| event.0 >= *before);
            }
            Step::Purge(n) => {
                let begun = log.admin(Admin::Purge(topic(*n))).await.unwrap();
                assert_ne!(Some(begun.last.epoch), model[*n].epoch);
                model[*n] = ModelTopic { epoch: Some(begun.last.epoch), ..ModelTopic::default() };
            }
            Step::Sweep => {
                let removed = log.sweep().await.unwrap();
                let mut expected = 0;
                for (_, topic) in model.iter_mut().enumerate().filter(|(n, _)| keep(*n).age_max.is_some()) {
                    let before = topic.events.len();
                    topic.events.retain(|event| event.2 >= clock.now().minus(AGE));
                    expected += (before - topic.events.len()) as u64;
                }
                assert_eq!(removed, expected);
            }
            Step::Advance(seconds) => clock.advance(Duration::from_secs(*seconds)),
            Step::Reopen | Step::Kill if matches!(engine, Engine::Memory) => {}
            Step::Reopen | Step::Kill => {
                if matches!(step, Step::Reopen) {
                    log.close().await.unwrap();
                }
                drop(log);
                log = log_at(engine, &clock, &heard);
            }
        }
        for (n, expected) in model.iter_mut().enumerate() {
            compare(&*log, n, expected).await;
        }
    }
}

async fn compare(log: &dyn Log, n: usize, expected: &mut ModelTopic) {
    let read = Read {
        topic: topic(n),
        from: ReadFrom::End,
        direction: Direction::Forward,
        limit: usize::MAX,
        bytes_max: usize::MAX,
        age_max: None,
    };
    let page = log.read(read).await.unwrap();
    let found: Vec<_> = page.events.iter().map(|e| (e.offset, e.draft.id.to_string(), e.time)).collect();
    let stored: Vec<_> =
        expected.events.iter().map(|(offset, id, time, _)| (*offset, format!("id-{id}"), *time)).collect();
    assert_eq!(found, stored, "topic {n}");
    assert!(page.events.iter().all(|event| event.prev + 1 == event.offset));
    let head = page.head;
    let first = expected.events.first().map_or(expected.last + 1, |event| event.0);
    let bytes: u64 = expected.events.iter().map(|event| event.3).sum();
    assert_eq!(
        (head.last.offset, head.time, head.first, head.events, head.bytes),
        (expected.last, expected.time, first, expected.events.len() as u64, bytes)
    );
    assert_eq!(*expected.epoch.get_or_insert(head.last.epoch), head.last.epoch);
    assert_eq!(log.heads(vec![topic(n)]).await.unwrap(), [head]);
}

fn run(steps: Vec<Step>, engine: Engine<'_>) {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(follow(steps, engine));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, max_shrink_iters: 200, ..ProptestConfig::default() })]

    #[test]
    fn embedded_is_as_the_model(steps in prop::collection::vec(step(), 1..40)) {
        let dir = crate::directory();
        run(steps, Engine::Embedded(dir.path()));
    }

    #[test]
    fn embedded_is_as_the_model_while_it_moves_events(steps in prop::collection::vec(step(), 1..40)) {
        let dir = crate::directory();
        run(steps, Engine::Moving(dir.path()));
    }

    #[test]
    fn memory_is_as_the_model(steps in prop::collection::vec(step(), 1..80)) {
        run(steps, Engine::Memory);
    }
}
