//! What this gateway counts.

use metrics::{describe_counter, describe_histogram};
use tonic::Code;

/// Unary calls answered, by method and status.
pub const CALLS: &str = "fanfare_grpc_calls_total";
/// Seconds that unary calls took, by method.
pub const CALL_SECONDS: &str = "fanfare_grpc_call_seconds";
/// Streams ended, by method and status.
pub const STREAMS: &str = "fanfare_grpc_streams_ended_total";

/// Describes them to the recorder. Called once at start.
pub fn describe() {
    describe_counter!(CALLS, "unary calls answered, by method and status");
    describe_histogram!(CALL_SECONDS, "seconds that unary calls took, by method");
    describe_counter!(STREAMS, "streams ended, by method and status");
}

/// The name of a status, as in the specification of gRPC.
pub(crate) const fn name(code: Code) -> &'static str {
    match code {
        Code::Ok => "OK",
        Code::Cancelled => "CANCELLED",
        Code::Unknown => "UNKNOWN",
        Code::InvalidArgument => "INVALID_ARGUMENT",
        Code::DeadlineExceeded => "DEADLINE_EXCEEDED",
        Code::NotFound => "NOT_FOUND",
        Code::AlreadyExists => "ALREADY_EXISTS",
        Code::PermissionDenied => "PERMISSION_DENIED",
        Code::ResourceExhausted => "RESOURCE_EXHAUSTED",
        Code::FailedPrecondition => "FAILED_PRECONDITION",
        Code::Aborted => "ABORTED",
        Code::OutOfRange => "OUT_OF_RANGE",
        Code::Unimplemented => "UNIMPLEMENTED",
        Code::Internal => "INTERNAL",
        Code::Unavailable => "UNAVAILABLE",
        Code::DataLoss => "DATA_LOSS",
        Code::Unauthenticated => "UNAUTHENTICATED",
    }
}
