//! Keys that issuers publish: fetched, rotated, gone; and nobody can make this server fetch what and when they like.

use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::hmac;
use fanfare_auth::{Auth, Door, Issuer, Jwks, Options, Principal, Reason, Refusal, TicketRequest};
use fanfare_model::{ByteSize, Clock as _, Kind, ManualClock, SessionId, Tenant};
use serde_json::{Value, json};

use crate::forge::{SECRET, clock, encode, secret, with};
use crate::idp::{Answer, Provider, SigningKey, set};

struct Server {
    auth: Auth,
    clock: Arc<ManualClock>,
}

fn issuer(url: String) -> Issuer {
    Issuer { jwks: Some(Jwks { url, ..Jwks::default() }), ..Issuer::default() }
}

impl Server {
    /// A server with the issuer `app` of `provider`.
    fn of(provider: &Provider) -> Self {
        Self::with(provider, [("app".to_owned(), issuer(provider.url()))].into())
    }

    fn with(provider: &Provider, issuers: std::collections::BTreeMap<String, Issuer>) -> Self {
        let clock = clock();
        let options = Options { issuers, ..Options::default() };
        let auth = Auth::new(options, Arc::<ManualClock>::clone(&clock) as Arc<_>).unwrap();
        auth.start(&provider.life);
        Self { auth, clock }
    }

    /// Claims that are good now.
    fn claims(&self) -> Value {
        let now = self.clock.now().as_seconds();
        json!({"iss": "app", "aud": ["fanfare", "fanfare-server"], "sub": "alice", "iat": now, "exp": now + 600})
    }

    async fn admit(&self, key: &SigningKey) -> Result<Principal, Refusal> {
        self.auth.admit(Door::Client, &key.sign(&self.claims())).await
    }

    async fn reason(&self, key: &SigningKey) -> Option<Reason> {
        self.admit(key).await.err().map(|refusal| refusal.reason())
    }

    /// Lets so much time pass that unknown keys may be asked for again.
    fn later(&self) {
        self.clock.advance(Duration::from_secs(30));
    }
}

#[tokio::test]
async fn every_type_of_key_verifies_and_no_other_does() {
    let keys = [SigningKey::rsa("r"), SigningKey::p256("p"), SigningKey::p384("q"), SigningKey::ed25519("e")];
    let provider = Provider::start(Answer::Keys(set(&keys.each_ref()))).await;
    let server = Server::of(&provider);
    for key in &keys {
        assert_eq!(server.reason(key).await, None, "{}", key.algorithm());
        let without_kid = key.sign_as(&json!({"alg": key.algorithm()}), &server.claims());
        server.auth.admit(Door::Client, &without_kid).await.unwrap();
    }
    // Another key of the same name.
    assert_eq!(server.reason(&SigningKey::ed25519("e")).await, Some(Reason::BadSignature));
    assert_eq!(server.reason(&SigningKey::ed25519("r")).await, Some(Reason::UnsupportedAlgorithm));
    assert_eq!(provider.asked(), 1);
}

#[tokio::test]
async fn a_public_key_is_no_secret() {
    let key = SigningKey::ed25519("e");
    let provider = Provider::start(Answer::Keys(set(&[&key]))).await;
    let server = Server::with(
        &provider,
        [("app".to_owned(), Issuer { keys: vec![secret(SECRET)], ..issuer(provider.url()) })].into(),
    );
    server.admit(&key).await.unwrap();
    let x = key.jwk()["x"].as_str().unwrap().to_owned();
    for (header, secret) in [
        (json!({"alg": "HS256", "kid": "e"}), x.as_bytes()),
        (json!({"alg": "HS256"}), x.as_bytes()),
        (json!({"alg": "none", "kid": "e"}), b""),
    ] {
        let signed = format!("{}.{}", encode(header.to_string()), encode(server.claims().to_string()));
        let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, secret), signed.as_bytes());
        let refusal = server.auth.admit(Door::Client, &format!("{signed}.{}", encode(tag))).await.unwrap_err();
        assert!(matches!(refusal.reason(), Reason::UnsupportedAlgorithm | Reason::BadSignature), "{header}");
    }
}

