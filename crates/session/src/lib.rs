//! What every client session shares, whatever its protocol, and what a bidirectional one may do.
//!
//! [`Node`] is the set of handles a gateway is made with. [`access`] decides who may do what, with [`quota`] and the
//! application's [`Hooks`]; [`Registry`] knows every session of this node and is the one place that ends them (expiry,
//! revocation, drain, age, an administrator, another that takes their place), reminds them to ping and to renew, and
//! brings them the application's orders, so that no connection owns a timer; [`Everywhere`] reaches those of all nodes.
//! [`From`] reads where a subscription begins. [`client`] is the state machine of a bidirectional session; a [`client::Dialect`] puts
//! it on a wire.
//!
//! What this crate is not: it knows no wire format and owns no socket.

mod connection;
mod everywhere;
mod from;
mod goodbye;
mod hooks;
mod node;
mod options;
mod read_ahead;
mod registry;

pub mod access;
pub mod client;
pub mod metrics;
pub mod problem;
pub mod quota;
pub mod revocations;

pub use connection::Connection;
pub use everywhere::{Everywhere, NotFound, Reached, Wish};
pub use from::From;
pub use goodbye::Goodbye;
pub use hooks::{Allow, Ask, Hook, Hooks, Verdict};
pub use node::Node;
pub use options::Options;
pub use read_ahead::ReadAhead;
pub use registry::{Nudge, Order, Protocol, Query, Registry, Session, SessionInfo, SessionPage, TooMany, Whose};
pub use revocations::Unrevoked;
