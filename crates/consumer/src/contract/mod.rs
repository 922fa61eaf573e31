//! What every engine must do, as a function that runs against any [`Cursors`].
//!
//! Each case is a named function on a store of its own; a failure names the case.

mod listing;
mod restarting;
mod swapping;

use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use fanfare_model::{Epoch, Position, Tag, Tenant, Timestamp, Topic};
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;

use crate::{Cursors, Key, Name, Progress, Swap, Swapped, Version};

/// What a store under test is made from.
#[derive(Debug, Clone, Copy)]
pub struct Setting {
    /// Where its records are: an engine that keeps them finds them again when it is made for the same place. Every case
    /// has a place of its own, which nobody else uses.
    pub place: usize,
    /// How many records a tenant may have.
    pub consumers_max: usize,
}

/// Runs every case on stores that `make` makes. Needs a tokio runtime.
///
/// # Panics
///
/// When a case fails; the message names it.
pub async fn run<M, F>(make: M)
where
    M: Fn(Setting) -> F + Send + Sync + 'static,
    F: Future<Output = Arc<dyn Cursors>> + Send + 'static,
{
    // Places of several runs in one process differ.
    static PLACES: AtomicUsize = AtomicUsize::new(0);
    let make: Make = Arc::new(move |setting| make(setting).boxed());
    for (name, case) in swapping::CASES.iter().chain(listing::CASES).chain(restarting::CASES) {
        let setting = Setting { place: PLACES.fetch_add(1, Ordering::Relaxed), consumers_max: 50 };
        let bench = Bench { setting, cursors: make(setting).await, make: Arc::clone(&make) };
        if let Err(panic) = AssertUnwindSafe(case(bench)).catch_unwind().await {
            let said = panic.downcast_ref::<String>().map(String::as_str);
            let said = said.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("no message");
            panic!("contract case `{name}` failed: {said}");
        }
    }
}

type Make = Arc<dyn Fn(Setting) -> BoxFuture<'static, Arc<dyn Cursors>> + Send + Sync>;

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

/// One case's store and what the case does with it.
struct Bench {
    setting: Setting,
    make: Make,
    cursors: Arc<dyn Cursors>,
}

impl Bench {
    /// Closes the store, if asked to, and makes it again.
    async fn restart(self, close: bool) -> Self {
        let Self { setting, make, cursors } = self;
        if close {
            cursors.close().await.expect("the store closes");
        }
        drop(cursors);
        Self { setting, cursors: make(setting).await, make }
    }

    async fn get(&self, key: &Key) -> Option<(Version, Progress)> {
        self.cursors.get(key).await.expect("the record is read")
    }

    async fn swap(&self, key: &Key, expected: Option<Version>, progress: Option<Progress>) -> Swapped {
        let swap = Swap { key: key.clone(), expected, progress, commit: true };
        self.cursors.swap(swap).await.expect("the swap is answered")
    }

    /// As [`Bench::swap`], which must be done.
    async fn put(&self, key: &Key, expected: Option<Version>, progress: Option<Progress>) -> Version {
        match self.swap(key, expected, progress).await {
            Swapped::Done(version) => version,
            other => panic!("the swap of {key:?} is {other:?}"),
        }
    }
}

fn key(tenant: &str, consumer: &str, topic: &str) -> Key {
    Key {
        tenant: Tenant::new(tenant).expect("a valid tenant"),
        consumer: Name::new(consumer).expect("a valid name"),
        topic: Topic::new(topic).expect("a valid topic"),
    }
}

/// A record at an offset.
fn at(offset: u64) -> Progress {
    let position = Position { epoch: Epoch::from_u32(7).expect("not zero"), offset, tag: Tag::from_u16(9) };
    Progress::new(position, Timestamp::from_seconds(1_800_000_000))
}
