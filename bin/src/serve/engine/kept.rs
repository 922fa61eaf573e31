//! What an engine keeps, for whoever moves it while no node runs.

use std::sync::Arc;

use fanfare_bus::{Broker, Policies, Receive};
use fanfare_consumer::Cursors;
use fanfare_history::{Announce, Reset, Stretch};
use fanfare_lifecycle::Lifecycle;
use fanfare_model::{Clock, Event, Position, TopicKey};

use super::Backends;
use super::backend::TakeOver;
use crate::config::{Config, Engine};
use crate::failure::{Code, Failure};

/// An engine that is read, or published to.
pub(crate) struct Kept {
    pub(crate) broker: Arc<dyn Broker>,
    pub(crate) cursors: Arc<dyn Cursors>,
    pub(crate) policies: Arc<Policies>,
    engine: Engine,
}

/// An engine that takes over what another one kept.
pub(crate) struct Restoring {
    pub(crate) policies: Arc<Policies>,
    to: Arc<dyn TakeOver>,
}

impl Kept {
    /// Opens the engine of `config` as a node does that nobody talks to.
    pub(crate) async fn open(config: &Config, clock: &Arc<dyn Clock>, life: &Lifecycle) -> Result<Self, Failure> {
        let backends = Backends::connect(config, clock, life).await?;
        let (parts, policies) = (backends.parts, backends.policies(config)?);
        Ok(Self {
            broker: backends.of(parts.log)?.broker(Arc::clone(&policies), Arc::new(Deaf)).await?,
            cursors: backends.of(parts.cursors)?.cursors().await?,
            policies,
            engine: parts.log,
        })
    }

    /// Opens what writes to the engine of `config` what another one kept. [`Code::EngineCannot`]: it cannot.
    pub(crate) async fn restore(
        config: &Config,
        clock: &Arc<dyn Clock>,
        life: &Lifecycle,
    ) -> Result<Restoring, Failure> {
        let backends = Backends::connect(config, clock, life).await?;
        let policies = backends.policies(config)?;
        Ok(Restoring { to: backends.of(backends.parts.log)?.restore(Arc::clone(&policies)).await?, policies })
    }

    pub(crate) async fn close(&self) -> Result<(), Failure> {
        self.broker.close().await.map_err(|error| self.failed("close", error))?;
        let closed = self.cursors.close().await;
        closed.map_err(|error| Failure::because(Code::MoveFailed, "the cursors of consumers cannot be closed", error))
    }

    /// Something could not be done with this engine.
    pub(crate) fn failed(&self, doing: &str, error: fanfare_history::Error) -> Failure {
        Failure::because(Code::MoveFailed, format!("cannot {doing} the engine `{}`", self.engine.as_str()), error)
    }
}

impl Restoring {
    /// Writes the next events of a topic.
    pub(crate) async fn restore(&self, stretch: Stretch) -> Result<(), Failure> {
        let TopicKey { tenant, topic } = stretch.topic.clone();
        self.to.restore(stretch).await.map_err(|error| {
            Failure::because(
                Code::MoveFailed,
                format!("the topic `{topic}` of the tenant `{tenant}` cannot be written"),
                error,
            )
        })
    }

    /// Stores everything.
    pub(crate) async fn finish(self) -> Result<(), Failure> {
        self.to
            .finish()
            .await
            .map_err(|error| Failure::because(Code::MoveFailed, "the new engine cannot be closed", error))
    }
}

/// Nobody listens.
pub(super) struct Deaf;

impl Announce for Deaf {
    fn stored(&self, _: &[Arc<Event>]) {}

    fn reset(&self, _: &Reset) {}
}

impl Receive for Deaf {
    fn heard(&self, _: &TopicKey, _: Position) {}

    fn lost(&self) {}
}
