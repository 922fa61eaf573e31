//! What an engine offers to a node: each as far as it can.

#[cfg(any(feature = "nats", feature = "postgres", feature = "redis", feature = "remote"))]
use std::error::Error;
use std::sync::Arc;

use fanfare_bus::{Broker, Fanout, Policies, Receive};
use fanfare_cluster::Leases;
use fanfare_consumer::Cursors;
use fanfare_history::{Announce, Capabilities, Log, Restore};
use fanfare_presence::Presence;
use futures_util::future::{BoxFuture, ready};

use crate::config::Engine;
use crate::failure::{Code, Failure};

/// A part of an engine that is being opened.
pub(super) type Opening<'a, T> = BoxFuture<'a, Result<Arc<T>, Failure>>;

/// One engine that is connected. What it does not override it cannot do, and says so.
pub(super) trait Backend: Send + Sync {
    fn engine(&self) -> Engine;

    /// What its log can do; `None` if that was known when the configuration was checked.
    fn capabilities(&self) -> Option<Capabilities> {
        None
    }

    /// The log together with what carries its news.
    fn broker(&self, _: Arc<Policies>, _: Arc<dyn Receive>) -> Opening<'_, dyn Broker> {
        lacks(self.engine(), "broker", "engine.kind")
    }

    /// The log alone.
    fn log(&self, _: Arc<Policies>, _: Arc<dyn Announce>) -> Opening<'_, dyn Log> {
        lacks(self.engine(), "log for another fan-out", "engine.composed.log")
    }

    /// What carries the news of another log.
    fn fanout(&self, _: Arc<Policies>, _: Arc<dyn Receive>) -> Opening<'_, dyn Fanout> {
        lacks(self.engine(), "fan-out", "engine.composed.fanout")
    }

    /// What takes over the logs of another engine, whole.
    fn restore(&self, _: Arc<Policies>) -> Opening<'_, dyn TakeOver> {
        lacks(self.engine(), "way to take over epochs and offsets", "engine.kind")
    }

    fn presence(&self) -> Opening<'_, dyn Presence> {
        lacks(self.engine(), "presence", "engine.composed.presence")
    }

    fn leases(&self) -> Opening<'_, dyn Leases> {
        lacks(self.engine(), "leases", "engine.composed.leases")
    }

    fn cursors(&self) -> Opening<'_, dyn Cursors> {
        lacks(self.engine(), "cursors", "engine.composed.cursors")
    }
}

/// Writes what another engine had, and then closes.
pub(super) trait TakeOver: Restore {
    /// Stores everything, to the disk.
    fn finish(&self) -> BoxFuture<'_, Result<(), fanfare_history::Error>>;
}

impl<T: Log + Restore> TakeOver for T {
    fn finish(&self) -> BoxFuture<'_, Result<(), fanfare_history::Error>> {
        self.close()
    }
}

/// The engine has no such part.
pub(super) fn lacks<T: ?Sized + Send + Sync + 'static>(engine: Engine, part: &str, key: &str) -> Opening<'static, T> {
    let name = engine.as_str();
    let text = format!(
        "the engine `{name}` has no {part}\n  fix: name another engine in {key}; docs/engines.md says which has what"
    );
    Box::pin(ready(Err(Failure::new(Code::EngineCannot, text))))
}

/// The engine cannot be reached, or cannot be used as it is.
#[cfg(any(feature = "nats", feature = "postgres", feature = "redis", feature = "remote"))]
pub(super) fn unusable(engine: Engine, error: impl Error + Send + Sync + 'static) -> Failure {
    let name = engine.as_str();
    Failure::because(Code::EngineUnusable, format!("the engine `{name}` cannot be used (section engine.{name})"), error)
}

/// A part that is there at once.
pub(super) fn opened<T: ?Sized + Send + Sync + 'static>(part: Arc<T>) -> Opening<'static, T> {
    Box::pin(ready(Ok(part)))
}