#[tokio::test]
async fn who_comes_before_the_keys_waits_for_them() {
    let key = SigningKey::ed25519("e");
    let provider = Provider::start_with(Answer::Keys(set(&[&key])), 0).await;
    let server = Server::of(&provider);
    let refusal = server.auth.authenticate(Door::Client, &key.sign(&server.claims())).unwrap_err();
    assert_eq!((refusal.reason(), refusal.kind()), (Reason::KeysUnavailable, Kind::Unavailable));
    let (one, other, ()) = tokio::join!(server.admit(&key), server.admit(&key), async {
        provider.until_asked(1).await;
        provider.let_one_through();
    });
    assert!(one.is_ok() && other.is_ok());
    assert_eq!(provider.asked(), 1);
    // Now who cannot wait comes in as well.
    server.auth.authenticate(Door::Client, &key.sign(&server.claims())).unwrap();
}

#[tokio::test]
async fn keys_are_rotated_without_a_restart() {
    let (old, new) = (SigningKey::ed25519("old"), SigningKey::ed25519("new"));
    let provider = Provider::start(Answer::Keys(set(&[&old]))).await;
    let server = Server::of(&provider);
    server.admit(&old).await.unwrap();
    provider.answer(Answer::Keys(set(&[&old, &new])));
    server.later();
    assert_eq!(server.reason(&new).await, None);
    assert_eq!(server.reason(&old).await, None);
    // The old one is taken away. That is noticed at the next fetch; here a token of nobody brings it about.
    provider.answer(Answer::Keys(set(&[&new])));
    server.later();
    assert_eq!(server.reason(&SigningKey::ed25519("nobody")).await, Some(Reason::UnknownKey));
    assert_eq!(server.reason(&old).await, Some(Reason::UnknownKey));
    assert_eq!(server.reason(&new).await, None);
}

#[tokio::test]
async fn what_a_key_signed_ends_with_the_key() {
    let (old, new) = (SigningKey::ed25519("old"), SigningKey::ed25519("new"));
    let provider = Provider::start(Answer::Keys(set(&[&old, &new]))).await;
    let server = Server::of(&provider);
    let principal = server.admit(&old).await.unwrap();
    let resume = server.auth.seal(&principal, &SessionId::generate()).unwrap().text;
    let backend = old.sign(&server.claims());
    // Verified once, and remembered.
    server.auth.admit(Door::Server, &backend).await.unwrap();
    server.auth.admit(Door::Client, &resume).await.unwrap();
    provider.answer(Answer::Keys(set(&[&new])));
    server.later();
    let ticket = server.auth.ticket(TicketRequest { principal, origin: None, topics: None }).unwrap().text;
    assert_eq!(server.reason(&SigningKey::ed25519("nobody")).await, Some(Reason::UnknownKey));
    for (door, credential) in [(Door::Server, &backend), (Door::Client, &resume)] {
        let refusal = server.auth.admit(door, credential).await.unwrap_err();
        assert_eq!(refusal.reason(), Reason::UnknownKey, "{door:?}");
    }
    assert_eq!(server.auth.redeem(Door::Client, &ticket, None).unwrap_err().reason(), Reason::UnknownKey);
}

