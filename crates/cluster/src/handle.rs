//! What the rest of Fanfare holds.

use std::sync::Arc;
use std::time::Duration;

use fanfare_bus::Bus;
use fanfare_lifecycle::Lifecycle;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::sync::watch;

use crate::error::Error;
use crate::keeper::Keeper;
use crate::lease::Leases;
use crate::node::{NodeId, NodeInfo};
use crate::options::Options;
use crate::ownership::Ownership;
use crate::talk::{Answers, Talk};

/// A node's part in its cluster. Cheap to clone; clones are the same node.
#[derive(Clone)]
pub struct Handle {
    keeper: Arc<Keeper>,
    leases: Arc<dyn Leases>,
    talk: Arc<Talk>,
}

impl Handle {
    /// The node `node` of the cluster whose nodes share `leases` and `bus`. With [`MemoryLeases`](crate::MemoryLeases) of
    /// its own it is the whole cluster.
    pub fn new(leases: Arc<dyn Leases>, bus: Bus, node: NodeInfo, options: Options) -> Self {
        let keeper = Arc::new(Keeper::new(Arc::clone(&leases), node, options));
        let talk = Arc::new(Talk::new(Arc::clone(&keeper), bus));
        Self { keeper, leases, talk }
    }

    /// Joins the cluster: says that this node is alive, owns its share, and answers the others, until the hard stop; then
    /// all is given back. From the soft stop on it hands over what it owns, if there is somebody to have it. Call once, on
    /// a runtime that lasts until the hard stop.
    pub fn start(&self, life: &Lifecycle) {
        self.talk.start(life);
        self.keeper.start(life);
    }

    /// Waits until this node has joined, once it was started: the others can see and reach it, and it them. A session that
    /// comes earlier could take the place of one that it cannot tell of.
    pub async fn joined(&self) {
        self.keeper.joined.wait().await;
        self.talk.listening.wait().await;
    }

    /// This node.
    pub fn node(&self) -> &NodeInfo {
        &self.keeper.node
    }

    /// The id of this node.
    pub fn id(&self) -> &NodeId {
        &self.keeper.node.id
    }

    /// The limits it was made with.
    pub fn options(&self) -> &Options {
        &self.keeper.options
    }

    /// The store of leases, for what is to happen once in the whole cluster.
    pub fn leases(&self) -> &Arc<dyn Leases> {
        &self.leases
    }

    /// The nodes that are alive, this one included, by name: those of the last look (at most a heartbeat ago), and those of
    /// each later one that differs.
    pub fn nodes(&self) -> watch::Receiver<Arc<Vec<NodeInfo>>> {
        self.keeper.nodes()
    }

    /// Looks which nodes are alive now. One that died is among them until its lease ends.
    pub async fn look(&self) -> Result<Arc<Vec<NodeInfo>>, Error> {
        self.keeper.look().await
    }

    /// Takes part in `space`, whose shards are shared by the nodes that do; also before [`Handle::start`]. `space` is a
    /// word of `[A-Za-z0-9_-]` and has the same number of shards on every node.
    pub fn ownership(&self, space: &'static str, shards: u16) -> Ownership {
        self.keeper.take_part(space, shards)
    }

    /// Has other nodes' questions of this kind answered by `handler` from now on, and what they tell under it heard. A
    /// handler waits for no other node.
    pub fn on<Q, A, F, Fut>(&self, kind: &'static str, handler: F)
    where
        Q: DeserializeOwned,
        A: Serialize,
        F: Fn(Q) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = A> + Send + 'static,
    {
        self.talk.on(kind, handler);
    }

    /// Asks every other node that is alive, and waits until all have answered, or until `patience` is over. Nodes without a
    /// handler for this kind have nothing to say and are not missed. A node by itself asks nobody. Dropping the future
    /// does not undo what was asked.
    pub async fn ask_others<Q: Serialize, A: DeserializeOwned>(
        &self,
        kind: &'static str,
        question: &Q,
        patience: Duration,
    ) -> Answers<A> {
        self.talk.ask_others(kind, question, patience).await
    }

    /// Tells the other nodes something that they may miss. It is sent, not heard, when this returns.
    pub async fn tell_others<Q: Serialize>(&self, kind: &'static str, what: &Q) {
        self.talk.tell_others(kind, what).await;
    }
}
