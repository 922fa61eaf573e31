//! What the server that took a connection tells the gateways about it.

use std::any::Any;
use std::sync::Arc;

/// The connection that a request came over, found among the request's extensions.
#[derive(Clone)]
pub struct Connection {
    /// Its place among the connections this node may have. Whoever keeps the socket after an upgrade keeps a
    /// clone of this; the place is free again when the last one is dropped.
    pub place: Arc<dyn Any + Send + Sync>,
}
