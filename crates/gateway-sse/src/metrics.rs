//! What this gateway counts. Sessions and deliveries are in [`fanfare_session::metrics`].

use fanfare_session::metrics::{DELIVERED, DELIVERY_SECONDS, WAITING};
use metrics::{Counter, Gauge, Histogram, counter, describe_counter, gauge, histogram};

/// Streams that came with a cursor, by protocol and outcome `continue`, `gap` or `reset`.
pub const RESUMES: &str = "fanfare_resumes_total";

/// Describes them to the recorder. Called once at start.
pub fn describe() {
    describe_counter!(RESUMES, "streams opened with a cursor, by outcome");
}

pub(crate) fn resumed(protocol: &'static str, outcome: &'static str) {
    counter!(RESUMES, "protocol" => protocol, "outcome" => outcome).increment(1);
}

/// Handles for the hot path of one protocol.
pub(crate) struct Delivered {
    pub(crate) events: Counter,
    pub(crate) seconds: Histogram,
    pub(crate) waiting: Gauge,
}

impl Delivered {
    pub(crate) fn new(protocol: &'static str) -> Self {
        Self {
            events: counter!(DELIVERED, "protocol" => protocol),
            seconds: histogram!(DELIVERY_SECONDS, "protocol" => protocol),
            waiting: gauge!(WAITING, "protocol" => protocol),
        }
    }
}
