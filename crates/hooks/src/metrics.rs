//! What hooks count.

use fanfare_session::Hook;
use metrics::{
    Counter, Gauge, Histogram, counter, describe_counter, describe_gauge, describe_histogram, gauge, histogram,
};

use crate::fault::What;

/// Questions put to the application, by hook and outcome: `allowed`, `denied`, or why there was no answer
/// (`busy`, `open`, `unreachable`, `timeout`, `status`, `too_large`, `unreadable`).
pub const ASKED: &str = "fanfare_hook_questions_total";
/// Seconds until the verdict, by hook.
pub const SECONDS: &str = "fanfare_hook_seconds";
/// Whether a hook is left out because it failed too often, by hook: 1 or 0.
pub const OPEN: &str = "fanfare_hook_breaker_open";

/// Describes them to the recorder. Called once at start.
pub fn describe() {
    describe_counter!(ASKED, "questions put to the application, by hook and outcome");
    describe_histogram!(SECONDS, "seconds until the application's verdict, by hook");
    describe_gauge!(OPEN, "1 while a hook is left out because it failed too often");
}

/// The handles of one hook.
pub(crate) struct Handles {
    pub(crate) allowed: Counter,
    pub(crate) denied: Counter,
    unanswered: [Counter; What::ALL.len()],
    pub(crate) seconds: Histogram,
    pub(crate) open: Gauge,
}

impl Handles {
    pub(crate) fn new(hook: Hook) -> Self {
        let outcome = |outcome: &'static str| counter!(ASKED, "hook" => hook.as_str(), "outcome" => outcome);
        Self {
            allowed: outcome("allowed"),
            denied: outcome("denied"),
            unanswered: What::ALL.map(|what| outcome(what.as_str())),
            seconds: histogram!(SECONDS, "hook" => hook.as_str()),
            open: gauge!(OPEN, "hook" => hook.as_str()),
        }
    }

    pub(crate) fn unanswered(&self, what: What) {
        self.unanswered[what as usize].increment(1);
    }
}
