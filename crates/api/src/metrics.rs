//! What the API counts.

use std::time::Duration;

use http::StatusCode;
use metrics::{Unit, counter, describe_counter, describe_histogram, histogram};

/// Requests answered, by route and status.
pub const REQUESTS: &str = "fanfare_http_requests_total";
/// Seconds from the head of a request to the head of its answer, by route.
pub const REQUEST_SECONDS: &str = "fanfare_http_request_seconds";

/// The route of a request that no route took.
pub(crate) const UNMATCHED: &str = "unmatched";

/// Describes them to the recorder. Called once at start.
pub fn describe() {
    describe_counter!(REQUESTS, "requests answered, by route and status");
    describe_histogram!(REQUEST_SECONDS, Unit::Seconds, "seconds from a request's head to its answer's, by route");
}

/// Counts an answer. `route` is an operation's name or [`UNMATCHED`].
pub(crate) fn answered(route: &'static str, status: StatusCode, took: Duration) {
    counter!(REQUESTS, "route" => route, "status" => status.as_str().to_owned()).increment(1);
    histogram!(REQUEST_SECONDS, "route" => route).record(took);
}
