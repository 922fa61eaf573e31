//! The engine: connected servers, and what is built on them.

use std::sync::Arc;

use fanfare_bus::{Broker, Fanout, Policies, Receive};
use fanfare_cluster::Leases;
use fanfare_consumer::Cursors;
use fanfare_history::{Announce, Capabilities, Durability, Log};
use fanfare_lifecycle::{Lifecycle, TaskKind};
use fanfare_model::Clock;
use fanfare_presence::Presence;

use crate::answers;
use crate::broker::{RedisBroker, RedisLog};
use crate::cursors::RedisCursors;
use crate::durability;
use crate::ears::Ears;
use crate::error::{Error, Failure};
use crate::fanout::RedisFanout;
use crate::keys::{PARTITIONS, Partition};
use crate::leases::RedisLeases;
use crate::metrics::Operation;
use crate::options::{Mode, Options};
use crate::presence::RedisPresence;
use crate::servers::{Identity, Servers};
use crate::store::{self, Store, Voice};

/// The layout of what is stored; another one is not read.
const LAYOUT: &str = "1";

/// Redis or Valkey, connected.
pub struct Engine {
    servers: Arc<Servers>,
    options: Options,
    clock: Arc<dyn Clock>,
    life: Lifecycle,
    /// Whether a Cluster carries announcements within a shard (7.0 and later).
    sharded: bool,
    durability: Option<Durability>,
}

impl Engine {
    /// Connects, and checks that the servers are fit: 6.2 or later, no eviction of what is kept, a layout that this
    /// program knows, and the same settings as the other nodes of this prefix.
    pub async fn connect(options: &Options, clock: Arc<dyn Clock>, life: &Lifecycle) -> Result<Arc<Self>, Error> {
        let servers = Servers::connect(options).await?;
        let mut sharded = options.mode == Mode::Cluster;
        let mut durability = Some(Durability::Committed);
        let addresses = servers.map().borrow().addresses();
        for address in addresses {
            let link = servers.link(&address).await.map_err(|error| Error::Unreachable(Box::new(error)))?;
            check(&link.identity, options)?;
            sharded &= link.identity.version >= (7, 0);
            durability = durability.zip(durability::of(&link).await).map(|(least, given)| least.min(given));
        }
        agree(&servers, options).await?;
        let (watched, every, stop) = (Arc::clone(&servers), options.map_interval.get(), life.hard().clone());
        life.spawn(TaskKind::Background, "watch redis primaries", async move {
            tokio::select! {
                () = watched.watch(every) => {}
                () = stop.cancelled() => {}
            }
        });
        Ok(Arc::new(Self { servers, options: options.clone(), clock, life: life.clone(), sharded, durability }))
    }

    /// What the engine can do.
    pub fn capabilities(&self) -> Capabilities {
        store::capabilities(&self.options)
    }

    /// What the servers have done with an event when they acknowledge it, by their own word at the start; `None` if one does
    /// not say.
    pub fn durability(&self) -> Option<Durability> {
        self.durability
    }

    fn tell_shortfall(&self, policies: &Policies) {
        if let Some(shortfall) = durability::shortfall(policies, self.durability) {
            tracing::warn!("{shortfall}");
        }
    }

    /// The broker: appends and announces in one step.
    pub fn broker(&self, policies: Arc<Policies>, receive: Arc<dyn Receive>) -> Arc<dyn Broker> {
        self.tell_shortfall(&policies);
        Arc::new(RedisBroker { store: self.announcing_store(policies), ears: self.ears(receive) })
    }

    /// The carrier alone, for a log that is elsewhere.
    pub fn fanout(&self, policies: Arc<Policies>, receive: Arc<dyn Receive>) -> Arc<dyn Fanout> {
        let (store, ears) = (self.announcing_store(policies), self.ears(receive));
        Arc::new(RedisFanout::start(store, ears, &self.options, &self.life))
    }

    fn announcing_store(&self, policies: Arc<Policies>) -> Arc<Store> {
        self.store(policies, Voice::Channel(if self.sharded { "SPUBLISH" } else { "PUBLISH" }))
    }

