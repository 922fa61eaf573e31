//! Errors of the engine's traits, as [`proto::Refusal`]: an item's own, or in the details of a call's status.

use fanfare_history::Error as LogError;
use fanfare_model::Invalid;
use fanfare_presence::Error as PresenceError;
use fanfare_proto::engine as proto;
use prost::Message as _;
use proto::refusal::Why;
use tonic::{Code, Status};

use super::{Malformed, count, to_count};

fn refusal(why: Why) -> proto::Refusal {
    proto::Refusal { why: why as i32, ..proto::Refusal::default() }
}

/// The status of a call that failed for this reason.
fn status(refusal: &proto::Refusal) -> Status {
    let code = match refusal.why() {
        Why::Unavailable | Why::Closed => Code::Unavailable,
        Why::Overloaded | Why::Full | Why::TooManyTopics | Why::TooMany | Why::TooLarge => Code::ResourceExhausted,
        Why::Invalid | Why::Disabled | Why::NeedsUser => Code::InvalidArgument,
        Why::NotMember => Code::NotFound,
    };
    Status::with_details(code, "the hub could not do it", refusal.encode_to_vec().into())
}

/// Why a call failed, if the hub said so.
fn said(status: &Status) -> Option<proto::Refusal> {
    (!status.details().is_empty()).then(|| proto::Refusal::decode(status.details()).ok()).flatten()
}

impl From<Malformed> for Status {
    fn from(malformed: Malformed) -> Self {
        Self::invalid_argument(malformed.to_string())
    }
}

impl From<Malformed> for LogError {
    fn from(malformed: Malformed) -> Self {
        Self::Unavailable(malformed.into())
    }
}

impl From<Malformed> for fanfare_consumer::Error {
    fn from(malformed: Malformed) -> Self {
        Self::Unavailable(malformed.into())
    }
}

impl From<Malformed> for PresenceError {
    fn from(malformed: Malformed) -> Self {
        Self::Unavailable(malformed.into())
    }
}

/// An item's refusal.
pub(crate) fn of_log(error: &LogError) -> proto::Refusal {
    match error {
        LogError::Overloaded => refusal(Why::Overloaded),
        LogError::Closed => refusal(Why::Closed),
        LogError::TooLarge { size, size_max } => {
            proto::Refusal { size: count(*size), size_max: count(*size_max), ..refusal(Why::TooLarge) }
        }
        // Also what later versions add.
        _ => refusal(Why::Unavailable),
    }
}

pub(crate) fn to_log(refusal: &proto::Refusal) -> LogError {
    match refusal.why() {
        Why::Overloaded => LogError::Overloaded,
        Why::TooLarge => LogError::TooLarge { size: to_count(refusal.size), size_max: to_count(refusal.size_max) },
        // A hub that stops is one that comes back, for a gateway.
        _ => LogError::Unavailable("the hub's event store is not available".into()),
    }
}

/// Logged here, because the other side is told the kind only.
pub(crate) fn log_status(error: &LogError) -> Status {
    if let LogError::Unavailable(source) = error {
        tracing::warn!(error = %source, "the engine failed a call of another node");
    }
    status(&of_log(error))
}

pub(crate) fn log_error(failed: Status) -> LogError {
    match said(&failed) {
        Some(refusal) => to_log(&refusal),
        None => LogError::Unavailable(failed.into()),
    }
}

pub(crate) fn lease_status(error: &fanfare_cluster::Error) -> Status {
    match error {
        fanfare_cluster::Error::Invalid(invalid) => {
            status(&proto::Refusal { of: invalid.to_string(), ..refusal(Why::Invalid) })
        }
        _ => status(&refusal(Why::Unavailable)),
    }
}

pub(crate) fn lease_error(failed: Status) -> fanfare_cluster::Error {
    fanfare_cluster::Error::unavailable(failed)
}

pub(crate) fn cursor_status(error: &fanfare_consumer::Error) -> Status {
    use fanfare_consumer::Error;
    status(&match error {
        Error::Overloaded => refusal(Why::Overloaded),
        Error::TooManyConsumers { most } => proto::Refusal { size_max: count(*most), ..refusal(Why::TooMany) },
        Error::Closed => refusal(Why::Closed),
        _ => refusal(Why::Unavailable),
    })
}

