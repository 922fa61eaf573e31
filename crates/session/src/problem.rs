//! Errors as HTTP shows them: RFC 9457 problem details, the same at every HTTP door.
//!
//! ```json
//! {"type":"urn:fanfare:error:permission_denied","title":"Not allowed","status":403,
//!  "detail":"this credential does not allow `subscribe` on the topic `a`","code":"permission_denied"}
//! ```
//!
//! `code` is what a program may match on; `detail` is for the person who reads the log. Further members (such as
//! the `topic` that was refused) stand beside them.

use std::fmt;
use std::time::Duration;

use fanfare_auth::{Reason, Refusal};
use fanfare_model::{Invalid, Kind};
use serde_json::{Map, Value};

use crate::TooMany;

/// The media type of a problem's body.
pub const CONTENT_TYPE: &str = "application/problem+json";

/// An error for an HTTP client.
#[derive(Debug, Clone, PartialEq)]
pub struct Problem {
    kind: Kind,
    status: u16,
    title: &'static str,
    code: &'static str,
    detail: String,
    members: Map<String, Value>,
    retry_after: Option<Duration>,
    /// Refused only because no credential was shown: the challenge then names no error (RFC 6750 section 3.1).
    bare_challenge: bool,
}

impl Problem {
    /// A problem of this kind, with the kind's own code. `detail` is a sentence for the client's developer; it
    /// must not hold the text of an inner error.
    pub fn new(kind: Kind, detail: impl fmt::Display) -> Self {
        Self {
            kind,
            status: kind.http_status(),
            title: title(kind),
            code: kind.code(),
            detail: detail.to_string(),
            members: Map::new(),
            retry_after: None,
            bare_challenge: false,
        }
    }

    /// With a code that says more than its kind's.
    #[must_use]
    pub fn with_code(mut self, code: &'static str) -> Self {
        self.code = code;
        self
    }

    /// With a status that stands for its kind only in HTTP (405, 406, 408, 415), and the title that belongs to it.
    #[must_use]
    pub fn with_status(mut self, status: u16, title: &'static str) -> Self {
        (self.status, self.title) = (status, title);
        self
    }

    /// With one more member, e.g. the topic that was refused or the index of the bad item.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.members.insert(name.to_owned(), value.into());
        self
    }

    /// With the time after which it may be tried again, for the header `Retry-After` and the member
    /// `retry_after_ms`.
    #[must_use]
    pub fn with_retry_after(mut self, after: Duration) -> Self {
        self.retry_after = Some(after);
        self
    }

    /// What the caller can do.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// The stable code.
    pub fn code(&self) -> &'static str {
        self.code
    }

    /// The sentence for the developer.
    pub fn detail(&self) -> &str {
        &self.detail
    }

    /// The HTTP status.
    pub fn status(&self) -> u16 {
        self.status
    }

    /// The value of `Retry-After`, in whole seconds rounded up, if it is known when to try again.
    pub fn retry_after_seconds(&self) -> Option<u64> {
        self.retry_after.map(|after| after.as_secs() + u64::from(after.subsec_nanos() > 0))
    }

    /// The value of `WWW-Authenticate` (RFC 6750 section 3) for the statuses that need one, 401 and 403.
    pub fn challenge(&self) -> Option<String> {
        let error = match self.kind {
            Kind::Unauthenticated if self.bare_challenge => return Some("Bearer realm=\"fanfare\"".to_owned()),
            Kind::Unauthenticated => "invalid_token",
            Kind::Denied => "insufficient_scope",
            _ => return None,
        };
        // What may stand in a quoted `error_description`: visible ASCII and space without `"` and `\`.
        let description: String = self
            .detail
            .chars()
            .map(|c| match c {
                '"' => '\'',
                ' '..='~' if c != '\\' => c,
                _ => '?',
            })
            .collect();
        Some(format!("Bearer realm=\"fanfare\", error=\"{error}\", error_description=\"{description}\""))
    }

    /// The body.
    pub fn to_json(&self) -> Vec<u8> {
        let mut body = Map::new();
        body.insert("type".to_owned(), format!("urn:fanfare:error:{}", self.code).into());
        body.insert("title".to_owned(), self.title.into());
        body.insert("status".to_owned(), self.status().into());
        body.insert("detail".to_owned(), self.detail.as_str().into());
        body.insert("code".to_owned(), self.code.into());
        if let Some(after) = self.retry_after {
            body.insert("retry_after_ms".to_owned(), u64::try_from(after.as_millis()).unwrap_or(u64::MAX).into());
        }
        body.extend(self.members.iter().map(|(name, value)| (name.clone(), value.clone())));
        serde_json::to_vec(&body).expect("a map of JSON values is JSON")
    }
}

/// The same for every problem of a kind.
const fn title(kind: Kind) -> &'static str {
    match kind {
        Kind::Invalid => "The request is wrong",
        Kind::Unauthenticated => "No valid credentials",
        Kind::Denied => "Not allowed",
        Kind::NotFound => "Not found",
        Kind::Conflict => "In conflict with what is there",
        Kind::TooLarge => "Too large",
        Kind::Limited => "Limit reached",
        Kind::Overloaded => "No room right now",
        Kind::Unavailable => "Not available right now",
        Kind::Timeout => "It took too long",
        Kind::Internal => "Internal error",
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.code, self.detail)
    }
}

impl From<Refusal> for Problem {
    fn from(refusal: Refusal) -> Self {
        let bare_challenge = refusal.reason() == Reason::MissingCredential;
        Self { bare_challenge, ..Self::new(refusal.kind(), &refusal).with_code(refusal.code()) }
    }
}

impl From<Invalid> for Problem {
    fn from(invalid: Invalid) -> Self {
        Self::new(Kind::Invalid, invalid)
    }
}

impl From<fanfare_bus::Error> for Problem {
    fn from(error: fanfare_bus::Error) -> Self {
        Self::new(error.kind(), error)
    }
}

impl From<TooMany> for Problem {
    fn from(limit: TooMany) -> Self {
        Self::new(limit.kind(), limit)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_has_the_members_of_rfc_9457_and_the_code() {
        let problem = Problem::from(Invalid::new("topic", "is empty"))
            .with("topic", "a")
            .with_retry_after(Duration::from_millis(1500));
        let body: Value = serde_json::from_slice(&problem.to_json()).unwrap();
        assert_eq!(
            body,
            serde_json::json!({
                "type": "urn:fanfare:error:invalid_request", "title": "The request is wrong", "status": 400,
                "detail": "topic is empty", "code": "invalid_request", "retry_after_ms": 1500, "topic": "a",
            })
        );
        assert_eq!(problem.retry_after_seconds(), Some(2));
        assert_eq!(problem.challenge(), None);
    }

    #[test]
    fn a_challenge_is_a_valid_header_whatever_the_detail() {
        let denied = Problem::new(Kind::Denied, "no \"subscribe\" on\r\n `ä\\`");
        assert_eq!(
            denied.challenge().as_deref(),
            Some(
                "Bearer realm=\"fanfare\", error=\"insufficient_scope\", error_description=\"no 'subscribe' on?? `??`\""
            )
        );
        for kind in Kind::ALL {
            let problem = Problem::new(kind, "x");
            assert_eq!(problem.challenge().is_some(), matches!(problem.status(), 401 | 403), "{kind:?}");
        }
    }
}
