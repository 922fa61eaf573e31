//! Metrics of this crate.

use metrics::{Unit, counter, describe_counter};

use crate::{Door, Principal, Reason};

/// Refused credentials and requests, by `door` and `reason`.
pub const REFUSALS: &str = "fanfare_auth_refusals_total";
/// Accepted credentials, by `door` and `credential` (`token`, `api_key`, `ticket`, `anonymous`, and `resume` for
/// resume tokens of any of these).
pub const ACCEPTED: &str = "fanfare_auth_accepted_total";
/// Tickets, by `outcome` (`made`, `redeemed`; `refused` for want of room).
pub const TICKETS: &str = "fanfare_auth_tickets_total";
/// Revocations, by `kind` (`token`, `user_tokens`, `block`).
pub const REVOCATIONS: &str = "fanfare_auth_revocations_total";
/// Fetches of the keys that issuers publish, by `outcome` (`ok`, `unreachable`, `certificate`, `timeout`, `status`,
/// `too_large`, `document`).
pub const KEY_FETCHES: &str = "fanfare_auth_key_fetches_total";

/// Describes the metrics of this crate to the recorder.
pub fn describe() {
    describe_counter!(REFUSALS, Unit::Count, "Credentials and requests refused.");
    describe_counter!(ACCEPTED, Unit::Count, "Credentials accepted.");
    describe_counter!(TICKETS, Unit::Count, "Tickets made, redeemed, and refused for want of room.");
    describe_counter!(REVOCATIONS, Unit::Count, "Tokens revoked and users blocked.");
    describe_counter!(KEY_FETCHES, Unit::Count, "Fetches of the keys that issuers publish.");
}

pub(crate) fn refused(door: Door, reason: Reason) {
    counter!(REFUSALS, "door" => door.as_str(), "reason" => reason.code()).increment(1);
}

pub(crate) fn accepted(door: Door, principal: &Principal) {
    let credential = if principal.resumes.is_some() { "resume" } else { principal.credential.kind() };
    counter!(ACCEPTED, "door" => door.as_str(), "credential" => credential).increment(1);
}

pub(crate) fn ticket(outcome: &'static str) {
    counter!(TICKETS, "outcome" => outcome).increment(1);
}

pub(crate) fn revoked(kind: &'static str) {
    counter!(REVOCATIONS, "kind" => kind).increment(1);
}

pub(crate) fn fetched(outcome: &'static str) {
    counter!(KEY_FETCHES, "outcome" => outcome).increment(1);
}
