//! What every broker must do, as a suite that runs against any [`Broker`], with several nodes on one engine.
//!
//! It has the cases of a log ([`fanfare_history::contract`]), asked through the broker, and its own: order as readers on
//! every node see it, attaching and detaching, topics that keep nothing, and readers that stay whole while what is
//! announced to them is dropped, doubled and reordered. The numbers in the comments are those of the conformance suite
//! (engine reference, section 8). What an engine says it cannot do ([`crate::Capabilities`]) is not asked of it.

mod as_log;
mod attaching;
mod carrier;
mod ear;
mod faults;
mod losing;
mod node;
mod passing;
mod publishing;
mod random;

use std::collections::BTreeMap;
use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use fanfare_history::contract as history;
use fanfare_history::{Keep, Log};
use fanfare_model::{ByteSize, Duration, ManualClock, Timestamp};
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;

use crate::broker::{Broker, Receive};
use crate::policy::{Bounds, History, Off, Policies, PolicyOptions};
use as_log::{AsLog, Listening};
pub use carrier::Carrier;
pub use fanfare_history::contract::Announced;
use node::{Cluster, Ground};

/// What a broker under test is made from.
#[derive(Clone)]
pub struct Setting {
    /// Where its data are. Every case has a place of its own, which nobody else uses; brokers of one place are nodes on
    /// one engine, and one that is made again finds its data.
    pub place: usize,
    /// Which node of its place it is, from 0.
    pub node: usize,
    /// The clock it is to use, if events have the time of the node.
    pub clock: Arc<ManualClock>,
    /// Who is to hear its announcements.
    pub receive: Arc<dyn Receive>,
    /// The policies of the topics of the suite.
    pub policies: Arc<Policies>,
}

/// Runs every case on brokers that `make` makes, two nodes each. Needs a tokio runtime of several threads.
///
/// # Panics
///
/// When a case fails; the message names it.
pub async fn run<M, F>(make: M)
where
    M: Fn(Setting) -> F + Send + Sync + 'static,
    F: Future<Output = Arc<dyn Broker>> + Send + 'static,
{
    Suite::new(make).run().await;
}

type Make = Arc<dyn Fn(Setting) -> BoxFuture<'static, Arc<dyn Broker>> + Send + Sync>;

/// The cases, and the brokers they run on.
pub struct Suite {
    make: Make,
    nodes: usize,
    announced: Announced,
    histories: u32,
    wanted: Arc<dyn Fn(&str) -> bool + Send + Sync>,
}

/// So many random histories on an engine outside the process: each takes a part of a second.
const HISTORIES: u32 = 4;

impl Suite {
    /// Every case on brokers that `make` makes.
    pub fn new<M, F>(make: M) -> Self
    where
        M: Fn(Setting) -> F + Send + Sync + 'static,
        F: Future<Output = Arc<dyn Broker>> + Send + 'static,
    {
        let make = Arc::new(move |setting| make(setting).boxed());
        Self { make, nodes: 2, announced: Announced::Soon, histories: HISTORIES, wanted: Arc::new(|_| true) }
    }

    /// The same with so many nodes on each engine; one for an engine within the process.
    #[must_use]
    pub fn nodes(self, nodes: usize) -> Self {
        Self { nodes, ..self }
    }

    /// The same where announcements come at another time than [`Announced::Soon`].
    #[must_use]
    pub fn announced(self, announced: Announced) -> Self {
        Self { announced, ..self }
    }

    /// The same with so many random histories, unless `PROPTEST_CASES` in the environment gives another number. Four if
    /// nothing is said.
    #[must_use]
    pub fn histories(self, histories: u32) -> Self {
        Self { histories, ..self }
    }

    /// Only the cases whose names `wanted` wants; those of the log are among them.
    #[must_use]
    pub fn only(self, wanted: impl Fn(&str) -> bool + Send + Sync + 'static) -> Self {
        Self { wanted: Arc::new(wanted), ..self }
    }

