//! What the clients of one gateway on one worker share.

use std::time::Duration;

use metrics::{Counter, Histogram, counter, histogram};

use crate::{Node, Protocol, metrics as names};

/// Limits of a client session beyond those of every session ([`crate::Options`]). A gateway fills them from its
/// own section of the configuration, which documents them.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Commands a second, in the long run.
    pub commands_per_second: u32,
    /// Commands at once.
    pub commands_burst: u32,
    /// After how long a command is given up.
    pub command_timeout: Duration,
    /// The most events of one history reply.
    pub history_events_max: usize,
    /// The most bytes of events in one history reply.
    pub history_bytes_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            commands_per_second: 50,
            commands_burst: 300,
            command_timeout: Duration::from_secs(30),
            history_events_max: 1000,
            history_bytes_max: 1 << 20,
        }
    }
}

/// What the clients of one gateway on one worker share.
pub struct Host {
    /// The node's handles, of this worker.
    pub node: Node,
    /// Limits.
    pub limits: Limits,
    /// What these clients speak.
    pub protocol: Protocol,
    pub(super) delivered: Counter,
    pub(super) delivery_seconds: Histogram,
}

impl Host {
    /// Puts it together.
    pub fn new(node: Node, limits: Limits, protocol: Protocol) -> Self {
        Self {
            node,
            limits,
            protocol,
            delivered: counter!(names::DELIVERED, "protocol" => protocol.as_str()),
            delivery_seconds: histogram!(names::DELIVERY_SECONDS, "protocol" => protocol.as_str()),
        }
    }
}
