//! Random histories: whatever is published, purged, lost and restarted, every reader gets what a simple model of the
//! topics says it must, or is told truly what it does not get.

mod follower;
mod step;
mod truth;
mod world;

use proptest::test_runner::{Config, TestError, TestRunner};
use tokio::runtime::Handle;

use super::node::{Cluster, Ground};
use world::World;

/// The name of the case.
pub(super) const NAME: &str = "a_random_history_is_seen_as_it_was";

/// The most tries, and milliseconds, for finding a shorter history that fails as well.
const SHRINKING: (u32, u32) = (200, 20_000);

/// Tries so many histories, or as many as `PROPTEST_CASES` in the environment says, each on `nodes` nodes of an engine of
/// its own that `ground` gives out. Panics with a short history that fails.
pub(super) fn run(histories: u32, nodes: usize, ground: impl Fn() -> Ground) {
    let given = Config::default();
    let cases = if std::env::var_os("PROPTEST_CASES").is_some() { given.cases } else { histories };
    let (max_shrink_iters, max_shrink_time) = SHRINKING;
    let config = Config { cases, max_shrink_iters, max_shrink_time, failure_persistence: None, ..given };
    let runtime = Handle::current();
    let one = |steps| {
        // Small rings and pages, so that readers are often behind them; topics are detached soon.
        let ground = ground().with_small_rings();
        runtime.block_on(async { World::new(Cluster::set_up(ground, nodes).await).live(steps).await });
        Ok(())
    };
    let outcome = tokio::task::block_in_place(|| TestRunner::new(config).run(&step::steps(), one));
    match outcome {
        Ok(()) => {}
        Err(TestError::Fail(reason, steps)) => panic!("{reason}, in this history: {steps:#?}"),
        Err(TestError::Abort(reason)) => panic!("no history was found: {reason}"),
    }
}
