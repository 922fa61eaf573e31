//! The opening handshake (RFC 6455 section 4.2), as a decision about a request's head.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use fanfare_auth::Refusal;
use fanfare_model::Kind;
use fanfare_session::client::Dialect;
use fanfare_session::problem::{self, Problem};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Response, StatusCode, Version, header, request};
use sha1::{Digest as _, Sha1};

use crate::deflate::Deflate;
use crate::frame::{Agreed, Decoder};
use crate::origin::Origins;
use crate::{Options, dialects};

/// What the server proves that it has understood the handshake with (RFC 6455 section 1.3).
const GUID: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// What a gateway agrees to.
pub(crate) struct Handshake {
    origins: Origins,
    /// Whether compression is agreed on.
    compression: bool,
    /// The name of the cookie that holds a token, if one may.
    cookie: Option<String>,
    plain: dialects::All,
    /// The same, compressing what they write.
    compressing: dialects::All,
}

/// A request that may become a WebSocket.
pub(crate) struct Accepted {
    pub(crate) dialect: Arc<dyn Dialect>,
    pub(crate) deflate: Option<Deflate>,
    /// What the client proposed the dialect by; `None` if it named none.
    subprotocol: Option<HeaderValue>,
    accept: HeaderValue,
    /// Who the client says it is.
    pub(crate) credential: Option<Credential>,
}

/// Who the client says it is, if it has said so with the request.
pub(crate) enum Credential {
    /// In `Authorization: Bearer`.
    Bearer(String),
    /// In a cookie, from a page that may use it.
    Cookie(String),
}

/// A request that may not.
#[derive(Debug)]
pub(crate) struct Rejected {
    problem: Box<Problem>,
    /// What the client needs to know besides.
    header: Option<(HeaderName, &'static str)>,
}

impl From<Problem> for Rejected {
    fn from(problem: Problem) -> Self {
        Self { problem: Box::new(problem), header: None }
    }
}

impl Rejected {
    fn new(kind: Kind, code: &'static str, detail: impl fmt::Display) -> Self {
        Self::from(Problem::new(kind, detail).with_code(code))
    }

    fn invalid(detail: &'static str) -> Self {
        Self::new(Kind::Invalid, Kind::Invalid.code(), detail)
    }

    /// It must be another kind of request: the header says which.
    fn upgrade(code: &'static str, detail: &'static str, name: HeaderName, value: &'static str) -> Self {
        let status = StatusCode::UPGRADE_REQUIRED.as_u16();
        let problem =
            Problem::new(Kind::Invalid, detail).with_code(code).with_status(status, "Another request is needed");
        Self { header: Some((name, value)), ..Self::from(problem) }
    }

    /// The credentials in the `Authorization` header are no good.
    pub(crate) fn credentials(refusal: Refusal) -> Self {
        Self::from(Problem::from(refusal))
    }

    /// There is no room now.
    pub(crate) fn busy(kind: Kind, detail: &'static str) -> Self {
        Self::from(Problem::new(kind, detail).with_retry_after(Duration::from_secs(2)))
    }

    /// The stable code.
    pub(crate) fn code(&self) -> &'static str {
        self.problem.code()
    }

    /// As problem+json (RFC 9457).
    pub(crate) fn response<B: From<Vec<u8>>>(&self) -> Response<B> {
        let mut response = Response::new(B::from(self.problem.to_json()));
        *response.status_mut() = StatusCode::from_u16(self.problem.status()).unwrap_or(StatusCode::BAD_REQUEST);
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(problem::CONTENT_TYPE));
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if let Some(seconds) = self.problem.retry_after_seconds() {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        if let Some(challenge) = self.problem.challenge().and_then(|text| HeaderValue::try_from(text).ok()) {
            headers.insert(header::WWW_AUTHENTICATE, challenge);
        }
        if let Some((name, value)) = &self.header {
            headers.insert(name, HeaderValue::from_static(value));
        }
        response
    }
}

