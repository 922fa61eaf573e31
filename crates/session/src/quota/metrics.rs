//! What limits count.

use metrics::{Counter, Gauge, counter, describe_counter, describe_gauge, gauge};

use super::{Limit, Measure, Scope};

/// Sessions, subscriptions and publishes refused because of a limit, by limit.
pub const EXCEEDED: &str = "fanfare_limits_exceeded_total";
/// Users, addresses and tenants whose rates are kept now, by scope.
pub const TRACKED: &str = "fanfare_limits_tracked";
/// Of those, how many were dropped before they had all their allowance back, because there were too many, by scope.
pub const FORGOTTEN: &str = "fanfare_limits_forgotten_total";

/// Describes them to the recorder. Called once at start.
pub fn describe() {
    describe_counter!(EXCEEDED, "sessions, subscriptions and publishes refused because of a limit, by limit");
    describe_gauge!(TRACKED, "users, addresses and tenants whose rates are kept now, by scope");
    describe_counter!(FORGOTTEN, "rates dropped early because there were too many, by scope");
}

/// A counter for each limit.
pub(super) struct Handles([[Counter; Measure::ALL.len()]; Scope::ALL.len()]);

impl Handles {
    pub(super) fn new() -> Self {
        Self(
            Scope::ALL.map(|scope| {
                Measure::ALL.map(|measure| counter!(EXCEEDED, "limit" => Limit { scope, measure }.as_str()))
            }),
        )
    }

    pub(super) fn exceeded(&self, limit: Limit) {
        self.0[limit.scope as usize][limit.measure as usize].increment(1);
    }
}

/// The handles of one table of rates.
pub(super) struct TableHandles {
    pub(super) tracked: Gauge,
    pub(super) forgotten: Counter,
}

impl TableHandles {
    pub(super) fn new(scope: Scope) -> Self {
        Self {
            tracked: gauge!(TRACKED, "scope" => scope.as_str()),
            forgotten: counter!(FORGOTTEN, "scope" => scope.as_str()),
        }
    }
}
