//! Metrics of taking connections.

use metrics::{Unit, counter, describe_counter, describe_gauge, gauge};

/// Connections that were taken.
const ACCEPTED: &str = "fanfare_connections_accepted_total";
/// Times that a connection could not be taken for want of files or memory.
const ACCEPT_FAILED: &str = "fanfare_connections_accept_failed_total";
/// Connections that are open, of any protocol, with or without a session.
const OPEN: &str = "fanfare_connections";

/// Tells the recorder what they mean.
pub(super) fn describe() {
    describe_counter!(ACCEPTED, Unit::Count, "Connections that were taken");
    describe_counter!(ACCEPT_FAILED, Unit::Count, "Times a connection could not be taken for want of files or memory");
    describe_gauge!(OPEN, Unit::Count, "Connections that are open, of any protocol");
}

pub(super) fn accepted() {
    counter!(ACCEPTED).increment(1);
}

pub(super) fn accept_failed() {
    counter!(ACCEPT_FAILED).increment(1);
}

/// Counts an open connection until it is dropped.
#[derive(Debug)]
pub(super) struct Open(metrics::Gauge);

impl Open {
    pub(super) fn new() -> Self {
        let open = gauge!(OPEN);
        open.increment(1.0);
        Self(open)
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.decrement(1.0);
    }
}