impl Handshake {
    pub(crate) fn new(options: &Options, cookie: Option<String>) -> Self {
        Self {
            origins: Origins::of(&options.allowed_origins),
            cookie,
            compression: options.compression,
            plain: dialects::all(None),
            compressing: dialects::all(Some(options.compression_bytes_min.as_usize())),
        }
    }

    /// Looks at the head of a request.
    pub(crate) fn check(&self, head: &request::Parts) -> Result<Accepted, Rejected> {
        let headers = &head.headers;
        let asks =
            has_token(headers, &header::UPGRADE, "websocket") && has_token(headers, &header::CONNECTION, "upgrade");
        if head.method != Method::GET || head.version != Version::HTTP_11 || !asks {
            return Err(Rejected::upgrade(
                "upgrade_required",
                "this is a WebSocket endpoint: GET over HTTP/1.1 with `Upgrade: websocket`",
                header::UPGRADE,
                "websocket",
            ));
        }
        if only(headers, &header::SEC_WEBSOCKET_VERSION) != Some("13") {
            return Err(Rejected::upgrade(
                "unsupported_version",
                "`Sec-WebSocket-Version` must be 13",
                header::SEC_WEBSOCKET_VERSION,
                "13",
            ));
        }
        let key = only(headers, &header::SEC_WEBSOCKET_KEY)
            .filter(|key| STANDARD.decode(key).is_ok_and(|bytes| bytes.len() == 16))
            .ok_or_else(|| Rejected::invalid("`Sec-WebSocket-Key` must be 16 bytes in base64"))?;
        let host = only(headers, &header::HOST).or_else(|| head.uri.authority().map(http::uri::Authority::as_str));
        if !self.origins.allow(headers, host) {
            return Err(Rejected::new(
                Kind::Denied,
                "origin_not_allowed",
                "pages of this origin may not connect (`ws.allowed_origins`)",
            ));
        }
        let deflate = if self.compression { Deflate::negotiate(headers) } else { None };
        let (dialect, subprotocol) = self.choose_dialect(headers, deflate)?;
        let token = bearer(headers).map_err(|()| {
            Rejected::invalid("`Authorization` must be `Bearer` and a token; other schemes are not taken")
        })?;
        // The header is the more deliberate of the two.
        let credential = token.map(Credential::Bearer).or_else(|| {
            let name = self.cookie.as_deref().filter(|_| self.origins.vouch_for(headers, host))?;
            cookie(headers, name).map(Credential::Cookie)
        });
        Ok(Accepted { dialect, deflate, subprotocol, accept: accept(key), credential })
    }

    /// The first dialect that the client proposes and we speak; our first one if it proposes none.
    fn choose_dialect(
        &self,
        headers: &HeaderMap,
        deflate: Option<Deflate>,
    ) -> Result<(Arc<dyn Dialect>, Option<HeaderValue>), Rejected> {
        let compresses = deflate.is_some_and(Deflate::takes_ours);
        let dialects = if compresses { &self.compressing } else { &self.plain };
        let mut proposed = tokens(headers, &header::SEC_WEBSOCKET_PROTOCOL).peekable();
        if proposed.peek().is_none() {
            return Ok((Arc::clone(&dialects[0]), None));
        }
        proposed.find_map(|name| dialects.iter().find(|dialect| dialect.name() == name)).map_or_else(
            || {
                let names = dialects.each_ref().map(|dialect| dialect.name()).join(", ");
                Err(Rejected::new(
                    Kind::Invalid,
                    "unknown_subprotocol",
                    format_args!("none of the proposed subprotocols is spoken here; these are: {names}"),
                ))
            },
            |dialect| Ok((Arc::clone(dialect), Some(HeaderValue::from_static(dialect.name())))),
        )
    }
}

impl Accepted {
    /// What reads what the client sends.
    pub(crate) fn decoder(&self) -> Decoder {
        Decoder::new(Agreed { deflate: self.deflate.is_some(), binary: self.dialect.binary() })
    }

