//! Tokens made by hand, so that each can be wrong in one way that no honest issuer would make.

use std::sync::Arc;

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use fanfare_auth::{Audiences, Auth, Issuer, KeySource, Options, Secret};
use fanfare_model::{ManualClock, Tenant, Timestamp};
use serde_json::{Value, json};

/// The secret of the issuer `app`.
pub(crate) const SECRET: &str = "3b7e151628aed2a6abf7158809cf4f3c762e7160";
/// The second key of `app`, of the kid `new`.
pub(crate) const SECRET_NEW: &str = "a8f5f167f44f4964e6c998dee827110c00112233";
/// The secret of the issuer `other`.
pub(crate) const SECRET_OTHER: &str = "0cc175b9c0f1b6a831c399e269772661deadbeef";
/// The time of the clock, in seconds.
pub(crate) const NOW: i64 = 1_790_000_000;

pub(crate) fn secret(text: &str) -> KeySource {
    KeySource { secret: Some(Secret::new(text)), ..KeySource::default() }
}

/// Two issuers of two tenants; `app` has two keys.
pub(crate) fn options() -> Options {
    let app = Issuer {
        tenant: Tenant::new("acme").unwrap(),
        keys: vec![secret(SECRET), KeySource { kid: Some("new".to_owned()), ..secret(SECRET_NEW) }],
        ..Issuer::default()
    };
    let other = Issuer {
        iss: Some("https://other.example".to_owned()),
        keys: vec![secret(SECRET_OTHER)],
        audiences: Audiences { client: "live".to_owned(), server: "live-server".to_owned() },
        types: vec!["push+jwt".to_owned()],
        ..Issuer::default()
    };
    Options { issuers: [("app".to_owned(), app), ("other".to_owned(), other)].into(), ..Options::default() }
}

pub(crate) fn clock() -> Arc<ManualClock> {
    Arc::new(ManualClock::new(Timestamp::from_seconds(NOW)))
}

pub(crate) fn auth(options: Options) -> Auth {
    Auth::new(options, clock()).unwrap()
}

pub(crate) fn header() -> Value {
    json!({"alg": "HS256", "typ": "JWT"})
}

/// Claims of `app` that are good at the client door.
pub(crate) fn claims() -> Value {
    json!({"iss": "app", "aud": "fanfare", "sub": "alice", "iat": NOW - 10, "exp": NOW + 600, "jti": "token-1",
           "topics": ["chat:*"]})
}

/// `value` with the members of `changes`; a member that is `null` there is taken away.
pub(crate) fn with(mut value: Value, changes: Value) -> Value {
    let Value::Object(changes) = changes else { panic!("not an object") };
    for (name, change) in changes {
        match change {
            Value::Null => drop(value.as_object_mut().unwrap().remove(&name)),
            change => value[name] = change,
        }
    }
    value
}

pub(crate) fn encode(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// A token with these texts as its header and payload, rightly signed with HMAC-SHA-256.
pub(crate) fn sign_text(header: &str, payload: &str, secret: &[u8]) -> String {
    let signed = format!("{}.{}", encode(header), encode(payload));
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret);
    format!("{signed}.{}", encode(hmac::sign(&key, signed.as_bytes())))
}

pub(crate) fn sign(header: &Value, payload: &Value) -> String {
    sign_text(&header.to_string(), &payload.to_string(), SECRET.as_bytes())
}

/// The good claims with these changes.
pub(crate) fn claiming(changes: Value) -> String {
    sign(&header(), &with(claims(), changes))
}
