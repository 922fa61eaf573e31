//! What sessions count, for every protocol.

use metrics::{describe_counter, describe_gauge, describe_histogram};

/// Sessions now, by protocol.
pub const SESSIONS: &str = "fanfare_sessions";
/// Sessions opened, by protocol.
pub const OPENED: &str = "fanfare_sessions_opened_total";
/// Sessions that went on after their connection was lost, by protocol; among those opened.
pub const RESUMED: &str = "fanfare_sessions_resumed_total";
/// Sessions that the server ended, by reason.
pub const ENDED: &str = "fanfare_sessions_ended_total";
/// Sessions refused because of a limit, by limit.
pub const REFUSED: &str = "fanfare_sessions_refused_total";
/// Events written to clients, by protocol.
pub const DELIVERED: &str = "fanfare_events_delivered_total";
/// Bytes written for clients that wait until they take more, by protocol. Each client may have a batch waiting
/// (`write_batch`), so this divided by that is about how many are slow now.
pub const WAITING: &str = "fanfare_output_waiting_bytes";
/// Seconds from an event's append to its writing to a socket, for live events, by protocol.
pub const DELIVERY_SECONDS: &str = "fanfare_delivery_seconds";

/// Describes them to the recorder. Called once at start.
pub fn describe() {
    describe_gauge!(SESSIONS, "sessions now, by protocol");
    describe_counter!(OPENED, "sessions opened, by protocol");
    describe_counter!(RESUMED, "sessions that went on after their connection was lost, by protocol");
    describe_counter!(ENDED, "sessions that the server ended, by reason");
    describe_counter!(REFUSED, "sessions refused because of a limit");
    describe_counter!(DELIVERED, "events written to clients, by protocol");
    describe_gauge!(WAITING, "bytes that wait until clients take more, by protocol");
    describe_histogram!(DELIVERY_SECONDS, "seconds from append to socket, for live events");
    crate::quota::describe();
}