    /// The answer that makes the connection a WebSocket.
    pub(crate) fn response<B: Default>(&self) -> Response<B> {
        let mut response = Response::new(B::default());
        *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
        let headers = response.headers_mut();
        headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
        headers.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
        headers.insert(header::SEC_WEBSOCKET_ACCEPT, self.accept.clone());
        if let Some(name) = &self.subprotocol {
            headers.insert(header::SEC_WEBSOCKET_PROTOCOL, name.clone());
        }
        if let Some(deflate) = self.deflate {
            headers.insert(header::SEC_WEBSOCKET_EXTENSIONS, deflate.answer());
        }
        response
    }
}

fn bearer(headers: &HeaderMap) -> Result<Option<String>, ()> {
    if !headers.contains_key(header::AUTHORIZATION) {
        return Ok(None);
    }
    let (scheme, token) = only(headers, &header::AUTHORIZATION).and_then(|value| value.split_once(' ')).ok_or(())?;
    if !scheme.eq_ignore_ascii_case("bearer") {
        return Err(());
    }
    Ok(Some(token.trim().to_owned()))
}

/// The value of a cookie that there is once (RFC 6265 section 4.2).
fn cookie(headers: &HeaderMap, name: &str) -> Option<String> {
    let lines = headers.get_all(header::COOKIE).iter().filter_map(|line| line.to_str().ok());
    let pairs = lines.flat_map(|line| line.split(';')).filter_map(|pair| pair.trim().split_once('='));
    let mut values = pairs.filter(|(given, _)| *given == name).map(|(_, value)| value.trim_matches('"'));
    let (Some(value), None) = (values.next(), values.next()) else { return None };
    (!value.is_empty()).then(|| value.to_owned())
}

fn accept(key: &str) -> HeaderValue {
    let hash = Sha1::new().chain_update(key).chain_update(GUID).finalize();
    HeaderValue::try_from(STANDARD.encode(hash)).expect("base64 is visible ASCII")
}

/// The value of a header that may come once only.
fn only<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    let mut values = headers.get_all(name).iter();
    let (Some(value), None) = (values.next(), values.next()) else { return None };
    value.to_str().ok()
}

/// The parts of a list header, over all its lines.
fn tokens<'a>(headers: &'a HeaderMap, name: &HeaderName) -> impl Iterator<Item = &'a str> {
    let values = headers.get_all(name).iter();
    values
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(str::trim)
        .filter(|t| !t.is_empty())
}