pub(crate) fn cursor_error(failed: Status) -> fanfare_consumer::Error {
    use fanfare_consumer::Error;
    match said(&failed) {
        Some(refusal) if refusal.why() == Why::Overloaded => Error::Overloaded,
        Some(refusal) if refusal.why() == Why::TooMany => Error::TooManyConsumers { most: to_count(refusal.size_max) },
        _ => Error::Unavailable(failed.into()),
    }
}

pub(crate) fn presence_status(error: &PresenceError) -> Status {
    status(&match error {
        PresenceError::Disabled { kind } => proto::Refusal { of: kind.clone(), ..refusal(Why::Disabled) },
        PresenceError::NeedsUser { kind } => proto::Refusal { of: kind.clone(), ..refusal(Why::NeedsUser) },
        PresenceError::Data(invalid) => proto::Refusal { of: invalid.problem.clone(), ..refusal(Why::Invalid) },
        PresenceError::DataTooLarge { size, size_max, kind } => proto::Refusal {
            size: count(*size),
            size_max: count(*size_max),
            of: kind.clone(),
            ..refusal(Why::TooLarge)
        },
        PresenceError::NotMember => refusal(Why::NotMember),
        PresenceError::TooManyTopics { topics_max } => {
            proto::Refusal { size_max: count(*topics_max), ..refusal(Why::TooManyTopics) }
        }
        PresenceError::Full => refusal(Why::Full),
        _ => refusal(Why::Unavailable),
    })
}

pub(crate) fn presence_error(failed: Status) -> PresenceError {
    let Some(said) = said(&failed) else { return PresenceError::Unavailable(failed.into()) };
    match said.why() {
        Why::Disabled => PresenceError::Disabled { kind: said.of },
        Why::NeedsUser => PresenceError::NeedsUser { kind: said.of },
        Why::Invalid => PresenceError::Data(Invalid::new("data", said.of)),
        Why::TooLarge => {
            PresenceError::DataTooLarge { size: to_count(said.size), size_max: to_count(said.size_max), kind: said.of }
        }
        Why::NotMember => PresenceError::NotMember,
        Why::TooManyTopics => PresenceError::TooManyTopics { topics_max: to_count(said.size_max) },
        Why::Full => PresenceError::Full,
        _ => PresenceError::Unavailable(failed.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_keep_their_kind_on_the_way() {
        for error in
            [LogError::Overloaded, LogError::TooLarge { size: 2, size_max: 1 }, LogError::Unavailable("disk".into())]
        {
            let there = log_error(log_status(&error));
            assert_eq!((there.kind(), there.to_string()), (error.kind(), error.to_string()));
            assert_eq!(to_log(&of_log(&error)).to_string(), error.to_string());
        }
        for error in [
            PresenceError::Disabled { kind: "chat".to_owned() },
            PresenceError::NeedsUser { kind: "chat".to_owned() },
            PresenceError::Data(Invalid::new("data", "is odd")),
            PresenceError::DataTooLarge { size: 2, size_max: 1, kind: "chat".to_owned() },
            PresenceError::NotMember,
            PresenceError::TooManyTopics { topics_max: 3 },
            PresenceError::Full,
            PresenceError::Unavailable("down".into()),
        ] {
            let there = presence_error(presence_status(&error));
            assert_eq!((there.kind(), there.to_string()), (error.kind(), error.to_string()));
        }
        for error in [
            fanfare_consumer::Error::Overloaded,
            fanfare_consumer::Error::TooManyConsumers { most: 4 },
            fanfare_consumer::Error::Unavailable("disk".into()),
        ] {
            let there = cursor_error(cursor_status(&error));
            assert_eq!((there.kind(), there.to_string()), (error.kind(), error.to_string()));
        }
    }

    #[test]
    fn what_never_reached_the_hub_is_unavailable() {
        let failed = || Status::unavailable("connection refused");
        assert!(matches!(log_error(failed()), LogError::Unavailable(_)));
        assert!(matches!(presence_error(failed()), PresenceError::Unavailable(_)));
        assert!(matches!(cursor_error(failed()), fanfare_consumer::Error::Unavailable(_)));
    }
}
