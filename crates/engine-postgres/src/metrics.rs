//! What the engine counts.

use std::time::Duration;

use metrics::{
    Counter, Gauge, Histogram, counter, describe_counter, describe_gauge, describe_histogram, gauge, histogram,
};

/// Calls to the server, by operation and outcome `ok` or `failed`.
pub const CALLS: &str = "fanfare_postgres_calls_total";
/// How long calls took, by operation, in seconds.
pub const CALL_SECONDS: &str = "fanfare_postgres_call_seconds";
/// How often the tail's connection was made anew after it was lost.
pub const RECONNECTS: &str = "fanfare_postgres_reconnects_total";
/// Events read by the tail, by `attached` or `skipped` (nobody here reads their topic).
pub const TAIL_EVENTS: &str = "fanfare_postgres_tail_events_total";
/// Transactions that were open at the tail's last look; their events come when they end.
pub const TAIL_OPEN: &str = "fanfare_postgres_tail_open_transactions";
/// Events that had to wait because somebody else held the lock of their topic.
pub const BUSY: &str = "fanfare_postgres_busy_events_total";
/// Events per transaction of a writer.
pub const BATCH_EVENTS: &str = "fanfare_postgres_batch_events";

/// Describes them to the recorder. Called once at start.
pub fn describe() {
    describe_counter!(CALLS, "calls to PostgreSQL, by operation and outcome");
    describe_histogram!(CALL_SECONDS, "seconds that calls to PostgreSQL took, by operation");
    describe_counter!(RECONNECTS, "how often the tail was connected again");
    describe_counter!(TAIL_EVENTS, "events read by the tail, by whether anybody here reads their topic");
    describe_gauge!(TAIL_OPEN, "transactions open at the tail's last look");
    describe_counter!(BUSY, "events that waited for the lock of their topic");
    describe_histogram!(BATCH_EVENTS, "events per transaction");
}

/// What is asked of the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Call {
    Append,
    Pass,
    Heads,
    Read,
    Topics,
    Admin,
    Sweep,
    Tail,
    Bell,
    Leases,
    Cursors,
    Presence,
}

impl Call {
    const ALL: [Self; 12] = [
        Self::Append,
        Self::Pass,
        Self::Heads,
        Self::Read,
        Self::Topics,
        Self::Admin,
        Self::Sweep,
        Self::Tail,
        Self::Bell,
        Self::Leases,
        Self::Cursors,
        Self::Presence,
    ];

    const fn name(self) -> &'static str {
        match self {
            Self::Append => "append",
            Self::Pass => "pass",
            Self::Heads => "heads",
            Self::Read => "read",
            Self::Topics => "topics",
            Self::Admin => "admin",
            Self::Sweep => "sweep",
            Self::Tail => "tail",
            Self::Bell => "bell",
            Self::Leases => "leases",
            Self::Cursors => "cursors",
            Self::Presence => "presence",
        }
    }
}

/// Handles, so that the paths of every event look nothing up.
pub(crate) struct Handles {
    calls: [(Counter, Counter, Histogram); Call::ALL.len()],
    pub(crate) reconnects: Counter,
    pub(crate) attached: Counter,
    pub(crate) skipped: Counter,
    pub(crate) open: Gauge,
    pub(crate) busy: Counter,
    pub(crate) batch_events: Histogram,
}

impl Handles {
    pub(crate) fn new() -> Self {
        Self {
            calls: Call::ALL.map(|call| {
                let name = call.name();
                (
                    counter!(CALLS, "operation" => name, "outcome" => "ok"),
                    counter!(CALLS, "operation" => name, "outcome" => "failed"),
                    histogram!(CALL_SECONDS, "operation" => name),
                )
            }),
            reconnects: counter!(RECONNECTS),
            attached: counter!(TAIL_EVENTS, "interest" => "attached"),
            skipped: counter!(TAIL_EVENTS, "interest" => "skipped"),
            open: gauge!(TAIL_OPEN),
            busy: counter!(BUSY),
            batch_events: histogram!(BATCH_EVENTS),
        }
    }

    pub(crate) fn called(&self, call: Call, took: Duration, ok: bool) {
        let (succeeded, failed, seconds) = &self.calls[call as usize];
        if ok { succeeded } else { failed }.increment(1);
        seconds.record(took);
    }
}
