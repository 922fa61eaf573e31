//! Metrics of this crate.

use metrics::{Unit, counter, describe_counter};

use crate::{Credential, Door, Reason};

/// Refused credentials and requests, by `door` and `reason`.
pub const REFUSALS: &str = "fanfare_auth_refusals_total";
/// Accepted credentials, by `door` and `credential` (`token`, `api_key`, `anonymous`).
pub const ACCEPTED: &str = "fanfare_auth_accepted_total";

/// Describes the metrics of this crate to the recorder.
pub fn describe() {
    describe_counter!(REFUSALS, Unit::Count, "Credentials and requests refused.");
    describe_counter!(ACCEPTED, Unit::Count, "Credentials accepted.");
}

pub(crate) fn refused(door: Door, reason: Reason) {
    counter!(REFUSALS, "door" => door.as_str(), "reason" => reason.code()).increment(1);
}

pub(crate) fn accepted(door: Door, credential: &Credential) {
    counter!(ACCEPTED, "door" => door.as_str(), "credential" => credential.kind()).increment(1);
}