#[tokio::test]
async fn unknown_keys_cannot_flood_the_provider() {
    let key = SigningKey::ed25519("e");
    let provider = Provider::start(Answer::Keys(set(&[&key]))).await;
    let server = Server::of(&provider);
    server.admit(&key).await.unwrap();
    let nobody = SigningKey::ed25519("nobody").sign(&server.claims());
    let flood = || async {
        let tokens = std::iter::repeat_n(&nobody, 200);
        for refused in futures_util::future::join_all(tokens.map(|token| server.auth.admit(Door::Client, token))).await
        {
            assert_eq!(refused.unwrap_err().reason(), Reason::UnknownKey);
        }
        assert_eq!(server.auth.authenticate(Door::Client, &nobody).unwrap_err().reason(), Reason::UnknownKey);
    };
    flood().await;
    assert_eq!(provider.asked(), 2, "the first fetch, and one for all of these");
    for asked in [3, 4] {
        server.later();
        flood().await;
        assert_eq!(provider.asked(), asked);
    }
    // A token that names no key, or is signed badly, asks for nothing.
    server.later();
    let unnamed = SigningKey::ed25519("x").sign_as(&json!({"alg": "EdDSA"}), &server.claims());
    assert_eq!(server.auth.admit(Door::Client, &unnamed).await.unwrap_err().reason(), Reason::BadSignature);
    assert_eq!(server.reason(&SigningKey::ed25519("e")).await, Some(Reason::BadSignature));
    assert_eq!(provider.asked(), 4);
}

#[tokio::test]
async fn who_cannot_wait_has_the_keys_fetched() {
    let (old, new) = (SigningKey::ed25519("old"), SigningKey::ed25519("new"));
    let provider = Provider::start(Answer::Keys(set(&[&old]))).await;
    let server = Server::of(&provider);
    server.admit(&old).await.unwrap();
    provider.answer(Answer::Keys(set(&[&new])));
    server.later();
    let token = new.sign(&server.claims());
    assert_eq!(server.auth.authenticate(Door::Client, &token).unwrap_err().reason(), Reason::UnknownKey);
    // Whoever comes next waits for that fetch, and begins none.
    server.auth.admit(Door::Client, &token).await.unwrap();
    assert_eq!(provider.asked(), 2);
}

