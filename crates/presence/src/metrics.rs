//! What presence counts.

use metrics::{Counter, Gauge, counter, describe_counter, describe_gauge, gauge};

/// Sessions of this node that are in a topic; one that is in three counts three times, also where users are the members.
/// Summed over the nodes it is everybody, whichever node tells of whom.
pub const MEMBERS: &str = "fanfare_presence_members";
/// Changes of members, by what happened: `join`, `update`, `leave`.
pub const CHANGES: &str = "fanfare_presence_changes_total";
/// Differences announced. Many changes that come together are one.
pub const DIFFS: &str = "fanfare_presence_diffs_total";
/// Sessions that broke off, by how their grace time ended: `resumed`, `expired`.
pub const GRACES: &str = "fanfare_presence_graces_total";
/// Sessions of dead nodes that were taken out.
pub const REAPED: &str = "fanfare_presence_reaped_total";
/// Times that this node was taken for dead, or the engine had lost something, so that its members entered again.
pub const REBORN: &str = "fanfare_presence_reborn_total";
/// Joins, leaves and the like for the logs of topics, by outcome: `stored`, `refused`.
pub const LOGGED: &str = "fanfare_presence_logged_total";
/// Joins, leaves and the like that wait to be logged now.
pub const LOG_WAITING: &str = "fanfare_presence_log_waiting";

/// Describes them to the recorder. Called once at start.
pub fn describe() {
    describe_gauge!(MEMBERS, "sessions of this node in topics: one that is in three counts three times");
    describe_counter!(CHANGES, "changes of members, by what happened");
    describe_counter!(DIFFS, "differences announced; changes that come together are one");
    describe_counter!(GRACES, "sessions that broke off, by how their grace time ended");
    describe_counter!(REAPED, "sessions of dead nodes that were taken out");
    describe_counter!(REBORN, "times that all members of this node had to enter again");
    describe_counter!(LOGGED, "joins, leaves and the like for the logs of topics, by outcome");
    describe_gauge!(LOG_WAITING, "joins, leaves and the like that wait to be logged");
}

/// Where those are counted whose sessions this node holds.
pub(crate) fn members() -> Gauge {
    gauge!(MEMBERS)
}

/// Handles of one node.
pub(crate) struct Handles {
    pub(crate) joins: Counter,
    pub(crate) updates: Counter,
    pub(crate) leaves: Counter,
    pub(crate) diffs: Counter,
    pub(crate) resumed: Counter,
    pub(crate) expired: Counter,
    pub(crate) reaped: Counter,
}

impl Handles {
    pub(crate) fn new() -> Self {
        Self {
            joins: counter!(CHANGES, "what" => "join"),
            updates: counter!(CHANGES, "what" => "update"),
            leaves: counter!(CHANGES, "what" => "leave"),
            diffs: counter!(DIFFS),
            resumed: counter!(GRACES, "outcome" => "resumed"),
            expired: counter!(GRACES, "outcome" => "expired"),
            reaped: counter!(REAPED),
        }
    }
}
