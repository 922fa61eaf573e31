//! What every engine must do, as a function that runs against any [`Log`].
//!
//! Each case is a named function on a log of its own; a failure names the case. The numbers in the comments
//! are those of the conformance suite (engine reference, section 8).
//!
//! ```
//! # use std::sync::Arc;
//! # use fanfare_history::{Log, contract, memory};
//! # let runtime = tokio::runtime::Builder::new_multi_thread().build().unwrap();
//! # runtime.block_on(
//! contract::run(|setting| async move {
//!     Arc::new(memory::MemoryLog::new(setting.clock, setting.heard, memory::Options::default())) as Arc<dyn Log>
//! })
//! # );
//! ```

mod appending;
mod heard;
mod reading;
mod restarting;
mod retaining;

use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use fanfare_model::{Clock as _, Data, Draft, Event, EventId, ManualClock, Tenant, Timestamp, Topic, TopicKey};
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;

use crate::{Append, Appended, Direction, Error, Head, Keep, Log, Page, Read, ReadFrom};

pub use heard::Heard;

/// What a log under test is made from.
#[derive(Clone)]
pub struct Setting {
    /// Where its data are: an engine that keeps them finds them again when it is made for the same place.
    /// Every case has a place of its own, which nobody else uses.
    pub place: usize,
    /// The clock it is to use.
    pub clock: Arc<ManualClock>,
    /// Who is to hear its announcements.
    pub heard: Arc<Heard>,
}

/// Runs every case on logs that `make` makes. Needs a tokio runtime.
///
/// # Panics
///
/// When a case fails; the message names it.
pub async fn run<M, F>(make: M)
where
    M: Fn(Setting) -> F + Send + Sync + 'static,
    F: Future<Output = Arc<dyn Log>> + Send + 'static,
{
    // Places of several runs in one process differ.
    static PLACES: AtomicUsize = AtomicUsize::new(0);
    let make = Arc::new(move |setting| make(setting).boxed());
    let cases = appending::CASES.iter().chain(reading::CASES).chain(retaining::CASES).chain(restarting::CASES);
    for (name, case) in cases {
        let place = PLACES.fetch_add(1, Ordering::Relaxed);
        let bench = Bench::set_up(place, Arc::clone(&make) as Make).await;
        if let Err(panic) = AssertUnwindSafe(case(bench)).catch_unwind().await {
            let said = panic.downcast_ref::<String>().map(String::as_str);
            let said = said.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("no message");
            panic!("contract case `{name}` failed: {said}");
        }
    }
}

type Make = Arc<dyn Fn(Setting) -> BoxFuture<'static, Arc<dyn Log>> + Send + Sync>;

/// A case by its name.
type Case = (&'static str, fn(Bench) -> BoxFuture<'static, ()>);

/// Names each case after its function.
macro_rules! cases {
    ($($case:ident),+ $(,)?) => {
        /// The cases of this file.
        pub(super) const CASES: &[super::Case] = &[$((stringify!($case), |bench| Box::pin($case(bench)))),+];
    };
}
use cases;

/// One case's log and what the case does with it.
struct Bench {
    setting: Setting,
    make: Make,
    log: Arc<dyn Log>,
}

impl Bench {
    async fn set_up(place: usize, make: Make) -> Self {
        let clock = Arc::new(ManualClock::new(Timestamp::from_seconds(1_800_000_000)));
        let setting = Setting { place, clock, heard: Arc::default() };
        let log = make(setting.clone()).await;
        Self { setting, make, log }
    }

    /// Closes the log, if asked to, and makes it again.
    async fn restart(self, close: bool) -> Self {
        let Self { setting, make, log } = self;
        if close {
            log.close().await.expect("the log closes");
        }
        drop(log);
        let log = make(setting.clone()).await;
        Self { setting, make, log }
    }

    fn advance(&self, seconds: u64) {
        self.setting.clock.advance(std::time::Duration::from_secs(seconds));
    }

    fn now(&self) -> Timestamp {
        self.setting.clock.now()
    }

    async fn append(&self, topic: &TopicKey, keep: &Arc<Keep>, draft: Draft) -> Appended {
        self.try_append(topic, keep, draft).await.expect("the append is accepted")
    }

    async fn try_append(&self, topic: &TopicKey, keep: &Arc<Keep>, draft: Draft) -> Result<Appended, Error> {
        let item = Append { topic: topic.clone(), draft, keep: Arc::clone(keep) };
        let mut answers = self.log.append(vec![item]).await;
        assert_eq!(answers.len(), 1, "one answer for one item");
        answers.remove(0)
    }

    /// Appends events whose data are `0`, `1`, …
    async fn fill(&self, topic: &TopicKey, keep: &Arc<Keep>, count: usize) {
        let batch =
            (0..count).map(|n| Append { topic: topic.clone(), draft: numbered(n), keep: Arc::clone(keep) }).collect();
        for answer in self.log.append(batch).await {
            answer.expect("the append is accepted");
        }
    }

    async fn head(&self, topic: &TopicKey) -> Head {
        let mut heads = self.log.heads(vec![topic.clone()]).await.expect("the head is read");
        assert_eq!(heads.len(), 1, "one head for one topic");
        heads.remove(0)
    }

    async fn read(&self, read: Read) -> Page {
        self.log.read(read).await.expect("the log is read")
    }

    /// Everything there is of a topic.
    async fn all(&self, topic: &TopicKey) -> Vec<Arc<Event>> {
        let page = self.read(forward(topic, ReadFrom::End)).await;
        assert!(!page.more, "nothing is left");
        page.events
    }
}

/// A topic for a case: its log is its own, so any name will do.
fn topic(name: &str) -> TopicKey {
    TopicKey::new(Tenant::default(), Topic::new(name).expect("a valid topic"))
}

/// A policy that keeps everything.
fn keep_all() -> Arc<Keep> {
    Arc::new(Keep { events_max: None, bytes_max: None, age_max: None, ..Keep::default() })
}

fn numbered(n: usize) -> Draft {
    Draft::new(Data::text(n.to_string()))
}

fn with_id(id: &str, text: &str) -> Draft {
    Draft { id: EventId::new(id).expect("a valid id"), ..Draft::new(Data::text(text)) }
}

fn forward(topic: &TopicKey, from: ReadFrom) -> Read {
    let (limit, bytes_max) = (usize::MAX, usize::MAX);
    Read { topic: topic.clone(), from, direction: Direction::Forward, limit, bytes_max, age_max: None }
}

fn backward(topic: &TopicKey, from: ReadFrom) -> Read {
    Read { direction: Direction::Backward, ..forward(topic, from) }
}

fn offsets(events: &[Arc<Event>]) -> Vec<u64> {
    events.iter().map(|event| event.offset).collect()
}
