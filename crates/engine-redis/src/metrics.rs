//! What the engine counts.

use metrics::{
    Counter, Gauge, Histogram, counter, describe_counter, describe_gauge, describe_histogram, gauge, histogram,
};

/// Calls to the servers, by operation and outcome (`ok`, `failed`).
pub const CALLS: &str = "fanfare_redis_calls_total";
/// Seconds of a call with its retries, by operation.
pub const SECONDS: &str = "fanfare_redis_call_seconds";
/// Calls that were tried again, by reason (`lost`, `moved`, `busy`).
pub const RETRIES: &str = "fanfare_redis_retries_total";
/// Connections that were made, by use (`calls`, `hints`).
pub const CONNECTIONS: &str = "fanfare_redis_connections_total";
/// Primaries that turned out to be another server, or to have been restarted.
pub const FAILOVERS: &str = "fanfare_redis_failovers_total";
/// Announcements, by what became of them: heard and `passed` on, heard though `unread` here, `damaged`, or `dropped` before
/// they were sent.
pub const HINTS: &str = "fanfare_redis_hints_total";
/// Channels that this node listens to.
pub const CHANNELS: &str = "fanfare_redis_channels";
/// Events that wait for the servers.
pub const WAITING: &str = "fanfare_redis_waiting_events";

/// Describes them to the recorder. Called once at start.
pub fn describe() {
    describe_counter!(CALLS, "calls to the servers, by operation and outcome");
    describe_histogram!(SECONDS, "seconds of a call with its retries, by operation");
    describe_counter!(RETRIES, "calls that were tried again, by reason");
    describe_counter!(CONNECTIONS, "connections that were made, by use");
    describe_counter!(FAILOVERS, "primaries that turned out to be another server or to have been restarted");
    describe_counter!(HINTS, "announcements, by what became of them");
    describe_gauge!(CHANNELS, "channels that this node listens to");
    describe_gauge!(WAITING, "events that wait for the servers");
}

/// What is asked of the servers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Operation {
    Publish,
    Heads,
    Read,
    Topics,
    Admin,
    Sweep,
    Restore,
    Probe,
    Announce,
    Leases,
    Cursors,
    Presence,
}

impl Operation {
    pub(crate) const ALL: [Self; 12] = [
        Self::Publish,
        Self::Heads,
        Self::Read,
        Self::Topics,
        Self::Admin,
        Self::Sweep,
        Self::Restore,
        Self::Probe,
        Self::Announce,
        Self::Leases,
        Self::Cursors,
        Self::Presence,
    ];

    const fn as_str(self) -> &'static str {
        match self {
            Self::Publish => "publish",
            Self::Heads => "heads",
            Self::Read => "read",
            Self::Topics => "topics",
            Self::Admin => "admin",
            Self::Sweep => "sweep",
            Self::Restore => "restore",
            Self::Probe => "probe",
            Self::Announce => "announce",
            Self::Leases => "leases",
            Self::Cursors => "cursors",
            Self::Presence => "presence",
        }
    }
}

/// The handles of one operation.
pub(crate) struct Calls {
    pub(crate) ok: Counter,
    pub(crate) failed: Counter,
    pub(crate) seconds: Histogram,
}

/// Every handle of one engine.
pub(crate) struct Handles {
    calls: [Calls; Operation::ALL.len()],
    pub(crate) retried_lost: Counter,
    pub(crate) retried_moved: Counter,
    pub(crate) retried_busy: Counter,
    pub(crate) connected_calls: Counter,
    pub(crate) connected_hints: Counter,
    pub(crate) failovers: Counter,
    pub(crate) hints_passed: Counter,
    pub(crate) hints_unread: Counter,
    pub(crate) hints_damaged: Counter,
    pub(crate) hints_dropped: Counter,
    pub(crate) channels: Gauge,
    pub(crate) waiting: Gauge,
}

impl Handles {
    pub(crate) fn new() -> Self {
        let calls = |operation: Operation| Calls {
            ok: counter!(CALLS, "operation" => operation.as_str(), "outcome" => "ok"),
            failed: counter!(CALLS, "operation" => operation.as_str(), "outcome" => "failed"),
            seconds: histogram!(SECONDS, "operation" => operation.as_str()),
        };
        Self {
            calls: Operation::ALL.map(calls),
            retried_lost: counter!(RETRIES, "reason" => "lost"),
            retried_moved: counter!(RETRIES, "reason" => "moved"),
            retried_busy: counter!(RETRIES, "reason" => "busy"),
            connected_calls: counter!(CONNECTIONS, "use" => "calls"),
            connected_hints: counter!(CONNECTIONS, "use" => "hints"),
            failovers: counter!(FAILOVERS),
            hints_passed: counter!(HINTS, "outcome" => "passed"),
            hints_unread: counter!(HINTS, "outcome" => "unread"),
            hints_damaged: counter!(HINTS, "outcome" => "damaged"),
            hints_dropped: counter!(HINTS, "outcome" => "dropped"),
            channels: gauge!(CHANNELS),
            waiting: gauge!(WAITING),
        }
    }

    pub(crate) fn of(&self, operation: Operation) -> &Calls {
        &self.calls[operation as usize]
    }
}
