//! What the engine counts.

use std::time::Duration;

use metrics::{
    Counter, Histogram, Unit, counter, describe_counter, describe_gauge, describe_histogram, gauge, histogram,
};

/// How long calls to the servers took, by operation and outcome.
pub const CALL_SECONDS: &str = "fanfare_nats_call_seconds";
/// How often the connection was lost; it is made again by itself.
pub const DISCONNECTS: &str = "fanfare_nats_disconnects_total";
/// How often live messages were dropped, because more came than this node could take.
pub const OVERRUNS: &str = "fanfare_nats_overruns_total";
/// Messages that could not be understood.
pub const GARBLED: &str = "fanfare_nats_garbled_total";
/// Hints of another engine's log that were not sent, because too many waited.
pub const HINTS_DROPPED: &str = "fanfare_nats_hints_dropped_total";
/// Parts of live subjects that this node listens to now.
pub const PARTS: &str = "fanfare_nats_live_parts";

/// Describes them to the recorder. Called once at start.
pub fn describe() {
    describe_histogram!(CALL_SECONDS, Unit::Seconds, "time of calls to NATS, by operation and outcome");
    describe_counter!(DISCONNECTS, "times the connection to NATS was lost; it is made again by itself");
    describe_counter!(OVERRUNS, "times live messages of NATS were dropped, because more came than the node could take");
    describe_counter!(GARBLED, "messages of NATS that could not be understood");
    describe_counter!(HINTS_DROPPED, "hints of another engine's log that were not sent, because too many waited");
    describe_gauge!(PARTS, "parts of live subjects that the node listens to");
}

/// What a call is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Operation {
    /// Storing an event or a record.
    Store,
    /// Reading messages.
    Get,
    /// Asking about a stream.
    Info,
    /// Changing a stream, or removing messages.
    Change,
}

impl Operation {
    const ALL: [Self; 4] = [Self::Store, Self::Get, Self::Info, Self::Change];

    const fn as_str(self) -> &'static str {
        match self {
            Self::Store => "store",
            Self::Get => "get",
            Self::Info => "info",
            Self::Change => "change",
        }
    }
}

/// Handles of one engine.
pub(crate) struct Handles {
    /// By operation; done and failed.
    calls: [[Histogram; 2]; 4],
    pub(crate) disconnects: Counter,
    pub(crate) overruns: Counter,
    pub(crate) garbled: Counter,
    pub(crate) hints_dropped: Counter,
    pub(crate) parts: metrics::Gauge,
}

impl Handles {
    pub(crate) fn new() -> Self {
        let call = |operation: Operation, outcome: &'static str| histogram!(CALL_SECONDS, "operation" => operation.as_str(), "outcome" => outcome);
        Self {
            calls: Operation::ALL.map(|operation| [call(operation, "done"), call(operation, "failed")]),
            disconnects: counter!(DISCONNECTS),
            overruns: counter!(OVERRUNS),
            garbled: counter!(GARBLED),
            hints_dropped: counter!(HINTS_DROPPED),
            parts: gauge!(PARTS),
        }
    }

    pub(crate) fn called(&self, operation: Operation, done: bool, took: Duration) {
        self.calls[operation as usize][usize::from(!done)].record(took);
    }
}