    /// Runs the cases one after the other.
    ///
    /// # Panics
    ///
    /// When a case fails; the message names it.
    pub async fn run(self) {
        self.run_log().await;
        let cases = publishing::CASES.iter().chain(attaching::CASES).chain(passing::CASES).chain(losing::CASES);
        for (name, case) in cases.filter(|(name, _)| (self.wanted)(name)) {
            let whole = async {
                let cluster = Cluster::set_up(self.ground(), self.nodes).await;
                case(&cluster).await;
                cluster.close().await;
            };
            if let Err(panic) = AssertUnwindSafe(whole).catch_unwind().await {
                let said = panic.downcast_ref::<String>().map(String::as_str);
                let said = said.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("no message");
                panic!("contract case `{name}` failed: {said}");
            }
        }
        if (self.wanted)(random::NAME) {
            random::run(self.histories, self.nodes, || self.ground());
        }
    }

    /// An engine of its own.
    fn ground(&self) -> Ground {
        Ground::new(next_place(), Arc::clone(&self.make), self.announced)
    }

    /// The cases of the log.
    async fn run_log(&self) {
        let (make, wanted) = (Arc::clone(&self.make), Arc::clone(&self.wanted));
        let places = Arc::new(parking_lot::Mutex::new(BTreeMap::new()));
        let make_log = move |setting: history::Setting| {
            let make = Arc::clone(&make);
            // The log's suite counts places by itself, and may name one that ours has named.
            let place = *places.lock().entry(setting.place).or_insert_with(next_place);
            async move {
                let receive = Arc::new(Listening(setting.heard));
                let (clock, policies) = (setting.clock, policies());
                let broker = make(Setting { place, node: 0, clock, receive, policies }).await;
                Arc::new(AsLog::new(broker)) as Arc<dyn Log>
            }
        };
        history::Suite::new(make_log).announced(self.announced).only(move |name| wanted(name)).run().await;
    }
}

/// Places of several runs in one process differ.
fn next_place() -> usize {
    static PLACES: AtomicUsize = AtomicUsize::new(0);
    PLACES.fetch_add(1, Ordering::Relaxed)
}

/// When cases begin.
fn begin() -> Timestamp {
    Timestamp::from_seconds(1_800_000_000)
}

/// The kind of topics that keep nothing.
const PASSING: &str = "passing";

/// The policies of the topics of the suite.
pub fn policies() -> Arc<Policies> {
    let mut topics: BTreeMap<_, _> =
        history::kinds().into_iter().map(|(kind, keep)| (kind.to_owned(), options(&keep))).collect();
    topics.insert("*".to_owned(), options(&history::everything()));
    let nothing = PolicyOptions { history: Some(History::Off(Off::None)), ..PolicyOptions::default() };
    topics.insert(PASSING.to_owned(), nothing);
    Arc::new(Policies::new(&topics))
}

fn options(keep: &Keep) -> PolicyOptions {
    let bounds = Bounds {
        max_events: keep.events_max.unwrap_or(0),
        max_bytes: ByteSize(keep.bytes_max.unwrap_or(0)),
        max_age: Duration(keep.age_max.unwrap_or_default()),
    };
    PolicyOptions {
        history: Some(History::Bounds(bounds)),
        durability: Some(keep.durability),
        idempotency_window: Some(Duration(keep.idempotency_window)),
        event_bytes_max: Some(ByteSize::mib(64)),
        ..PolicyOptions::default()
    }
}

/// A case by its name.
type Case = (&'static str, for<'a> fn(&'a Cluster) -> BoxFuture<'a, ()>);

/// Names each case after its function.
macro_rules! cases {
    ($($case:ident),+ $(,)?) => {
        /// The cases of this file.
        pub(super) const CASES: &[super::Case] = &[$((stringify!($case), |cluster| Box::pin($case(cluster)))),+];
    };
}
use cases;
