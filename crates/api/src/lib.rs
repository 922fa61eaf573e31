//! The HTTP API that backends call: publish, history, consumers, topics, presence, sessions, tokens, API keys;
//! `docs/protocol/http.md`.
//!
//! Three routers that share no path, so that a listener can serve any of them: [`router`] (the API itself, its
//! `OpenAPI` document and a page to read it), [`health_router`] and [`metrics_router`]. [`with_fallbacks`] gives
//! whatever a listener serves in the end the answers for unknown paths and methods.
//!
//! What this crate is not: it delivers nothing to clients, and it decides nothing: who may do what is
//! `fanfare_auth`'s, what is kept is the log's.
//!
//! Reading order: `operation.rs` (every route in one table), `publish`, `events.rs`, `fault.rs`.

mod body;
mod caller;
mod consumers;
mod disk;
mod events;
mod fault;
mod head;
mod health;
mod keys;
mod listing;
mod nodes;
mod openapi;
mod operation;
mod options;
mod orders;
mod params;
mod presence;
mod publish;
mod pull;
mod reach;
mod sessions;
mod tickets;
mod tokens;
mod topic_list;
mod topics;

pub mod metrics;

use std::sync::Arc;

use axum::Router;
use fanfare_session::Node;

use crate::operation::Operation;

pub use openapi::Document;
pub use options::Options;

/// What every handler works with.
#[derive(Clone)]
pub(crate) struct Api {
    pub(crate) node: Node,
    pub(crate) options: Arc<Options>,
    pub(crate) document: Document,
}

/// The API under `/v1`, `/openapi.json` (which is `document`) and `/docs`. All but the last two need a credential for
/// [`fanfare_auth::Door::Server`].
pub fn router(node: Node, options: Arc<Options>, document: Document) -> Router {
    Operation::router(Operation::API).with_state(Api { node, options, document })
}

/// `/livez` and `/readyz`. They need no credential.
pub fn health_router(node: Node) -> Router {
    Operation::router(Operation::HEALTH).with_state(Api {
        node,
        options: Arc::default(),
        document: Document::default(),
    })
}

/// `/metrics`, with the text that `render` gives, in Prometheus' format. It needs no credential.
pub fn metrics_router(render: Arc<dyn Fn() -> String + Send + Sync>) -> Router {
    health::metrics_router(render)
}

/// Gives `router` problems (RFC 9457) as answers for paths that nobody serves and for methods that a path does
/// not have. For the whole of what a listener serves, after the parts were merged.
pub fn with_fallbacks(router: Router) -> Router {
    router.fallback(fault::no_such_path).method_not_allowed_fallback(fault::no_such_method)
}
