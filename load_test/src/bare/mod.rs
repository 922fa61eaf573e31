//! What the machine allows: servers that do one thing and nothing else.

pub(crate) mod commit;
pub(crate) mod nats;
pub(crate) mod server;
