//! What every engine must do, as a function that runs against any [`Log`].
//!
//! Each case is a named function on a log of its own; a failure names the case. The numbers in the comments
//! are those of the conformance suite (engine reference, section 8). What an engine says it cannot do
//! ([`crate::Capabilities`]) is not asked of it.
//!
//! ```
//! # use std::sync::Arc;
//! # use fanfare_history::{Log, contract, memory};
//! # let runtime = tokio::runtime::Builder::new_multi_thread().enable_time().build().unwrap();
//! # runtime.block_on(
//! contract::run(|setting| async move {
//!     Arc::new(memory::MemoryLog::new(setting.clock, setting.heard, memory::Options::default())) as Arc<dyn Log>
//! })
//! # );
//! ```

mod appending;
mod bench;
mod heard;
mod kinds;
mod reading;
mod restarting;
mod retaining;
mod taking_over;

use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use fanfare_model::ManualClock;
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;

use crate::Log;

use bench::{Bench, backward, ends, forward, is_chained, numbered, of_kind, offsets, placed, topic, with_id};
pub use heard::Heard;
pub use kinds::{everything, kinds};
pub use taking_over::restoring;

/// What a log under test is made from.
#[derive(Clone)]
pub struct Setting {
    /// Where its data are: an engine that keeps them finds them again when it is made for the same place.
    /// Every case has a place of its own, which nobody else uses.
    pub place: usize,
    /// The clock it is to use, if events have the time of the node.
    pub clock: Arc<ManualClock>,
    /// Who is to hear its announcements.
    pub heard: Arc<Heard>,
}

/// When what was stored is announced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Announced {
    /// Before the append is answered, as a [`Log`] must.
    First,
    /// Soon after; each event once and in order, as long as nothing breaks.
    Soon,
    /// Perhaps: announcements are not looked at.
    Perhaps,
}

/// Runs every case on logs that `make` makes. Needs a tokio runtime of several threads.
///
/// # Panics
///
/// When a case fails; the message names it.
pub async fn run<M, F>(make: M)
where
    M: Fn(Setting) -> F + Send + Sync + 'static,
    F: Future<Output = Arc<dyn Log>> + Send + 'static,
{
    Suite::new(make).run().await;
}

/// The cases, and the logs they run on.
pub struct Suite {
    make: Make,
    announced: Announced,
    wanted: Box<dyn Fn(&str) -> bool + Send + Sync>,
}

impl Suite {
    /// Every case on logs that `make` makes.
    pub fn new<M, F>(make: M) -> Self
    where
        M: Fn(Setting) -> F + Send + Sync + 'static,
        F: Future<Output = Arc<dyn Log>> + Send + 'static,
    {
        let make = Arc::new(move |setting| make(setting).boxed());
        Self { make, announced: Announced::First, wanted: Box::new(|_| true) }
    }

    /// The same where announcements come at another time.
    #[must_use]
    pub fn announced(self, announced: Announced) -> Self {
        Self { announced, ..self }
    }

    /// Only the cases whose names `wanted` wants.
    #[must_use]
    pub fn only(self, wanted: impl Fn(&str) -> bool + Send + Sync + 'static) -> Self {
        Self { wanted: Box::new(wanted), ..self }
    }

    /// Runs the cases one after the other.
    ///
    /// # Panics
    ///
    /// When a case fails; the message names it.
    pub async fn run(self) {
        let cases = appending::CASES.iter().chain(reading::CASES).chain(retaining::CASES).chain(restarting::CASES);
        for (name, case) in cases.filter(|(name, _)| (self.wanted)(name)) {
            let whole = async {
                let bench = Bench::set_up(next_place(), Arc::clone(&self.make), self.announced).await;
                case(bench).await;
            };
            if let Err(panic) = AssertUnwindSafe(whole).catch_unwind().await {
                let said = panic.downcast_ref::<String>().map(String::as_str);
                let said = said.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("no message");
                panic!("contract case `{name}` failed: {said}");
            }
        }
    }
}

/// Places of several runs in one process differ.
fn next_place() -> usize {
    static PLACES: AtomicUsize = AtomicUsize::new(0);
    PLACES.fetch_add(1, Ordering::Relaxed)
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
