//! Metrics of taking connections.

use fanfare_model::Timestamp;
use metrics::{Unit, counter, describe_counter, describe_gauge, gauge};

/// Connections that were taken.
const ACCEPTED: &str = "fanfare_connections_accepted_total";
/// Times that a connection could not be taken for want of files or memory.
const ACCEPT_FAILED: &str = "fanfare_connections_accept_failed_total";
/// Connections that are open, of any protocol, with or without a session.
const OPEN: &str = "fanfare_connections";

/// TLS handshakes, by their result.
const HANDSHAKES: &str = "fanfare_tls_handshakes_total";
/// How often the files of a listener's TLS were read again, by whether they could be used.
const RELOADS: &str = "fanfare_tls_reloads_total";
/// When the first of the certificates in use ends, in seconds since 1970.
const EXPIRY: &str = "fanfare_tls_certificate_expiry_seconds";

/// Tells the recorder what they mean.
pub(super) fn describe() {
    describe_counter!(ACCEPTED, Unit::Count, "Connections that were taken");
    describe_counter!(ACCEPT_FAILED, Unit::Count, "Times a connection could not be taken for want of files or memory");
    describe_gauge!(OPEN, Unit::Count, "Connections that are open, of any protocol");
    describe_counter!(HANDSHAKES, Unit::Count, "TLS handshakes, by result");
    describe_counter!(RELOADS, Unit::Count, "Times the files of a listener's TLS were read again, by result");
    describe_gauge!(EXPIRY, Unit::Seconds, "When the first of the certificates in use ends, in seconds since 1970");
}

pub(super) fn accepted() {
    counter!(ACCEPTED).increment(1);
}

pub(super) fn accept_failed() {
    counter!(ACCEPT_FAILED).increment(1);
}

/// How a TLS handshake ended.
#[derive(Debug, Clone, Copy)]
pub(super) enum Handshake {
    Completed,
    Failed,
    TimedOut,
}

pub(super) fn handshake(result: Handshake) {
    let result = match result {
        Handshake::Completed => "completed",
        Handshake::Failed => "failed",
        Handshake::TimedOut => "timed_out",
    };
    counter!(HANDSHAKES, "result" => result).increment(1);
}

pub(super) fn reloaded(usable: bool) {
    counter!(RELOADS, "result" => if usable { "used" } else { "refused" }).increment(1);
}

pub(super) fn certificates_expire(first: Timestamp) {
    gauge!(EXPIRY).set(first.as_seconds() as f64);
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
