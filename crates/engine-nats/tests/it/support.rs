//! Servers and engines for cases.

use std::sync::Arc;

use fanfare_engine_nats::{Engine, Options};
use fanfare_lifecycle::Lifecycle;
use fanfare_model::{Duration, SystemClock};
use futures_util::future::BoxFuture;

/// Options for a place on servers.
pub(crate) fn options(urls: Vec<String>, prefix: &str) -> Options {
    Options { urls, prefix: prefix.to_owned(), idempotency_window: Duration::from_secs(60), ..Options::default() }
}

/// An engine of its own, as a node has one.
pub(crate) fn engine(options: Options) -> BoxFuture<'static, Arc<Engine>> {
    Box::pin(async move {
        let life = Lifecycle::new();
        Engine::connect(&options, Arc::new(SystemClock), &life).await.expect("the engine connects")
    })
}
