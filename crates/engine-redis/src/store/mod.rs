//! The logs at the servers: places are given there, by one script for each publish.

mod append;
mod change;
mod heads;
mod read;
mod restore;
mod topics;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use fanfare_bus::Policies;
use fanfare_history::{Announce, Capabilities, Durability, Error, Failover, Retention, TimeOf, Window};
use fanfare_lifecycle::Lifecycle;
use fanfare_model::{Clock, EventId, TopicKey};

use self::append::Lanes;
use crate::error::Failure;
use crate::keys::{Partition, flat};
use crate::options::{Interest, Options};
use crate::servers::Servers;

/// How readers hear of what was stored.
pub(crate) enum Voice {
    /// Within the script, on a channel, by this command.
    Channel(&'static str),
    /// In this process, by whoever appended.
    Local(Arc<dyn Announce>),
}

/// The logs of all topics, and the order of those that keep nothing.
pub(crate) struct Store {
    pub(crate) servers: Arc<Servers>,
    pub(crate) policies: Arc<Policies>,
    pub(crate) voice: Voice,
    clock: Arc<dyn Clock>,
    life: Lifecycle,
    options: Options,
    capabilities: Capabilities,
    lanes: Lanes,
    waiting: AtomicUsize,
    closed: AtomicBool,
}

/// What this engine can do.
pub(crate) fn capabilities(options: &Options) -> Capabilities {
    Capabilities {
        name: "redis",
        // What an acknowledgement is worth is set at the server (appendonly, appendfsync) and by `replicas`.
        durability_max: Durability::Committed,
        survives_restart: true,
        failover: Failover::Tail,
        event_bytes_max: options.event_bytes_max.as_usize(),
        // An offset leaps where the server begins another life.
        dense: false,
        retention: Retention::PerAppend,
        bounds_bytes: true,
        truncates: true,
        window: Window::PerAppend,
        time: TimeOf::Node,
    }
}

/// Where the parts of a topic are.
pub(crate) struct Names {
    pub(crate) partition: Partition,
    pub(crate) flat: Vec<u8>,
    pub(crate) head: Vec<u8>,
    pub(crate) log: Vec<u8>,
}

impl Store {
    pub(crate) fn new(
        servers: Arc<Servers>,
        options: Options,
        policies: Arc<Policies>,
        voice: Voice,
        clock: Arc<dyn Clock>,
        life: Lifecycle,
    ) -> Arc<Self> {
        Arc::new(Self {
            capabilities: capabilities(&options),
            servers,
            policies,
            voice,
            clock,
            life,
            options,
            lanes: Lanes::default(),
            waiting: AtomicUsize::new(0),
            closed: AtomicBool::new(false),
        })
    }

    pub(crate) fn capabilities(&self) -> Capabilities {
        self.capabilities
    }

    fn check_open(&self) -> Result<(), Error> {
        if self.closed.load(Ordering::SeqCst) { Err(Error::Closed) } else { Ok(()) }
    }

    /// Whether a topic keeps nothing.
    fn passing(&self, topic: &TopicKey) -> bool {
        !self.policies.of(&topic.topic).history
    }

    /// For how long the head of a topic that keeps nothing is remembered, in milliseconds; of others it is for ever.
    fn lifetime(&self, passing: bool) -> String {
        if passing { self.options.passing_memory.get().as_millis().to_string() } else { String::new() }
    }

    fn names(&self, topic: &TopicKey, passing: bool) -> Names {
        let flat = flat(topic);
        let partition = Partition::of(&flat);
        let head = self.servers.keys.key(partition, if passing { "p" } else { "h" }, &flat);
        let log = self.servers.keys.key(partition, "l", &flat);
        Names { partition, flat, head, log }
    }

    /// Where it is remembered that an event id was stored.
    fn id(&self, names: &Names, id: &EventId) -> Vec<u8> {
        let mut name = names.flat.clone();
        name.push(0);
        name.extend_from_slice(id.as_str().as_bytes());
        self.servers.keys.key(names.partition, "i", &name)
    }

    fn born(&self, partition: Partition) -> Vec<u8> {
        self.servers.keys.key(partition, "born", b"")
    }

    fn due(&self, partition: Partition) -> Vec<u8> {
        self.servers.keys.key(partition, "due", b"")
    }

    fn floor(&self, partition: Partition) -> Vec<u8> {
        self.servers.keys.key(partition, "floor", b"")
    }

    /// The command to announce with, empty for none, and the channel.
    fn announcing(&self, names: &Names) -> (&'static str, Vec<u8>) {
        match self.voice {
            Voice::Local(_) => ("", Vec::new()),
            Voice::Channel(command) => (command, self.channel(names.partition, &names.flat)),
        }
    }

    pub(crate) fn channel(&self, partition: Partition, flat: &[u8]) -> Vec<u8> {
        channel(&self.servers, self.options.interest, partition, flat)
    }

    /// Refuses more, and waits until what was accepted is answered.
    pub(crate) async fn close(&self) -> Result<(), Error> {
        self.closed.store(true, Ordering::SeqCst);
        match tokio::time::timeout(self.servers.timeout() * 2, self.lanes.empty()).await {
            Ok(()) => Ok(()),
            Err(_) => Err(Failure::Unavailable("what waited could not be stored".to_owned()).of_log()),
        }
    }
}

/// Where the events of a topic are announced.
pub(crate) fn channel(servers: &Servers, interest: Interest, partition: Partition, flat: &[u8]) -> Vec<u8> {
    match interest {
        Interest::Topic => servers.keys.key(partition, "c", flat),
        Interest::Partition => servers.keys.key(partition, "c", b""),
    }
}

/// A number for the servers to make epochs of.
fn random() -> u32 {
    fanfare_model::Epoch::generate().as_u32()
}
