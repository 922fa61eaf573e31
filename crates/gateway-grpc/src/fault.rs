//! Why a call fails, as its client is told: a status with details.

use std::collections::HashMap;
use std::fmt;
use std::time::Duration;

use fanfare_auth::Refusal;
use fanfare_model::{Invalid, Kind, Topic};
use fanfare_proto::v1;
use fanfare_session::access::Denied;
use fanfare_session::{Goodbye, TooMany, Unrevoked, client};
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt as _};

/// The domain of every `ErrorInfo`: its reasons are Fanfare's.
const DOMAIN: &str = "fanfare";
/// What to wait is not always known; a second is more than a passing shortage takes.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// Why a call fails. Its text is for the client's developer, and holds no text of an inner error.
#[derive(Debug, Clone)]
pub(crate) struct Fault {
    kind: Kind,
    code: &'static str,
    message: String,
    retryable: bool,
    retry_after: Option<Duration>,
    /// The field that is wrong, e.g. `items[3].topic`.
    field: Option<String>,
    topic: Option<Topic>,
}

impl Fault {
    pub(crate) fn new(kind: Kind, message: impl fmt::Display) -> Self {
        Self {
            kind,
            code: kind.code(),
            message: message.to_string(),
            retryable: kind.retryable(),
            retry_after: None,
            field: None,
            topic: None,
        }
    }

    /// A field of the request is wrong.
    pub(crate) fn field(field: impl Into<String>, problem: impl fmt::Display) -> Self {
        let field = field.into();
        Self::new(Kind::Invalid, format_args!("`{field}` {problem}")).at(field)
    }

    /// With a code that says more than the kind's.
    pub(crate) fn with_code(mut self, code: &'static str) -> Self {
        self.code = code;
        self
    }

    /// It is about this field of the request.
    pub(crate) fn at(mut self, field: impl Into<String>) -> Self {
        self.field = Some(field.into());
        self
    }

    /// It is about this topic.
    pub(crate) fn of(mut self, topic: &Topic) -> Self {
        self.topic = Some(topic.clone());
        self
    }

    fn retryable(mut self, retryable: bool, after: Option<Duration>) -> Self {
        (self.retryable, self.retry_after) = (retryable, after);
        self
    }

    /// The same within a message of a stream that goes on.
    pub(crate) fn to_error(&self) -> v1::Error {
        v1::Error { code: self.code.to_owned(), message: self.message.clone(), retryable: self.retryable }
    }
}

/// The status of a kind: the one table of this transport.
pub(crate) const fn status_of(kind: Kind) -> Code {
    match kind {
        Kind::Invalid => Code::InvalidArgument,
        Kind::Unauthenticated => Code::Unauthenticated,
        Kind::Denied => Code::PermissionDenied,
        Kind::NotFound => Code::NotFound,
        Kind::Conflict => Code::FailedPrecondition,
        // Not RESOURCE_EXHAUSTED, after which libraries try again by themselves.
        Kind::TooLarge => Code::OutOfRange,
        Kind::Limited => Code::ResourceExhausted,
        Kind::Overloaded | Kind::Unavailable => Code::Unavailable,
        Kind::Timeout => Code::DeadlineExceeded,
        Kind::Internal => Code::Internal,
    }
}

/// The status that a stream ends with.
const fn status_of_goodbye(goodbye: Goodbye) -> Code {
    match goodbye {
        // Come back: what libraries understand by UNAVAILABLE.
        Goodbye::Draining
        | Goodbye::Aged
        | Goodbye::Slow
        | Goodbye::Stalled
        | Goodbye::Silent
        | Goodbye::Overloaded
        | Goodbye::Unavailable
        | Goodbye::Internal => Code::Unavailable,
        Goodbye::Unauthenticated | Goodbye::Expired | Goodbye::Revoked => Code::Unauthenticated,
        Goodbye::Disconnected | Goodbye::Replaced => Code::Aborted,
        Goodbye::BadRequest => Code::InvalidArgument,
        Goodbye::TooLarge => Code::OutOfRange,
        Goodbye::Limited => Code::ResourceExhausted,
    }
}

/// How a stream ends for this reason.
pub(crate) fn farewell(goodbye: Goodbye) -> Status {
    let metadata = HashMap::from([
        ("code".to_owned(), goodbye.code().to_string()),
        ("reconnect".to_owned(), goodbye.reconnect().to_string()),
    ]);
    let details = ErrorDetails::with_error_info(goodbye.reason(), DOMAIN, metadata);
    Status::with_error_details(
        status_of_goodbye(goodbye),
        format!("the session is over: {}", goodbye.reason()),
        details,
    )
}

impl From<Fault> for Status {
    fn from(fault: Fault) -> Self {
        let Fault { kind, code, message, retryable, retry_after, field, topic } = fault;
        let mut details = ErrorDetails::with_error_info(code, DOMAIN, HashMap::new());
        if retryable {
            details.set_retry_info(Some(retry_after.unwrap_or(RETRY_AFTER)));
        }
        if let Some(topic) = topic {
            details.set_resource_info("topic", topic.as_str(), "", &message);
        }
        if let Some(field) = field.filter(|_| matches!(kind, Kind::Invalid | Kind::TooLarge)) {
            details.add_bad_request_violation(field, &message);
        }
        Self::with_error_details(status_of(kind), message, details)
    }
}

