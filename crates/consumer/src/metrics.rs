//! What consumers count.

use fanfare_model::GapReason;
use metrics::{Counter, Gauge, counter, describe_counter, describe_gauge, gauge};

/// Events given out, by `first` or `again`.
pub const DELIVERED: &str = "fanfare_consumer_events_delivered_total";
/// Events that went to a dead-letter topic because they were given out too often.
pub const DEAD_LETTERED: &str = "fanfare_consumer_events_dead_lettered_total";
/// Leases that ended, by `acknowledged`, `released` or `expired`.
pub const LEASES_ENDED: &str = "fanfare_consumer_leases_ended_total";
/// Gaps told to consumers, by reason.
pub const GAPS: &str = "fanfare_consumer_gaps_total";
/// Callers that pull now; nearly all of them wait.
pub const PULLERS: &str = "fanfare_consumer_pullers";

/// Describes them to the recorder. Called once at start.
pub fn describe() {
    describe_counter!(DELIVERED, "events given out to consumers, for the first time or again");
    describe_counter!(DEAD_LETTERED, "events that went to a dead-letter topic after too many deliveries");
    describe_counter!(LEASES_ENDED, "leases that ended, by how");
    describe_counter!(GAPS, "gaps told to consumers, by reason");
    describe_gauge!(PULLERS, "callers that pull now");
}

pub(crate) fn gap(reason: GapReason) {
    counter!(GAPS, "reason" => reason.as_str()).increment(1);
}

/// Handles of one service.
pub(crate) struct Handles {
    pub(crate) first: Counter,
    pub(crate) again: Counter,
    pub(crate) dead: Counter,
    pub(crate) acknowledged: Counter,
    pub(crate) released: Counter,
    pub(crate) expired: Counter,
    pub(crate) pullers: Gauge,
}

impl Handles {
    pub(crate) fn new() -> Self {
        Self {
            first: counter!(DELIVERED, "time" => "first"),
            again: counter!(DELIVERED, "time" => "again"),
            dead: counter!(DEAD_LETTERED),
            acknowledged: counter!(LEASES_ENDED, "how" => "acknowledged"),
            released: counter!(LEASES_ENDED, "how" => "released"),
            expired: counter!(LEASES_ENDED, "how" => "expired"),
            pullers: gauge!(PULLERS),
        }
    }
}
