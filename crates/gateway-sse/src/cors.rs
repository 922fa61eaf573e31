//! Which web pages may read the answers.

use http::header::{
    ACCESS_CONTROL_ALLOW_CREDENTIALS, ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS,
    ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE, ORIGIN, VARY,
};
use http::{HeaderMap, HeaderValue};

/// What a page may send besides what browsers always let through.
const ALLOWED_HEADERS: HeaderValue = HeaderValue::from_static("authorization,last-event-id,content-type,cache-control");
/// What a page may read besides what browsers always show.
const EXPOSED_HEADERS: HeaderValue =
    HeaderValue::from_static("fanfare-session,fanfare-stream-state,last-event-id,retry-after,www-authenticate");
/// How long a browser may remember a preflight, in seconds: the longest that Chromium accepts.
const MAX_AGE: HeaderValue = HeaderValue::from_static("7200");

/// What is granted to the origin of a request.
pub(crate) enum Cors {
    /// Nothing: there is no origin, or it is not a listed one.
    None,
    /// This origin was listed.
    Listed(HeaderValue),
    /// Every origin may, without credentials.
    Any,
}

impl Cors {
    pub(crate) fn of(headers: &HeaderMap, allowed: &[String]) -> Self {
        let Some(origin) = headers.get(ORIGIN) else { return Self::None };
        if allowed.iter().any(|one| one != "*" && one.as_bytes() == origin.as_bytes()) {
            return Self::Listed(origin.clone());
        }
        if allowed.iter().any(|one| one == "*") { Self::Any } else { Self::None }
    }

    /// Adds what belongs to every answer. The answer depends on `Origin` even if there was none.
    pub(crate) fn add_to(&self, headers: &mut HeaderMap) {
        headers.insert(VARY, HeaderValue::from_static("Origin, Accept"));
        match self {
            Self::None => return,
            Self::Listed(origin) => {
                headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
                headers.insert(ACCESS_CONTROL_ALLOW_CREDENTIALS, HeaderValue::from_static("true"));
            }
            Self::Any => {
                headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
            }
        }
        headers.insert(ACCESS_CONTROL_EXPOSE_HEADERS, EXPOSED_HEADERS);
    }

    /// Adds what belongs to the answer to a preflight only.
    pub(crate) fn add_to_preflight(&self, headers: &mut HeaderMap, methods: HeaderValue) {
        if !matches!(self, Self::None) {
            headers.insert(ACCESS_CONTROL_ALLOW_METHODS, methods);
            headers.insert(ACCESS_CONTROL_ALLOW_HEADERS, ALLOWED_HEADERS);
            headers.insert(ACCESS_CONTROL_MAX_AGE, MAX_AGE);
        }
    }
}
