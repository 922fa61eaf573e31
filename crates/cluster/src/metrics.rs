//! What the cluster counts.

use metrics::{Counter, Gauge, counter, describe_counter, describe_gauge, gauge};

/// Nodes that this one takes to be alive, itself included.
pub const NODES: &str = "fanfare_cluster_nodes";
/// Shards that this node owns, by space.
pub const SHARDS: &str = "fanfare_cluster_shards";
/// Shards that came to this node or went from it, by what happened: `acquired`, `released` (another node should own it),
/// `lost` (its lease was not renewed in time).
pub const MOVES: &str = "fanfare_cluster_shard_moves_total";
/// Calls of the store of leases that failed. Each is tried again.
pub const LEASE_FAILED: &str = "fanfare_cluster_lease_failed_total";
/// Questions to all other nodes, by outcome: `complete`, `partial` (not all answered in time).
pub const ASKED: &str = "fanfare_cluster_asked_total";
/// Questions of other nodes and what they tell, by outcome: `answered`, `refused` (too many at once), `failed`.
pub const ANSWERED: &str = "fanfare_cluster_answered_total";
/// What could not be sent to other nodes: questions, answers, and that something has changed.
pub const UNSENT: &str = "fanfare_cluster_unsent_total";

/// Describes them to the recorder. Called once at start.
pub fn describe() {
    describe_gauge!(NODES, "nodes that this one takes to be alive, itself included");
    describe_gauge!(SHARDS, "shards that this node owns, by space");
    describe_counter!(MOVES, "shards that came to this node or went from it, by what happened");
    describe_counter!(LEASE_FAILED, "calls of the store of leases that failed");
    describe_counter!(ASKED, "questions to all nodes, by outcome");
    describe_counter!(ANSWERED, "questions of other nodes, by outcome");
    describe_counter!(UNSENT, "what could not be sent to other nodes");
}

/// Handles of one node.
pub(crate) struct Handles {
    pub(crate) nodes: Gauge,
    pub(crate) lease_failed: Counter,
    pub(crate) complete: Counter,
    pub(crate) partial: Counter,
    pub(crate) answered: Counter,
    pub(crate) refused: Counter,
    pub(crate) failed: Counter,
    pub(crate) unsent: Counter,
}

impl Handles {
    pub(crate) fn new() -> Self {
        Self {
            nodes: gauge!(NODES),
            lease_failed: counter!(LEASE_FAILED),
            complete: counter!(ASKED, "outcome" => "complete"),
            partial: counter!(ASKED, "outcome" => "partial"),
            answered: counter!(ANSWERED, "outcome" => "answered"),
            refused: counter!(ANSWERED, "outcome" => "refused"),
            failed: counter!(ANSWERED, "outcome" => "failed"),
            unsent: counter!(UNSENT),
        }
    }
}

/// Handles of one space, whose name is a word of the program.
pub(crate) struct OfSpace {
    pub(crate) shards: Gauge,
    pub(crate) acquired: Counter,
    pub(crate) released: Counter,
    pub(crate) lost: Counter,
}

impl OfSpace {
    pub(crate) fn new(space: &'static str) -> Self {
        Self {
            shards: gauge!(SHARDS, "space" => space),
            acquired: counter!(MOVES, "space" => space, "what" => "acquired"),
            released: counter!(MOVES, "space" => space, "what" => "released"),
            lost: counter!(MOVES, "space" => space, "what" => "lost"),
        }
    }
}
