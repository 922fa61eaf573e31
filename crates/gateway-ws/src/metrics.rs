//! What the WebSocket transport counts, beyond what every session does.

use fanfare_session::Protocol;
use fanfare_session::metrics::WAITING;
use metrics::{Counter, Gauge, counter, describe_counter, gauge};

use crate::frame::Violation;

/// Messages and control frames received.
pub const RECEIVED: &str = "fanfare_websocket_frames_received_total";
/// Writes to sockets; compared with the events delivered it shows how well bursts are put together.
pub const WRITES: &str = "fanfare_websocket_writes_total";
/// Connections closed because the client broke the WebSocket protocol or a limit of it, by violation.
pub const VIOLATIONS: &str = "fanfare_websocket_violations_total";
/// Handshakes refused, by reason.
pub const REFUSED: &str = "fanfare_websocket_handshakes_refused_total";

/// Describes them to the recorder. Called once at start.
pub fn describe() {
    describe_counter!(RECEIVED, "messages and control frames received");
    describe_counter!(WRITES, "writes to sockets");
    describe_counter!(VIOLATIONS, "connections closed for a violation of the WebSocket protocol, by violation");
    describe_counter!(REFUSED, "handshakes refused, by reason");
}

pub(crate) fn violation(violation: Violation) {
    counter!(VIOLATIONS, "violation" => violation.as_str()).increment(1);
}

/// Handles of the hot path.
pub(crate) struct Handles {
    pub(crate) received: Counter,
    pub(crate) writes: Counter,
    pub(crate) waiting: Gauge,
}

impl Handles {
    pub(crate) fn new() -> Self {
        let protocol = Protocol::WebSocket.as_str();
        Self {
            received: counter!(RECEIVED),
            writes: counter!(WRITES),
            waiting: gauge!(WAITING, "protocol" => protocol),
        }
    }
}
