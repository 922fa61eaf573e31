//! What a request is answered when it fails: a problem of RFC 9457.

use std::fmt;
use std::future::{Ready, ready};
use std::time::Duration;

use axum::extract::rejection::PathRejection;
use axum::response::{IntoResponse, Response};
use fanfare_auth::Refusal;
use fanfare_model::{Invalid, Kind};
use fanfare_session::Unrevoked;
use fanfare_session::problem::{CONTENT_TYPE, Problem};
use fanfare_session::quota::Exceeded;
use http::header::{CONTENT_TYPE as CONTENT_TYPE_HEADER, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderValue, StatusCode};

use crate::metrics;

/// A [`Problem`] and the status it has here: HTTP has some that no other transport knows.
#[derive(Debug)]
pub(crate) struct Fault {
    status: StatusCode,
    problem: Box<Problem>,
}

impl Fault {
    fn new(problem: Problem) -> Self {
        let status = StatusCode::from_u16(problem.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        Self { status, problem: Box::new(problem) }
    }

    /// The request is wrong.
    pub(crate) fn invalid(detail: impl fmt::Display) -> Self {
        Self::new(Problem::new(Kind::Invalid, detail))
    }

    /// There is no such thing.
    pub(crate) fn not_found(detail: impl fmt::Display) -> Self {
        Self::new(Problem::new(Kind::NotFound, detail))
    }

    /// Something is larger than a limit.
    pub(crate) fn too_large(detail: impl fmt::Display) -> Self {
        Self::new(Problem::new(Kind::TooLarge, detail))
    }

    /// It took longer than allowed on the server's side.
    pub(crate) fn unavailable(detail: impl fmt::Display) -> Self {
        Self::new(Problem::new(Kind::Unavailable, detail))
    }

    /// With a status that stands for a kind only in HTTP, and the code for it.
    fn with_status(mut self, status: StatusCode, title: &'static str, code: &'static str) -> Self {
        self.status = status;
        self.with("status", status.as_u16()).with("title", title).with_code(code)
    }

    /// The content type is not one that this route takes.
    pub(crate) fn unsupported_media_type(detail: impl fmt::Display) -> Self {
        Self::invalid(detail).with_status(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "Content type not supported",
            "unsupported_media_type",
        )
    }

    /// The body took longer to arrive than allowed.
    pub(crate) fn request_timeout(detail: impl fmt::Display) -> Self {
        Self::new(Problem::new(Kind::Timeout, detail)).with_status(
            StatusCode::REQUEST_TIMEOUT,
            "The request took too long",
            "request_timeout",
        )
    }

    /// With a code that says more than the kind's.
    pub(crate) fn with_code(mut self, code: &'static str) -> Self {
        *self.problem = self.problem.with_code(code);
        self
    }

    /// With another member.
    pub(crate) fn with(mut self, name: &str, value: impl Into<serde_json::Value>) -> Self {
        *self.problem = self.problem.with(name, value);
        self
    }

    /// With the JSON pointer (RFC 6901) of the part of the body that is wrong.
    pub(crate) fn at(self, pointer: &str) -> Self {
        self.with("at", pointer)
    }
}

impl From<Problem> for Fault {
    fn from(problem: Problem) -> Self {
        Self::new(problem)
    }
}

impl From<Refusal> for Fault {
    fn from(refusal: Refusal) -> Self {
        Self::new(refusal.into())
    }
}

impl From<Invalid> for Fault {
    fn from(invalid: Invalid) -> Self {
        Self::new(invalid.into())
    }
}

impl From<fanfare_bus::Error> for Fault {
    fn from(error: fanfare_bus::Error) -> Self {
        if error.kind() == Kind::Unavailable {
            let source = std::error::Error::source(&error).map(ToString::to_string);
            tracing::warn!(error = %error, source, "the log could not be asked");
        }
        let code = error.code();
        Self::new(error.into()).with_code(code)
    }
}

impl From<fanfare_presence::Error> for Fault {
    fn from(error: fanfare_presence::Error) -> Self {
        if error.kind() == Kind::Unavailable {
            let source = std::error::Error::source(&error).map(ToString::to_string);
            tracing::warn!(error = %error, source, "presence could not be asked");
        }
        Self::new(Problem::new(error.kind(), error))
    }
}

impl From<fanfare_consumer::Error> for Fault {
    fn from(error: fanfare_consumer::Error) -> Self {
        if error.kind() == Kind::Unavailable {
            let source = std::error::Error::source(&error).map(ToString::to_string);
            tracing::warn!(error = %error, source, "consumers could not be asked");
        }
        Self::new(Problem::new(error.kind(), error))
    }
}

impl From<Unrevoked> for Fault {
    fn from(error: Unrevoked) -> Self {
        match error {
            Unrevoked::Auth(error) => error.into(),
            error => {
                let source = std::error::Error::source(&error).map(ToString::to_string);
                tracing::warn!(error = %error, source, "a revocation could not be kept");
                Self::new(Problem::new(error.kind(), error))
            }
        }
    }
}

impl From<Exceeded> for Fault {
    fn from(exceeded: Exceeded) -> Self {
        Self::new(exceeded.into())
    }
}

impl From<PathRejection> for Fault {
    fn from(_: PathRejection) -> Self {
        // All that can be wrong with a segment that is text.
        Self::invalid("the path is not percent-encoded UTF-8")
    }
}

impl IntoResponse for Fault {
    fn into_response(self) -> Response {
        let Self { status, mut problem } = self;
        if problem.kind().retryable() && problem.retry_after_seconds().is_none() {
            // What to wait is not known; a second is more than a passing shortage takes.
            *problem = problem.with_retry_after(Duration::from_secs(1));
        }
        let mut response = (status, problem.to_json()).into_response();
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE_HEADER, HeaderValue::from_static(CONTENT_TYPE));
        if let Some(challenge) = problem.challenge().and_then(|text| HeaderValue::try_from(text).ok()) {
            headers.insert(WWW_AUTHENTICATE, challenge);
        }
        if let Some(seconds) = problem.retry_after_seconds() {
            headers.insert(RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}

/// Answers paths that nobody serves.
pub(crate) fn no_such_path() -> Ready<Fault> {
    metrics::answered(metrics::UNMATCHED, StatusCode::NOT_FOUND, Duration::ZERO);
    ready(Fault::not_found("nothing is served at this path; /openapi.json lists what is").with_code("no_such_path"))
}

/// Answers methods that a path does not have; the router adds `Allow`.
pub(crate) fn no_such_method() -> Ready<Fault> {
    metrics::answered(metrics::UNMATCHED, StatusCode::METHOD_NOT_ALLOWED, Duration::ZERO);
    let fault = Fault::invalid("this path does not have this method; the header `Allow` lists those it has");
    ready(fault.with_status(StatusCode::METHOD_NOT_ALLOWED, "Method not allowed", "method_not_allowed"))
}
