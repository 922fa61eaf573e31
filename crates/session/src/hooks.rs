//! The seam to the application where it wants to decide for itself.

use std::net::IpAddr;
use std::sync::Arc;

use fanfare_model::{Draft, SessionId, Tenant, Topic, UserId};
use futures_util::future::BoxFuture;
use serde_json::value::RawValue;

use crate::Protocol;

/// Somebody who is asked before something is done.
pub trait Hooks: Send + Sync {
    /// Whether to ask at all: cheap, and asked before anything is put together. `topic` is there for
    /// [`Hook::Subscribe`] and [`Hook::Publish`].
    fn wants(&self, hook: Hook, topic: Option<&Topic>) -> bool;

    /// Asks. Time-outs, and what is done when there is no answer, are the implementation's. Safe to cancel.
    fn ask(&self, ask: Ask) -> BoxFuture<'static, Verdict>;
}

/// What is asked about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Hook {
    /// Somebody wants to come in.
    Connect,
    /// A session wants to receive a topic.
    Subscribe,
    /// A client wants to publish.
    Publish,
    /// A session wants to go on with new credentials.
    Refresh,
}

impl Hook {
    /// Every hook.
    pub const ALL: [Self; 4] = [Self::Connect, Self::Subscribe, Self::Publish, Self::Refresh];

    /// The word on the wire, in the configuration and in metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Connect => "connect",
            Self::Subscribe => "subscribe",
            Self::Publish => "publish",
            Self::Refresh => "refresh",
        }
    }
}

/// A question.
#[derive(Debug, Clone)]
pub struct Ask {
    /// About what.
    pub hook: Hook,
    /// Whose topics are seen.
    pub tenant: Tenant,
    /// The session's id, if there is one.
    pub session: Option<SessionId>,
    /// The user, if the credential names one.
    pub user: Option<UserId>,
    /// What the client speaks.
    pub protocol: Protocol,
    /// The client's address as the server sees it.
    pub address: Option<IpAddr>,
    /// How the client names itself.
    pub client: Option<Arc<str>>,
    /// The claim `fanfare.info`.
    pub info: Option<Arc<RawValue>>,
    /// For subscribing and publishing.
    pub topic: Option<Topic>,
    /// For publishing.
    pub draft: Option<Draft>,
}

/// An answer.
#[derive(Debug, Clone)]
pub enum Verdict {
    /// Yes.
    Allow(Allow),
    /// No.
    Deny {
        /// Told to the client.
        reason: String,
        /// Whether the session is to end.
        disconnect: bool,
    },
    /// There is no answer, and without one it is not done.
    Unavailable,
}

/// A yes, and what goes with it.
#[derive(Debug, Clone, Default)]
pub struct Allow {
    /// For connecting: topics to subscribe to on the client's behalf.
    pub subscribe: Vec<Topic>,
    /// For publishing: what to publish in place of the client's draft.
    pub draft: Option<Draft>,
}
