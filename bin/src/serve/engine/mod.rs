//! Opening what nodes keep and share: logs, what carries their news, who is where, leases, and the cursors of consumers.

mod backend;
mod fit;
mod kept;
mod local;

#[cfg(feature = "nats")]
mod nats;
#[cfg(test)]
#[cfg(all(feature = "nats", feature = "postgres", feature = "redis", feature = "remote"))]
mod offers;
#[cfg(any(feature = "nats", feature = "postgres", feature = "redis", feature = "remote"))]
mod patience;
#[cfg(feature = "postgres")]
mod postgres;
#[cfg(feature = "redis")]
mod redis;
#[cfg(feature = "remote")]
mod remote;

use std::collections::BTreeMap;
use std::sync::Arc;

#[cfg(not(feature = "remote"))]
use fanfare_bus::Receive;
use fanfare_bus::composed::announcer;
use fanfare_bus::{Broker, Composed, Hub, Policies};
use fanfare_cluster::{Leases, NodeInfo};
use fanfare_consumer::Cursors;
use fanfare_lifecycle::Lifecycle;
use fanfare_model::Clock;
use fanfare_presence::Presence;

use crate::config::{Config, Engine, Parts};
use crate::failure::{Code, Failure};
use backend::Backend;
use local::Local;

pub(crate) use kept::{Kept, Restoring};

/// What this node works with, whichever engines it comes from.
pub(super) struct Engines {
    pub hub: Arc<Hub>,
    pub broker: Arc<dyn Broker>,
    pub presence: Arc<dyn Presence>,
    pub leases: Arc<dyn Leases>,
    pub cursors: Arc<dyn Cursors>,
    /// What is lent to other nodes, if a listener serves it.
    #[cfg(feature = "remote")]
    pub lent: Option<fanfare_engine_remote::hub::Hub>,
}

impl Engines {
    /// Connects to the configured engines, sees that they can do what the policies ask, and opens everything. Starts tasks
    /// of `life`. May take seconds: after a crash, or when an engine is not there yet.
    pub(super) async fn open(config: &Config, clock: &Arc<dyn Clock>, life: &Lifecycle) -> Result<Self, Failure> {
        let backends = Backends::connect(config, clock, life).await?;
        let (parts, policies) = (backends.parts, backends.policies(config)?);
        let hub = Hub::new(config.hub.clone(), Arc::clone(&policies), config.worker_count());
        #[cfg(feature = "remote")]
        let lending = remote::Lending::of(config, life, &hub);
        #[cfg(feature = "remote")]
        let receive = lending.receive();
        #[cfg(not(feature = "remote"))]
        let receive: Arc<dyn Receive> = Arc::clone(&hub) as _;
        let broker = match parts.fanout {
            None => backends.of(parts.log)?.broker(policies, receive).await?,
            Some(fanout) => {
                let fanout = backends.of(fanout)?.fanout(Arc::clone(&policies), receive).await?;
                let log = backends.of(parts.log)?.log(Arc::clone(&policies), announcer(&fanout)).await?;
                Arc::new(Composed::new(log, fanout, policies))
            }
        };
        let presence = backends.of(parts.presence)?.presence().await?;
        let leases = backends.of(parts.leases)?.leases().await?;
        let cursors = backends.of(parts.cursors)?.cursors().await?;
        Ok(Self {
            #[cfg(feature = "remote")]
            lent: lending.lend(&broker, &presence, &leases, &cursors)?,
            hub,
            broker,
            presence,
            leases,
            cursors,
        })
    }
}

/// A connection to each engine that does something.
struct Backends {
    parts: Parts,
    connected: BTreeMap<Engine, Box<dyn Backend>>,
}

impl Backends {
    #[cfg_attr(
        not(any(feature = "nats", feature = "postgres", feature = "redis", feature = "remote")),
        expect(unused_variables, reason = "engines within the process start no tasks")
    )]
    async fn connect(config: &Config, clock: &Arc<dyn Clock>, life: &Lifecycle) -> Result<Self, Failure> {
        let parts = config.engine.parts().ok_or_else(|| {
            Failure::new(Code::ConfigWrong, "engine.composed does not say which log and which fan-out")
        })?;
        let mut connected: BTreeMap<Engine, Box<dyn Backend>> = BTreeMap::new();
        for engine in parts.all() {
            if connected.contains_key(&engine) {
                continue;
            }
            let backend: Box<dyn Backend> = match engine {
                Engine::Memory | Engine::Embedded => Box::new(Local::new(engine, config, clock)),
                #[cfg(feature = "redis")]
                Engine::Redis => redis::connect(config, clock, life).await?,
                #[cfg(feature = "nats")]
                Engine::Nats => nats::connect(config, clock, life).await?,
                #[cfg(feature = "postgres")]
                Engine::Postgres => postgres::connect(config, clock, life).await?,
                #[cfg(feature = "remote")]
                Engine::Remote => remote::connect(config, life).await?,
                #[cfg(not(all(feature = "redis", feature = "nats", feature = "postgres", feature = "remote")))]
                absent => {
                    let name = absent.as_str();
                    let text = format!("this build has no engine `{name}`; use one with the feature `{name}`");
                    return Err(Failure::new(Code::EngineUnusable, text));
                }
            };
            connected.insert(engine, backend);
        }
        Ok(Self { parts, connected })
    }

    /// The policies of the configuration, as far as the log can keep them.
    fn policies(&self, config: &Config) -> Result<Arc<Policies>, Failure> {
        let capabilities = self.of(self.parts.log)?.capabilities();
        Ok(Arc::new(fit::policies(&config.topics, capabilities)?))
    }

    /// One that was connected to.
    fn of(&self, engine: Engine) -> Result<&dyn Backend, Failure> {
        let backend = self.connected.get(&engine).map(|backend| &**backend);
        backend
            .ok_or_else(|| Failure::new(Code::EngineUnusable, format!("the engine `{}` is not there", engine.as_str())))
    }
}

/// Tells the recorder what the metrics of engines mean.
pub(super) fn describe_metrics() {
    #[cfg(feature = "redis")]
    fanfare_engine_redis::metrics::describe();
    #[cfg(feature = "nats")]
    fanfare_engine_nats::metrics::describe();
    #[cfg(feature = "postgres")]
    fanfare_engine_postgres::metrics::describe();
    #[cfg(feature = "remote")]
    fanfare_engine_remote::metrics::describe();
}

/// What other nodes know of this one.
pub(super) fn this_node(config: &Config, clock: &dyn Clock) -> Result<NodeInfo, Failure> {
    let roles = config.roles.iter().map(|role| role.as_str().to_owned()).collect();
    let machine = || rustix::system::uname().nodename().to_string_lossy().into_owned();
    let name = config.cluster.name.clone().unwrap_or_else(machine);
    NodeInfo::new(name, roles, clock.now(), env!("CARGO_PKG_VERSION"))
        .map_err(|error| Failure::because(Code::ConfigWrong, "this node cannot have its name (cluster.name)", error))
}

/// How presence works: what it must tell after a crash is kept beside the log, if that is kept.
pub(super) fn presence(config: &Config) -> fanfare_presence::Options {
    let mut options = config.presence.clone();
    if config.engine.is_embedded() {
        options.path.get_or_insert_with(|| config.engine.path.join("presence"));
    }
    options
}