#[tokio::test]
async fn the_last_keys_hold_while_the_provider_is_down_but_not_for_ever() {
    let key = SigningKey::ed25519("e");
    let provider = Provider::start(Answer::Keys(set(&[&key]))).await;
    let server = Server::of(&provider);
    let nobody = SigningKey::ed25519("nobody");
    server.admit(&key).await.unwrap();
    for bad in [Answer::Status(503), Answer::Keys("{}".to_owned()), Answer::Keys(r#"{"keys":[]}"#.to_owned())] {
        provider.answer(bad);
        server.clock.advance(Duration::from_secs(3600));
        let asked = provider.asked();
        assert_eq!(server.reason(&nobody).await, Some(Reason::UnknownKey));
        assert!(provider.asked() > asked);
        assert_eq!(server.reason(&key).await, None);
    }
    server.clock.advance(Duration::from_secs(22 * 3600));
    assert_eq!(server.reason(&key).await, Some(Reason::KeysUnavailable));
    provider.answer(Answer::Keys(set(&[&key])));
    server.later();
    assert_eq!(server.reason(&key).await, None);
}

#[tokio::test]
async fn a_fetch_that_failed_is_tried_again_by_itself() {
    let key = SigningKey::ed25519("e");
    let provider = Provider::start(Answer::Status(500)).await;
    let server = Server::of(&provider);
    assert_eq!(server.reason(&key).await, Some(Reason::KeysUnavailable));
    assert_eq!(provider.asked(), 1);
    provider.answer(Answer::Keys(set(&[&key])));
    provider.until_asked(2).await;
    // The clock stands still, so only the retry can have fetched them.
    assert_eq!(server.reason(&key).await, None);
}

/// `text` with so many spaces behind it that it has `bytes`.
fn padded(text: String, bytes: usize) -> String {
    let spaces = " ".repeat(bytes - text.len());
    text + &spaces
}

#[tokio::test]
async fn answers_that_cannot_be_used_let_nobody_in() {
    let key = SigningKey::ed25519("e");
    let jwk = key.jwk();
    let one = |changes: Value| Answer::Keys(json!({"keys": [with(jwk.clone(), changes)]}).to_string());
    let answers = [
        Answer::Status(404),
        Answer::Status(204),
        Answer::Redirect,
        Answer::Keys("not JSON".to_owned()),
        Answer::Keys(json!([jwk]).to_string()),
        Answer::Keys(json!({"keys": vec![&jwk; 33]}).to_string()),
        // 64 KiB, and a byte.
        Answer::Keys(padded(set(&[&key]), 64 * 1024 + 1)),
        one(json!({"use": "enc"})),
        one(json!({"key_ops": ["sign"]})),
        one(json!({"alg": "RS256"})),
        one(json!({"alg": "EdDSAX"})),
        one(json!({"crv": "Ed448"})),
        one(json!({"x": "AAAA"})),
        one(json!({"x": "?"})),
        one(json!({"kid": "k".repeat(129)})),
        // A secret, published.
        Answer::Keys(json!({"keys": [{"kty": "oct", "kid": "e", "k": encode(SECRET)}]}).to_string()),
        Answer::Keys(json!({"keys": [{"kty": "RSA", "kid": "e", "n": encode([0xff; 128]), "e": "AQAB"}]}).to_string()),
        Answer::Keys(json!({"keys": [{"kty": "EC", "crv": "P-256", "kid": "e", "x": "AA", "y": "AA"}]}).to_string()),
    ];
    for (index, answer) in answers.into_iter().enumerate() {
        let provider = Provider::start(answer).await;
        let server = Server::of(&provider);
        assert_eq!(server.reason(&key).await, Some(Reason::KeysUnavailable), "answer {index}");
        assert_eq!(provider.asked(), 1, "answer {index}");
    }
    // Beside a usable key, the others are passed over.
    let mixed = json!({"keys": [{"kty": "oct", "kid": "e", "k": encode(SECRET)}, 7, {"kty": "X"}, jwk]});
    let provider = Provider::start(Answer::Keys(mixed.to_string())).await;
    assert_eq!(Server::of(&provider).reason(&key).await, None);
    let whole = Provider::start(Answer::Keys(padded(set(&[&key]), 64 * 1024))).await;
    assert_eq!(Server::of(&whole).reason(&key).await, None);
}

#[tokio::test]
async fn an_answer_that_does_not_come_is_given_up() {
    let key = SigningKey::ed25519("e");
    let provider = Provider::start_with(Answer::Keys(set(&[&key])), 0).await;
    let jwks = Jwks { url: provider.url(), timeout: fanfare_model::Duration::from_millis(50), ..Jwks::default() };
    let issuer = Issuer { jwks: Some(jwks), ..Issuer::default() };
    let server = Server::with(&provider, [("app".to_owned(), issuer)].into());
    assert_eq!(server.reason(&key).await, Some(Reason::KeysUnavailable));
}

#[tokio::test]
async fn an_algorithm_that_the_issuer_does_not_name_is_refused() {
    let (rsa, ed) = (SigningKey::rsa("r"), SigningKey::ed25519("e"));
    let provider = Provider::start(Answer::Keys(set(&[&rsa, &ed]))).await;
    let algorithms = vec![fanfare_auth::Algorithm::RS256];
    let server = Server::with(&provider, [("app".to_owned(), Issuer { algorithms, ..issuer(provider.url()) })].into());
    assert_eq!(server.reason(&rsa).await, None);
    assert_eq!(server.reason(&ed).await, Some(Reason::UnsupportedAlgorithm));
}

/// CVE-2026-49998 of Centrifugo: keys kept by `kid` alone.
#[tokio::test]
async fn two_issuers_with_the_same_kid_do_not_meet() {
    let (ours, theirs) = (SigningKey::ed25519("1"), SigningKey::ed25519("1"));
    let provider = Provider::start(Answer::Keys(set(&[&ours]))).await;
    let other = Provider::start(Answer::Keys(set(&[&theirs]))).await;
    let victim = Issuer { tenant: Tenant::new("victim").unwrap(), ..issuer(provider.url()) };
    let server = Server::with(&provider, [("app".to_owned(), victim), ("evil".to_owned(), issuer(other.url()))].into());
    let claims = with(server.claims(), json!({"iss": "evil"}));
    server.auth.admit(Door::Client, &theirs.sign(&claims)).await.unwrap();
    assert_eq!(server.reason(&theirs).await, Some(Reason::BadSignature));
    assert_eq!(server.admit(&ours).await.unwrap().tenant.as_str(), "victim");
}

/// CVE-2026-32301 of Centrifugo: an address made of what a token says.
#[tokio::test]
async fn one_entry_stands_for_several_issuers_and_no_token_chooses_an_address() {
    let key = SigningKey::ed25519("e");
    let provider = Provider::start(Answer::Keys(set(&[&key]))).await;
    let issuer = Issuer {
        iss: Some("https://id.example/{realm}".to_owned()),
        tenant: Tenant::new("t-{realm}").unwrap(),
        each: [("realm".to_owned(), vec!["a".to_owned(), "b".to_owned()])].into(),
        ..issuer(format!("http://{}/{{realm}}/keys", provider.address))
    };
    let server = Server::with(&provider, [("idp".to_owned(), issuer)].into());
    provider.until_asked(2).await;
    let enter =
        async |iss: &str| server.auth.admit(Door::Client, &key.sign(&with(server.claims(), json!({"iss": iss})))).await;
    for realm in ["a", "b"] {
        let principal = enter(&format!("https://id.example/{realm}")).await.unwrap();
        assert_eq!((principal.tenant.as_str(), &*principal.issuer), (&*format!("t-{realm}"), &*format!("idp:{realm}")));
    }
    for iss in ["https://id.example/c", "https://id.example/{realm}", "https://id.example/a/../../elsewhere", "idp:a"] {
        assert_eq!(enter(iss).await.unwrap_err().reason(), Reason::UnknownIssuer, "{iss}");
    }
    assert_eq!(provider.asked(), 2);
}

#[test]
fn fetches_are_counted() {
    let recorder = metrics_exporter_prometheus::PrometheusBuilder::new().build_recorder();
    // One thread for all tasks, so that the recorder is that of the fetching task too.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    metrics::with_local_recorder(&recorder, || {
        fanfare_auth::metrics::describe();
        runtime.block_on(async {
            let key = SigningKey::ed25519("e");
            let provider = Provider::start(Answer::Keys(set(&[&key]))).await;
            let server = Server::of(&provider);
            server.admit(&key).await.unwrap();
            for bad in [Answer::Status(500), Answer::Keys(String::new())] {
                provider.answer(bad);
                server.later();
                assert_eq!(server.reason(&SigningKey::ed25519("nobody")).await, Some(Reason::UnknownKey));
            }
        });
    });
    let text = recorder.handle().render();
    for outcome in ["ok", "status", "document"] {
        let line = format!("fanfare_auth_key_fetches_total{{outcome=\"{outcome}\"}} 1");
        assert!(text.contains(&line), "{line} in {text}");
    }
}

