//! What the log counts.

use std::time::Duration;

use metrics::{
    Counter, Gauge, Histogram, Unit, counter, describe_counter, describe_gauge, describe_histogram, gauge, histogram,
};

use crate::Durability;

/// From the hand-over of a batch until its last event was acknowledged, by durability.
pub const APPEND_SECONDS: &str = "fanfare_history_append_seconds";
/// How long a read of a log took, waiting for a reader included.
pub const READ_SECONDS: &str = "fanfare_history_read_seconds";
/// How many events one write of the embedded engine stored.
pub const GROUP_EVENTS: &str = "fanfare_history_group_events";
/// Events appended.
pub const APPENDED: &str = "fanfare_history_appended_total";
/// Appends that named an id of the idempotency window, so that nothing was stored.
pub const DUPLICATES: &str = "fanfare_history_duplicates_total";
/// Events removed by retention.
pub const TRIMMED: &str = "fanfare_history_trimmed_total";
/// Failures of the store, by operation: `write`, `read`, `open`.
pub const STORE_ERRORS: &str = "fanfare_history_store_errors_total";
/// Events that wait for the writer now.
pub const QUEUE_EVENTS: &str = "fanfare_history_queue_events";

/// Describes them to the recorder. Called once at start.
pub fn describe() {
    describe_histogram!(APPEND_SECONDS, Unit::Seconds, "time to acknowledge a batch of appends, by durability");
    describe_histogram!(READ_SECONDS, Unit::Seconds, "time to read a stretch of a log");
    describe_histogram!(GROUP_EVENTS, "events stored by one group commit");
    describe_counter!(APPENDED, "events appended");
    describe_counter!(DUPLICATES, "appends of an id that was stored before");
    describe_counter!(TRIMMED, "events removed by retention");
    describe_counter!(STORE_ERRORS, "failures of the event store, by operation");
    describe_gauge!(QUEUE_EVENTS, "events that wait for the writer");
}

/// What the store was doing when it failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Operation {
    Write,
    Read,
    Open,
}

pub(crate) fn store_error(operation: Operation) {
    let operation = match operation {
        Operation::Write => "write",
        Operation::Read => "read",
        Operation::Open => "open",
    };
    counter!(STORE_ERRORS, "operation" => operation).increment(1);
}

/// Handles of one log.
pub(crate) struct Handles {
    append_seconds: [Histogram; 3],
    pub(crate) read_seconds: Histogram,
    pub(crate) group_events: Histogram,
    pub(crate) appended: Counter,
    pub(crate) duplicates: Counter,
    pub(crate) trimmed: Counter,
    pub(crate) queue_events: Gauge,
}

impl Handles {
    pub(crate) fn new() -> Self {
        Self {
            append_seconds: ["none", "buffered", "committed"]
                .map(|durability| histogram!(APPEND_SECONDS, "durability" => durability)),
            read_seconds: histogram!(READ_SECONDS),
            group_events: histogram!(GROUP_EVENTS),
            appended: counter!(APPENDED),
            duplicates: counter!(DUPLICATES),
            trimmed: counter!(TRIMMED),
            queue_events: gauge!(QUEUE_EVENTS),
        }
    }

    pub(crate) fn append_took(&self, durability: Durability, took: Duration) {
        self.append_seconds[durability as usize].record(took);
    }
}
