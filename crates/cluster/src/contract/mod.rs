//! What every engine must do, as a function that runs against any [`Leases`].
//!
//! Each case is a named function on a store of its own; a failure names the case. Time is real: leases that are to end
//! last a second and are waited for, and all others longer than any case takes.

mod ending;
mod holding;
mod listing;

use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::{BoxFuture, join_all};
use tokio::time::Instant;

use crate::{Fence, Lease, Leases};

/// How long a lease lasts that is to end: the shortest span that every store can measure.
const BRIEF: Duration = Duration::from_secs(1);
/// How long all others last: a machine that is busy for some seconds must not end them.
const LONG: Duration = Duration::from_secs(600);
/// How long is waited for what must come. Far more than any store needs that works.
const PATIENCE: Duration = Duration::from_secs(60);

/// What a store under test is made from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Setting {
    /// Where its leases are: stores made for the same place, as by several nodes, see the same leases. Every case has a
    /// place of its own, which nobody else uses.
    pub place: usize,
}

/// Runs every case on stores that `make` makes, all cases at once. Needs a tokio runtime whose time is not paused.
///
/// # Panics
///
/// When a case fails; the message names it.
pub async fn run<M, F>(make: M)
where
    M: Fn(Setting) -> F + Send + Sync + 'static,
    F: Future<Output = Arc<dyn Leases>> + Send + 'static,
{
    // Places of several runs in one process differ.
    static PLACES: AtomicUsize = AtomicUsize::new(0);
    let mut running = Vec::new();
    for (name, case) in holding::CASES.iter().chain(ending::CASES).chain(listing::CASES) {
        let setting = Setting { place: PLACES.fetch_add(1, Ordering::Relaxed) };
        // Two nodes and what they see.
        let bench = Bench { one: make(setting).await, other: make(setting).await };
        running.push(AssertUnwindSafe(case(bench)).catch_unwind().map(move |ended| (*name, ended)));
    }
    for (name, ended) in join_all(running).await {
        if let Err(panic) = ended {
            let said = panic.downcast_ref::<String>().map(String::as_str);
            let said = said.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("no message");
            panic!("contract case `{name}` failed: {said}");
        }
    }
}

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

/// The stores of two nodes on one place.
struct Bench {
    one: Arc<dyn Leases>,
    other: Arc<dyn Leases>,
}

async fn acquire(leases: &Arc<dyn Leases>, name: &str, holder: &str) -> Option<Fence> {
    leases.acquire(name, holder, LONG).await.expect("the acquire is answered")
}

/// As [`acquire`], of a lease that is free.
async fn take(leases: &Arc<dyn Leases>, name: &str, holder: &str) -> Fence {
    acquire(leases, name, holder).await.unwrap_or_else(|| panic!("the free lease {name:?} is not given"))
}

/// As [`take`], of a lease that is to end.
async fn take_briefly(leases: &Arc<dyn Leases>, name: &str, holder: &str) -> Fence {
    let given = leases.acquire(name, holder, BRIEF).await.expect("the acquire is answered");
    given.unwrap_or_else(|| panic!("the free lease {name:?} is not given"))
}

async fn renew(leases: &Arc<dyn Leases>, name: &str, fence: Fence) -> bool {
    leases.renew(name, fence, LONG).await.expect("the renewal is answered")
}

/// As [`renew`], of a lease that is to end.
async fn renew_briefly(leases: &Arc<dyn Leases>, name: &str, fence: Fence) -> bool {
    leases.renew(name, fence, BRIEF).await.expect("the renewal is answered")
}

async fn release(leases: &Arc<dyn Leases>, name: &str, fence: Fence) {
    leases.release(name, fence).await.expect("the release is answered");
}

async fn list(leases: &Arc<dyn Leases>, prefix: &str) -> Vec<Lease> {
    leases.list(prefix).await.expect("the list is answered")
}

/// Tries to acquire the lease until it is given.
async fn acquire_when_free(leases: &Arc<dyn Leases>, name: &str, holder: &str) -> Fence {
    let begun = Instant::now();
    loop {
        if let Some(fence) = acquire(leases, name, holder).await {
            return fence;
        }
        assert!(begun.elapsed() < PATIENCE, "the lease {name:?} does not end");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}
