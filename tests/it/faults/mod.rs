//! Proof under faults, and proof that the proof would notice.
//!
//! Each scenario is written once and run on each engine where it applies; what an engine may lose is said in the
//! scenario. `dev/test` runs them in short after the other tests, and with fewer at a time.

mod authority;
mod checker;
mod clock;
mod crowds;
mod failovers;
mod network;
mod nodes;
mod presence;
mod servers;

/// A test for each engine, of one scenario that takes it.
macro_rules! scenario {
    ($scenario:ident on $($engine:ident),+ $(,)?) => {
        #[expect(non_snake_case, reason = "a test is named after its engine, as the engine is written")]
        mod $scenario {
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $engine() {
                    Box::pin(super::$scenario(stringify!($scenario), fanfare_tests::faults::On::$engine)).await;
                }
            )+
        }
    };
}
use scenario;