#[test]
fn without_a_start_nothing_is_fetched_and_nobody_waits() {
    let auth = Auth::new(
        Options {
            issuers: [("app".to_owned(), issuer("http://127.0.0.1:1/keys".to_owned()))].into(),
            ..Options::default()
        },
        clock(),
    )
    .unwrap();
    let server = Server { auth, clock: clock() };
    let mut waiting = std::pin::pin!(server.auth.admit(Door::Client, "x.y.z"));
    let context = &mut std::task::Context::from_waker(std::task::Waker::noop());
    assert!(waiting.as_mut().poll(context).is_ready());
    let token = SigningKey::ed25519("e").sign(&server.claims());
    let mut waiting = std::pin::pin!(server.auth.admit(Door::Client, &token));
    assert!(waiting.as_mut().poll(context).is_ready());
}

#[test]
fn what_the_configuration_may_not_say() {
    let good = "https://id.example/keys";
    let each = |iss: Option<&str>, values: &[&str]| Issuer {
        iss: iss.map(str::to_owned),
        each: [("realm".to_owned(), values.iter().map(|value| (*value).to_owned()).collect())].into(),
        ..issuer("https://id.example/{realm}".to_owned())
    };
    let many: Vec<_> = (0..257).map(|n| n.to_string()).collect();
    let many: Vec<_> = many.iter().map(String::as_str).collect();
    let jwks = |change: Jwks| Issuer { jwks: Some(change), ..Issuer::default() };
    let named = || Jwks { url: good.to_owned(), ..Jwks::default() };
    let second = fanfare_model::Duration::from_secs;
    let trusting = |ca_file: std::path::PathBuf, url: &str| {
        jwks(Jwks { url: url.to_owned(), ca_file: Some(ca_file), ..Jwks::default() })
    };
    let (empty, bad) = (tempfile::NamedTempFile::new().unwrap(), tempfile::NamedTempFile::new().unwrap());
    std::fs::write(bad.path(), "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n").unwrap();
    for (issuer, parts) in [
        (issuer(String::new()), &["auth.issuers.app.jwks.url", "not an address"][..]),
        (issuer("id.example/keys".to_owned()), &["jwks.url", "not an address"]),
        (issuer("ftp://id.example/keys".to_owned()), &["neither https nor http"]),
        (issuer("http://id.example/keys".to_owned()), &["jwks.url", "use https", "http_allowed"]),
        (issuer("http://127.0.0.1.example/keys".to_owned()), &["use https"]),
        (issuer("https://a:b@id.example/keys".to_owned()), &["a user or a password"]),
        (issuer("https://{iss}/keys".to_owned()), &["`each`"]),
        (each(Some("https://id.example/{realm}"), &["a/b"]), &["auth.issuers.app.each.realm", "\"a/b\""]),
        (each(Some("https://id.example/{realm}"), &["a.b"]), &["each.realm"]),
        (each(Some("https://id.example/{realm}"), &[""]), &["each.realm"]),
        (each(Some("https://id.example/{realm}"), &[]), &["each.realm", "no values"]),
        (each(Some("https://id.example/"), &["a"]), &["iss has no `{realm}`"]),
        (each(None, &["a"]), &["iss has no `{realm}`"]),
        (each(Some("{realm}"), &many), &["more than 256"]),
        (each(Some("{realm}"), &["a", "a"]), &["auth.issuers.app makes", "`app:a`"]),
        (jwks(Jwks { refresh: second(0), ..named() }), &["jwks.refresh", "1s"]),
        (jwks(Jwks { timeout: second(61), ..named() }), &["jwks.timeout", "60s"]),
        (jwks(Jwks { keep: second(60), ..named() }), &["jwks.keep", "refresh"]),
        (jwks(Jwks { bytes_max: ByteSize(0), ..named() }), &["jwks.bytes_max"]),
        (trusting("/nowhere/ca.pem".into(), good), &["jwks.ca_file", "/nowhere/ca.pem", "cannot be read"]),
        (trusting(empty.path().into(), good), &["jwks.ca_file", "holds no certificates"]),
        (trusting(bad.path().into(), good), &["jwks.ca_file", "no certificate"]),
        (trusting(empty.path().into(), "http://127.0.0.1/keys"), &["jwks.ca_file", "https"]),
        (
            Issuer { algorithms: vec![fanfare_auth::Algorithm::HS256], ..issuer(good.to_owned()) },
            &["HS256", "no key is of its type"],
        ),
    ] {
        let options = Options { issuers: [("app".to_owned(), issuer)].into(), ..Options::default() };
        let error = Auth::new(options, clock()).unwrap_err().to_string();
        assert!(parts.iter().all(|part| error.contains(part)) && error.contains("auth.issuers."), "{error}");
    }
    for (url, http_allowed, dev) in [
        (good, false, false),
        ("http://localhost:8080/keys", false, false),
        ("http://[::1]/keys", false, false),
        ("http://id.example/keys", true, false),
        ("http://id.example/keys", false, true),
    ] {
        let issuer = jwks(Jwks { url: url.to_owned(), http_allowed, ..Jwks::default() });
        let options = Options { issuers: [("app".to_owned(), issuer)].into(), dev, ..Options::default() };
        Auth::new(options, clock()).unwrap();
    }
}