    fn ears(&self, receive: Arc<dyn Receive>) -> Ears {
        Ears::start(Arc::clone(&self.servers), self.options.clone(), self.sharded, receive, &self.life)
    }

    /// The log alone: who appends tells `announce`, and something else carries events between nodes.
    pub fn log(&self, policies: Arc<Policies>, announce: Arc<dyn Announce>) -> Arc<dyn Log> {
        self.target(policies, announce)
    }

    /// The same log as what it is: one that can take over the logs of another engine ([`fanfare_history::Restore`]).
    pub fn target(&self, policies: Arc<Policies>, announce: Arc<dyn Announce>) -> Arc<RedisLog> {
        self.tell_shortfall(&policies);
        Arc::new(RedisLog { store: self.store(policies, Voice::Local(announce)) })
    }

    /// Leases by the servers' clocks.
    pub fn leases(&self) -> Arc<dyn Leases> {
        Arc::new(RedisLeases { servers: Arc::clone(&self.servers) })
    }

    /// Where the progress of consumers is kept.
    pub fn cursors(&self, options: &fanfare_consumer::Options) -> Arc<dyn Cursors> {
        Arc::new(RedisCursors::new(Arc::clone(&self.servers), options.consumers_max))
    }

    /// Who is where.
    pub fn presence(&self) -> Arc<dyn Presence> {
        Arc::new(RedisPresence::new(Arc::clone(&self.servers), &self.life))
    }

    fn store(&self, policies: Arc<Policies>, voice: Voice) -> Arc<Store> {
        let (servers, clock) = (Arc::clone(&self.servers), Arc::clone(&self.clock));
        Store::new(servers, self.options.clone(), policies, voice, clock, self.life.clone())
    }
}

fn check(identity: &Identity, options: &Options) -> Result<(), Error> {
    if identity.version < (6, 2) {
        let (major, minor) = identity.version;
        return Err(Error::Unfit(format!(
            "the server speaks as Redis {major}.{minor}; 6.2 or later is needed: upgrade it"
        )));
    }
    if identity.cluster != (options.mode == Mode::Cluster) {
        let (is, mode) = if identity.cluster { ("", "cluster") } else { ("not ", "standalone") };
        return Err(Error::Unfit(format!("the server is {is}a node of a Cluster: set engine.redis.mode = \"{mode}\"")));
    }
    if let Some(policy) = &identity.evicts {
        return Err(Error::Unfit(format!(
            "the server evicts keys when its memory is full (maxmemory-policy {policy}), and with them events that were acknowledged: set maxmemory-policy noeviction"
        )));
    }
    Ok(())
}

/// Makes sure that all nodes of this prefix mean the same by what they store and announce.
async fn agree(servers: &Servers, options: &Options) -> Result<(), Error> {
    // The first node writes, all others compare.
    let settings = [("layout", LAYOUT.to_owned()), ("partitions", PARTITIONS.to_string())];
    let interest = ("interest", options.interest.as_str().to_owned());
    let slot = Partition::all().next().unwrap_or(Partition(0));
    for (name, value) in settings.iter().chain([&interest]) {
        let key = servers.keys.key(slot, "meta", name.as_bytes());
        let make = |_: &_| {
            let mut put = redis::cmd("SET");
            put.arg(&key).arg(value).arg("NX");
            let mut get = redis::cmd("GET");
            get.arg(&key);
            vec![put, get]
        };
        let answers = servers.call(Operation::Admin, slot, true, make).await.map_err(|failure| match failure {
            Failure::Refused(why) => Error::Unfit(format!("the server refused to write: {why}")),
            other => Error::Unreachable(Box::new(other)),
        })?;
        let found = answers.get(1).and_then(answers::text).unwrap_or_default();
        if found != value {
            return Err(Error::Unfit(format!(
                "the other nodes at `engine.redis.prefix` {} have {name} = {found}, this one {value}: make them the same, or use another prefix",
                options.prefix
            )));
        }
    }
    Ok(())
}
