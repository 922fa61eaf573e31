//! A limit is used up.

use std::time::Duration;

use fanfare_model::Kind;

use super::{Limit, Measure};
use crate::problem::Problem;

/// A limit that a user, tenant or address has used up. Nothing was taken or accounted for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("this {} {}", limit.scope.as_str(), complaint(limit.measure))]
pub struct Exceeded {
    /// Which.
    pub limit: Limit,
    /// After how long there is room again, if nobody else uses it. `None` where time does not make room: something
    /// that is held must be given up first.
    pub retry_after: Option<Duration>,
}

const fn complaint(measure: Measure) -> &'static str {
    match measure {
        Measure::Connections => "has as many connections as it may have",
        Measure::Subscriptions => "has as many subscriptions as it may have",
        Measure::Publishes => "publishes more events a second than it may",
        Measure::Bytes => "publishes more bytes a second than it may",
    }
}

impl Exceeded {
    /// What the caller can do.
    pub const fn kind(self) -> Kind {
        Kind::Limited
    }
}

impl From<Exceeded> for Problem {
    fn from(exceeded: Exceeded) -> Self {
        let problem = Self::new(exceeded.kind(), exceeded).with("limit", exceeded.limit.as_str());
        match exceeded.retry_after {
            Some(after) => problem.with_retry_after(after),
            None => problem,
        }
    }
}
