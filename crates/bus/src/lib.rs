//! The bus: publish to topics, and read them live from any position.
//!
//! **A subscription is a cursor over a log; live push is only the fast path of reading it.** A [`Reader`] (one
//! per session) holds a few bytes per subscription. A publish goes through the [`Broker`] to the log, comes
//! back to the [`Hub`], lands in the ring of its topic's tail, and each worker walks its readers of that topic. A
//! reader takes events from the ring, or, when it is further behind than the ring reaches, from history: in place, if
//! its connection is one that can write at once ([`Serve`]), or in its own task, which is woken.
//!
//! What this crate is not: it knows no wire format (an [`Entry`] only keeps encoded forms for those who do)
//! and checks no permissions.
//!
//! Reading order: [`Bus`], [`Reader`], `tail.rs`, `hub.rs`, `walk.rs`, [`Broker`].

mod apart;
mod broker;
mod bus;
mod entry;
mod error;
mod fanout;
mod hub;
mod local;
mod policy;
mod presence;
mod reader;
mod reads;
mod repair;
mod replay;
mod resolve;
mod rules;
mod tail;
mod walk;
mod worker;

pub mod composed;
#[cfg(feature = "contract")]
pub mod contract;
pub mod metrics;
mod news;

pub use broker::{Broker, Receive};
pub use bus::{Bus, Refused};
pub use composed::Composed;
pub use entry::{Entry, Form};
pub use error::Error;
pub use fanfare_history::{
    Admin, Append, Appended, Direction, Durability, Head, Page, Read, ReadFrom, TopicPage, TopicsQuery,
};
pub use fanout::Fanout;
pub use hub::{Hub, HubOptions};
pub use local::LocalBroker;
pub use news::Serve;
pub use policy::{History, OnSlow, Policies, Policy, PolicyOptions};
pub use presence::{Enter, Happening, Per, PresenceOptions, PresencePolicy};
pub use reader::{Budget, Delivery, Ended, Reader, State, Subscribe, Subscribed, SubscriptionId};
pub use rules::{Content, DataSchema, DeadLetter, PayloadRules};
