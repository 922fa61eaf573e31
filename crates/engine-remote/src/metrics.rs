//! Metrics of hub mode.

use metrics::{Counter, Gauge, Unit, counter, describe_counter, describe_gauge, gauge};

/// Calls of a gateway to its hub, by service and outcome.
const CALLS: &str = "fanfare_remote_calls_total";
/// How often a gateway's connection for news was made.
const CONNECTS: &str = "fanfare_remote_connects_total";
/// Gateways that a hub tells its news.
const GATEWAYS: &str = "fanfare_remote_gateways";
/// Events that a hub left out because a gateway reads too slowly.
const LEFT_OUT: &str = "fanfare_remote_events_left_out_total";

/// Tells the recorder what they mean.
pub fn describe() {
    describe_counter!(CALLS, Unit::Count, "Calls of a gateway to its hub, by service and outcome");
    describe_counter!(CONNECTS, Unit::Count, "Times a gateway's connection for news was made");
    describe_gauge!(GATEWAYS, Unit::Count, "Gateways that this hub tells its news");
    describe_counter!(
        LEFT_OUT,
        Unit::Count,
        "Events left out because a gateway reads too slowly; it reads the log instead"
    );
}

/// What a call is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Service {
    Publish,
    Log,
    Leases,
    Cursors,
    Presence,
}

/// What became of a call.
#[derive(Clone)]
struct Outcomes {
    done: Counter,
    refused: Counter,
    failed: Counter,
}

/// The counters of a gateway.
#[derive(Clone)]
pub(crate) struct Calls([Outcomes; 5]);

impl Calls {
    pub(crate) fn new() -> Self {
        let of = |service: &'static str| Outcomes {
            done: counter!(CALLS, "service" => service, "outcome" => "done"),
            refused: counter!(CALLS, "service" => service, "outcome" => "refused"),
            failed: counter!(CALLS, "service" => service, "outcome" => "failed"),
        };
        Self([of("publish"), of("log"), of("leases"), of("cursors"), of("presence")])
    }

    fn of(&self, service: Service) -> &Outcomes {
        &self.0[match service {
            Service::Publish => 0,
            Service::Log => 1,
            Service::Leases => 2,
            Service::Cursors => 3,
            Service::Presence => 4,
        }]
    }

    pub(crate) fn done(&self, service: Service) {
        self.of(service).done.increment(1);
    }

    /// The hub answered that it does not.
    pub(crate) fn refused(&self, service: Service) {
        self.of(service).refused.increment(1);
    }

    /// The hub did not answer, or could not.
    pub(crate) fn failed(&self, service: Service) {
        self.of(service).failed.increment(1);
    }
}

pub(crate) fn connects() -> Counter {
    counter!(CONNECTS)
}

pub(crate) fn gateways() -> Gauge {
    gauge!(GATEWAYS)
}

pub(crate) fn left_out() -> Counter {
    counter!(LEFT_OUT)
}
