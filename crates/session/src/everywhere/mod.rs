//! The sessions of all nodes: listing and counting them, and what the application wants of them.
//!
//! This node looks at its own and asks the other nodes of the cluster about theirs. One that does not answer is not waited
//! for longer than `cluster.patience`; whoever asked is told how many did not.

mod merge;
mod newcomers;

use fanfare_cluster::{NodeId, NodeInfo};
use fanfare_model::{Kind, Tenant, Topic};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

pub(crate) use newcomers::Newcomer;

use crate::{From, Node, Query, Registry, SessionPage, Whose};

/// What is asked of other nodes, by its kind.
const WISH: &str = "sessions/wish";
const LIST: &str = "sessions/list";
const COUNT: &str = "sessions/count";

/// Something that the application wants of sessions.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Wish {
    /// They are to end.
    Disconnect(Whose),
    /// They are to receive topics, on the application's authority.
    Subscribe {
        /// Which sessions.
        whose: Whose,
        /// Which topics, and where each begins.
        topics: Vec<(Topic, From)>,
    },
    /// They are to receive topics no more.
    Unsubscribe {
        /// Which sessions.
        whose: Whose,
        /// Which topics.
        topics: Vec<Topic>,
    },
}

impl Wish {
    /// The word for it in logs.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Disconnect(_) => "disconnect",
            Self::Subscribe { .. } => "subscribe",
            Self::Unsubscribe { .. } => "unsubscribe",
        }
    }

    /// The sessions that are meant.
    pub fn whose(&self) -> &Whose {
        match self {
            Self::Disconnect(whose) | Self::Subscribe { whose, .. } | Self::Unsubscribe { whose, .. } => whose,
        }
    }
}

/// What was found, or done, on the nodes of the cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reached<T> {
    /// All of it.
    pub what: T,
    /// On how many nodes, this one included.
    pub nodes: usize,
    /// How many more nodes are alive and have not answered in time.
    pub silent: usize,
}

impl<T> Reached<T> {
    /// Whether this node is the whole cluster.
    pub fn is_alone(&self) -> bool {
        self.nodes + self.silent == 1
    }
}

/// A session is on none of the nodes that were reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NotFound {
    /// It is nowhere.
    #[error("there is no such session")]
    Nowhere,
    /// It may be on one of the nodes that did not answer.
    #[error("there is no such session on the nodes that have answered; some have not, so try again")]
    Silent,
}

impl NotFound {
    /// What the caller can do.
    pub fn kind(self) -> Kind {
        match self {
            Self::Nowhere => Kind::NotFound,
            Self::Silent => Kind::Unavailable,
        }
    }
}

impl Reached<usize> {
    /// Refuses to have told nobody, if one session was meant.
    pub fn found(self, whose: &Whose) -> Result<Self, NotFound> {
        match (whose, self.what, self.silent) {
            (Whose::Session(..), 0, 0) => Err(NotFound::Nowhere),
            (Whose::Session(..), 0, _) => Err(NotFound::Silent),
            _ => Ok(self),
        }
    }
}

/// The sessions of all nodes, as one of them reaches them.
pub struct Everywhere<'a>(&'a Node);

impl Node {
    /// The sessions of all nodes of the cluster.
    pub fn everywhere(&self) -> Everywhere<'_> {
        Everywhere(self)
    }

    /// Answers the other nodes about this one's sessions, and tells them of those that take another's place. Whether it
    /// has begun now; again, nothing.
    pub(crate) fn answer_others(&self) -> bool {
        if !newcomers::start(&self.sessions, &self.cluster, &self.life) {
            return false;
        }
        let sessions = self.sessions.clone();
        self.cluster.on(WISH, move |wish: Wish| std::future::ready(sessions.carry_out(&wish)));
        let sessions = self.sessions.clone();
        self.cluster.on(LIST, move |query: Query| std::future::ready(merge::fitting(sessions.list(&query))));
        let sessions = self.sessions.clone();
        self.cluster.on(COUNT, move |tenant: Tenant| std::future::ready(sessions.count(&tenant)));
        true
    }
}

impl Everywhere<'_> {
    /// A page of sessions, by id, each with its node.
    pub async fn list(&self, query: &Query) -> Reached<SessionPage<(NodeId, crate::SessionInfo)>> {
        let Reached { what: others, nodes, silent } = self.ask::<_, SessionPage>(LIST, query).await;
        let own = (self.0.cluster.id().clone(), self.0.sessions.list(query));
        Reached { what: merge::merge([own].into_iter().chain(others), query.limit), nodes, silent }
    }

    /// Does what the application wants; says how many sessions were told. A session is told once, whatever the number
    /// of topics.
    pub async fn carry_out(&self, wish: &Wish) -> Reached<usize> {
        let own = self.0.sessions.carry_out(wish);
        let Reached { what: others, nodes, silent } = self.ask::<_, usize>(WISH, wish).await;
        Reached { what: own + others.into_iter().map(|(_, told)| told).sum::<usize>(), nodes, silent }
    }

    /// The nodes that are alive, and how many sessions of a tenant each has; not of those that do not answer.
    pub async fn nodes(&self, tenant: &Tenant) -> Vec<(NodeInfo, Option<usize>)> {
        let others = self.ask::<_, usize>(COUNT, tenant).await.what;
        let (own, of_own) = (self.0.cluster.id(), self.0.sessions.count(tenant));
        let nodes = self.0.cluster.nodes().borrow().clone();
        let sessions = |id: &NodeId| {
            let of_other = others.iter().find(|(node, _)| node == id).map(|(_, count)| *count);
            if id == own { Some(of_own) } else { of_other }
        };
        nodes.iter().map(|node| (node.clone(), sessions(&node.id))).collect()
    }

    async fn ask<Q: Serialize, A: DeserializeOwned>(&self, kind: &'static str, of: &Q) -> Reached<Vec<(NodeId, A)>> {
        let cluster = &self.0.cluster;
        let answers = cluster.ask_others(kind, of, cluster.options().patience.get()).await;
        Reached { nodes: answers.answers.len() + 1, silent: answers.silent.len(), what: answers.answers }
    }
}

impl Registry {
    /// How many sessions of a tenant there are on this node.
    pub fn count(&self, tenant: &Tenant) -> usize {
        self.list(&Query { tenant: tenant.clone(), user: None, after: None, limit: 0 }).total
    }

    /// Does what the application wants of the sessions of this node; says how many were told.
    pub fn carry_out(&self, wish: &Wish) -> usize {
        let told = match wish {
            Wish::Disconnect(Whose::Session(tenant, id)) => Some(usize::from(self.disconnect(tenant, id))),
            Wish::Disconnect(Whose::User(tenant, user)) => Some(self.disconnect_user(tenant, user)),
            Wish::Subscribe { whose, topics } => {
                topics.iter().map(|(topic, from)| self.subscribe(whose, topic, from)).max()
            }
            Wish::Unsubscribe { whose, topics } => topics.iter().map(|topic| self.unsubscribe(whose, topic)).max(),
        };
        told.unwrap_or_default()
    }
}