fn has_token(headers: &HeaderMap, name: &HeaderName, token: &str) -> bool {
    tokens(headers, name).any(|given| given.eq_ignore_ascii_case(token))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A good handshake, changed: a header with no value is taken out, an existing one replaced.
    fn head(changes: &[(&str, &str)]) -> request::Parts {
        let mut request = http::Request::get("/v1/ws").body(()).unwrap();
        let good = [
            ("host", "push.example"),
            ("upgrade", "websocket"),
            ("connection", "keep-alive, Upgrade"),
            ("sec-websocket-version", "13"),
            ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
        ];
        for (name, value) in good.iter().chain(changes) {
            let name = HeaderName::try_from(*name).unwrap();
            match *value {
                "" => drop(request.headers_mut().remove(name)),
                value => drop(request.headers_mut().insert(name, value.parse().unwrap())),
            }
        }
        request.into_parts().0
    }

    fn check_with(changes: &[(&str, &str)]) -> Result<Accepted, Rejected> {
        Handshake::new(&Options::default(), Some("token".to_owned())).check(&head(changes))
    }

    #[test]
    fn the_example_of_the_rfc() {
        let response: Response<Vec<u8>> = check_with(&[]).unwrap_or_else(|r| panic!("{r:?}")).response();
        assert_eq!(response.status(), 101);
        assert_eq!(response.headers()["sec-websocket-accept"], "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
        assert!(!response.headers().contains_key("sec-websocket-protocol"));
    }

    #[test]
    fn a_subprotocol_is_chosen_from_what_is_proposed() {
        let accepted = check_with(&[("sec-websocket-protocol", "graphql-ws, fanfare.v1.json")]);
        let response: Response<Vec<u8>> = accepted.unwrap_or_else(|r| panic!("{r:?}")).response();
        assert_eq!(response.headers()["sec-websocket-protocol"], "fanfare.v1.json");
    }

    #[test]
    fn compression_is_agreed_on_if_both_sides_want_it() {
        let offer = [("sec-websocket-extensions", "permessage-deflate; client_max_window_bits")];
        let extensions = |options: &Options| {
            let accepted = Handshake::new(options, None).check(&head(&offer)).unwrap_or_else(|r| panic!("{r:?}"));
            let response: Response<Vec<u8>> = accepted.response();
            response.headers().get("sec-websocket-extensions").map(|value| value.to_str().unwrap().to_owned())
        };
        let agreed = "permessage-deflate; server_no_context_takeover; client_no_context_takeover";
        assert_eq!(extensions(&Options::default()).as_deref(), Some(agreed));
        assert_eq!(extensions(&Options { compression: false, ..Options::default() }), None);
    }

    #[test]
    fn refusals_say_what_is_missing() {
        for (changes, status, code) in [
            (&[("upgrade", "")][..], 426, "upgrade_required"),
            (&[("connection", "close")], 426, "upgrade_required"),
            (&[("sec-websocket-version", "8")], 426, "unsupported_version"),
            (&[("sec-websocket-key", "")], 400, "invalid_request"),
            (&[("sec-websocket-key", "c2hvcnQ=")], 400, "invalid_request"),
            (&[("sec-websocket-protocol", "graphql-ws")], 400, "unknown_subprotocol"),
            (&[("authorization", "Basic eDp5")], 400, "invalid_request"),
            (&[("origin", "https://evil.example")], 403, "origin_not_allowed"),
        ] {
            let Err(rejected) = check_with(changes) else { panic!("{changes:?} was accepted") };
            assert_eq!((rejected.problem.status(), rejected.code()), (status, code), "{changes:?}");
        }
        let Err(rejected) = check_with(&[("sec-websocket-version", "8")]) else { panic!("accepted") };
        let response: Response<Vec<u8>> = rejected.response();
        assert_eq!(response.headers()["sec-websocket-version"], "13");
        assert_eq!(response.headers()["content-type"], "application/problem+json");
    }

    #[test]
    fn a_token_may_come_in_the_head() {
        let accepted = check_with(&[("authorization", "bearer abc.def")]).unwrap_or_else(|r| panic!("{r:?}"));
        assert!(matches!(accepted.credential, Some(Credential::Bearer(token)) if token == "abc.def"));
    }

    #[test]
    fn a_token_may_come_in_the_cookie_that_is_named_from_a_page_that_may() {
        let from_cookie = |origin: &str, line: &str| {
            let accepted = check_with(&[("origin", origin), ("cookie", line)]).unwrap_or_else(|r| panic!("{r:?}"));
            match accepted.credential {
                Some(Credential::Cookie(token)) => Some(token),
                Some(Credential::Bearer(token)) => panic!("{token}"),
                None => None,
            }
        };
        let ours = "https://push.example";
        assert_eq!(from_cookie(ours, "a=b; token=abc.def; c=d").as_deref(), Some("abc.def"));
        for (origin, line) in [
            (ours, "a=b"),
            (ours, "token="),
            (ours, "xtoken=abc.def"),
            // Somebody has set another for a wider path or domain, and there is no telling which is the server's.
            (ours, "token=abc.def; token=x"),
            ("", "token=abc.def"),
        ] {
            assert_eq!(from_cookie(origin, line), None, "{origin} {line}");
        }
        let both = [("origin", ours), ("cookie", "token=abc"), ("authorization", "Bearer def")];
        let accepted = check_with(&both).unwrap_or_else(|r| panic!("{r:?}"));
        assert!(matches!(accepted.credential, Some(Credential::Bearer(token)) if token == "def"));
    }
}
