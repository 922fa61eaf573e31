//! Credentials. One line is shown as it is, and nothing that our issuer did not sign opens a door. Several lines are
//! a header and a payload, which are signed first: what then opens a door says so in its claims.
#![no_main]

use std::sync::{Arc, LazyLock};

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use fanfare_auth::{Action, ApiKey, Auth, Door, Issuer, KeyHash, KeySource, Options, Principal, Secret};
use fanfare_model::{ManualClock, Tenant, Timestamp, Topic};
use libfuzzer_sys::fuzz_target;
use serde_json::Value;

/// The seeds are signed with it as well (`fuzz/seeds.py`).
const SECRET: &str = "the secret of the fuzz target, 32 bytes and more";
/// It stands still, so that an input means the same every day: 2026-11-21T10:00:00Z.
const NOW: i64 = 1_795_255_200;
/// The default of `auth.issuers.*.leeway`.
const LEEWAY: i64 = 30;
/// The default of `auth.issuers.*.max_lifetime`.
const LIFETIME_MAX: i64 = 24 * 60 * 60;

static KEY: LazyLock<hmac::Key> = LazyLock::new(|| hmac::Key::new(hmac::HMAC_SHA256, SECRET.as_bytes()));

static AUTH: LazyLock<Auth> = LazyLock::new(|| {
    let secret = Some(Secret::new(SECRET));
    let issuer = Issuer { keys: vec![KeySource { secret, ..KeySource::default() }], ..Issuer::default() };
    let api_key = ApiKey {
        id: "fuzz".to_owned(),
        hash: KeyHash::of("a secret that stands in no seed"),
        name: None,
        tenant: Tenant::default(),
        grants: Vec::new(),
        doors: Door::ALL.to_vec(),
        created_at: None,
        expires_at: None,
    };
    let options =
        Options { issuers: [("fuzz".to_owned(), issuer)].into(), api_keys: vec![api_key], ..Options::default() };
    Auth::new(options, Arc::new(ManualClock::new(Timestamp::from_seconds(NOW)))).expect("a good configuration")
});

fuzz_target!(|text: &str| match text.split_once('\n') {
    None => {
        for door in Door::ALL {
            assert!(AUTH.authenticate(door, text).is_err(), "let in at {door:?}: {text}");
        }
    }
    Some((header, payload)) => {
        let token = sign(header, payload);
        for door in Door::ALL {
            if let Ok(principal) = AUTH.authenticate(door, &token) {
                check_entry(door, header, payload, &principal);
            }
        }
    }
});

fn sign(header: &str, payload: &str) -> String {
    let signed = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(payload));
    let signature = URL_SAFE_NO_PAD.encode(hmac::sign(&KEY, signed.as_bytes()));
    format!("{signed}.{signature}")
}

/// The rules for tokens once more, as plainly as can be.
fn check_entry(door: Door, header: &str, payload: &str, principal: &Principal) {
    let read = |text: &str| serde_json::from_str::<Value>(text).expect("let in without being JSON");
    let (header, claims) = (read(header), read(payload));
    assert_eq!(header["alg"], "HS256");
    assert!(header.get("crit").is_none() && header.get("kid").is_none(), "{header}");

    assert_eq!(claims["iss"], "fuzz");
    let audience = match door {
        Door::Client => "fanfare",
        Door::Server => "fanfare-server",
    };
    let named = match &claims["aud"] {
        Value::Array(audiences) => audiences.iter().any(|one| one == audience),
        one => one == audience,
    };
    assert!(named, "not for {door:?}: {}", claims["aud"]);

    // -0 is 0, and of a kind of its own to `serde_json`.
    let whole = |date: &Value| date.as_i64().or_else(|| (date.as_f64() == Some(0.0)).then_some(0));
    let seconds = |claim: &str| claims.get(claim).map(|date| whole(date).expect("a date is a whole number"));
    let expiry = seconds("exp").expect("a token ends");
    let issued = seconds("iat");
    assert!(expiry + LEEWAY > NOW, "has ended");
    assert!(seconds("nbf").is_none_or(|start| start <= NOW + LEEWAY), "has not begun");
    assert!(issued.is_none_or(|issued| issued <= NOW + LEEWAY && issued < expiry), "is of the future");
    assert!(expiry <= issued.unwrap_or(NOW + LEEWAY) + LIFETIME_MAX, "lives too long");

    assert_eq!(principal.door(), door);
    assert_eq!(principal.expires_at, Some(Timestamp::from_seconds(expiry)));
    assert_eq!(principal.user.as_ref().map(|user| user.as_str()), claims.get("sub").and_then(Value::as_str));
    if claims.get("topics").is_none() && claims["fanfare"].get("grants").is_none() {
        assert!(principal.grants().is_empty(), "grants out of nothing");
    }
    // A kind of topic that no claim spells out is open to nobody, however the claims are written.
    if !payload.contains("vault") && !payload.contains(['*', '\\']) {
        let vault = Topic::new("vault:7").expect("a good topic");
        assert!(!Action::ALL.iter().any(|action| principal.may(*action, &vault)), "a grant of what is not named");
    }
}