impl From<Invalid> for Fault {
    fn from(invalid: Invalid) -> Self {
        Self::new(Kind::Invalid, &invalid).at(invalid.what)
    }
}

impl From<Refusal> for Fault {
    fn from(refusal: Refusal) -> Self {
        Self::new(refusal.kind(), &refusal).with_code(refusal.code())
    }
}

impl From<TooMany> for Fault {
    fn from(limit: TooMany) -> Self {
        Self::new(limit.kind(), limit)
    }
}

impl From<Denied> for Fault {
    fn from(denied: Denied) -> Self {
        Self::new(denied.kind(), &denied).with_code(denied.code()).retryable(denied.retryable(), denied.retry_after())
    }
}

impl From<&client::Error> for Fault {
    fn from(error: &client::Error) -> Self {
        Self::new(error.kind(), error).with_code(error.code()).retryable(error.retryable(), error.retry_after())
    }
}

impl From<fanfare_bus::Error> for Fault {
    fn from(error: fanfare_bus::Error) -> Self {
        if error.kind() == Kind::Unavailable {
            tracing::warn!(error = %error, source = source(&error), "the log could not be asked");
        }
        Self::new(error.kind(), &error).with_code(error.code())
    }
}

impl From<Unrevoked> for Fault {
    fn from(error: Unrevoked) -> Self {
        match error {
            Unrevoked::Auth(error) => error.into(),
            error => {
                tracing::warn!(error = %error, source = source(&error), "a revocation could not be kept");
                Self::new(error.kind(), error)
            }
        }
    }
}

impl From<fanfare_presence::Error> for Fault {
    fn from(error: fanfare_presence::Error) -> Self {
        Self::new(error.kind(), error)
    }
}

impl From<fanfare_consumer::Error> for Fault {
    fn from(error: fanfare_consumer::Error) -> Self {
        if error.kind() == Kind::Unavailable {
            tracing::warn!(error = %error, source = source(&error), "the store of consumers could not be asked");
        }
        Self::new(error.kind(), error)
    }
}

impl From<fanfare_auth::Error> for Fault {
    fn from(error: fanfare_auth::Error) -> Self {
        if matches!(error.kind(), Kind::Internal | Kind::Unavailable) {
            tracing::error!(error = %error, source = source(&error), "credentials could not be managed");
            return Self::new(error.kind(), "it could not be kept; the log of the server says why");
        }
        Self::new(error.kind(), error)
    }
}

fn source(error: &dyn std::error::Error) -> String {
    error.source().map_or_else(String::new, ToString::to_string)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_has_a_status_that_says_whether_to_try_again() {
        for kind in Kind::ALL {
            let status = Status::from(Fault::new(kind, "x"));
            assert_eq!(status.code(), status_of(kind));
            let details = status.get_error_details();
            let info = details.error_info().unwrap();
            assert_eq!((info.reason.as_str(), info.domain.as_str()), (kind.code(), DOMAIN));
            assert_eq!(details.retry_info().is_some(), kind.retryable(), "{kind:?}");
            assert_ne!(status.code(), Code::Unknown);
        }
    }

    #[test]
    fn every_verdict_has_a_status() {
        for goodbye in Goodbye::ALL {
            let status = farewell(goodbye);
            assert_eq!(status.code() == Code::Unavailable, goodbye.reconnect(), "{goodbye:?}");
            let info = status.get_error_details().error_info().unwrap().clone();
            assert_eq!(info.reason, goodbye.reason());
            assert_eq!(info.metadata["code"], goodbye.code().to_string());
        }
    }

    #[test]
    fn the_page_has_the_tables() {
        const PAGE: &str = include_str!("../../../docs/protocol/grpc.md");
        let rows: Vec<Vec<&str>> = PAGE
            .lines()
            .filter_map(|line| line.strip_prefix("| `"))
            .map(|row| row.split('|').map(|cell| cell.trim().trim_matches('`')).collect())
            .collect();
        for kind in Kind::ALL {
            let status = crate::metrics::name(status_of(kind));
            assert!(rows.iter().any(|row| row.starts_with(&[kind.code(), status])), "{kind:?} is {status}");
        }
        for goodbye in Goodbye::ALL {
            let (status, number) = (crate::metrics::name(status_of_goodbye(goodbye)), goodbye.code().to_string());
            assert!(rows.iter().any(|row| row.starts_with(&[goodbye.reason(), status, &number])), "{goodbye:?}");
        }
    }

    #[test]
    fn details_name_the_field_and_the_topic() {
        let topic = Topic::new("orders:42").unwrap();
        let status = Status::from(Fault::field("items[3].topic", "is empty").of(&topic));
        assert_eq!(status.message(), "`items[3].topic` is empty");
        let details = status.get_error_details();
        assert_eq!(details.bad_request().unwrap().field_violations[0].field, "items[3].topic");
        assert_eq!(details.resource_info().unwrap().resource_name, "orders:42");
    }
}
