//! Tokens of every wrong kind, at every door.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use fanfare_tests::sse::subscribe;
use fanfare_tests::token::{self, Token};
use fanfare_tests::{Api, Config, Server, ws};
use jsonwebtoken::Algorithm;
use serde_json::json;

use super::Undisturbed;

/// The issuer `pem` has public keys only, the issuer `test` a secret only.
fn config() -> Config {
    let [rsa, p256, ed25519] = [
        include_str!("../../keys/rsa.public.pem"),
        include_str!("../../keys/p256.public.pem"),
        include_str!("../../keys/ed25519.public.pem"),
    ];
    let key = |kid: &str, pem: &str| format!("{{ kid = \"{kid}\", public_key = \"\"\"\n{pem}\"\"\" }}");
    let keys = [key("rsa", rsa), key("p256", p256), key("ed", ed25519)].join(", ");
    Config::new().set("auth.issuers.pem", &format!("keys = [{keys}]\nalgorithms = [\"RS256\", \"ES256\", \"EdDSA\"]"))
}

fn kid(name: &'static str) -> impl FnOnce(&mut jsonwebtoken::Header) {
    move |header| header.kid = Some(name.to_owned())
}

/// What is wrong, the token for an audience with exactly that wrong, and the code of the refusal.
fn wrong_tokens(audience: &str) -> Vec<(&'static str, String, &'static str)> {
    let good = || Token::new(audience);
    let pem = || good().claim("iss", json!("pem"));
    let now = token::now();
    let (header, claims, signature) = good().parts();
    let with_header = |change: &str| {
        let mut header = header.clone();
        let change: serde_json::Value = serde_json::from_str(change).expect("a literal");
        header.as_object_mut().expect("an object").extend(change.as_object().expect("an object").clone());
        token::assemble(&header.to_string(), &claims.to_string(), &signature)
    };
    let valid = good().mint();
    let other = if audience == token::CLIENT { token::SERVER } else { token::CLIENT };
    let rsa_public = include_str!("../../keys/rsa.public.pem").as_bytes();
    let twice = format!("{{\"exp\":1,{}", &claims.to_string()[1..]);
    vec![
        ("not a token at all", "nonsense".to_owned(), "malformed_token"),
        ("two parts", valid.rsplit_once('.').expect("dots").0.to_owned(), "malformed_token"),
        ("four parts", format!("{valid}.x"), "malformed_token"),
        ("five parts, as an encrypted one has", format!("{valid}.x.y"), "malformed_token"),
        ("parts that are not base64url", "a+/=.b+/=.c+/=".to_owned(), "malformed_token"),
        ("a header that is not JSON", token::assemble("x", &claims.to_string(), &signature), "malformed_token"),
        ("claims that are not JSON", token::assemble(&header.to_string(), "x", &signature), "malformed_token"),
        ("claims that are no object", token::assemble(&header.to_string(), "[]", &signature), "malformed_token"),
        ("a claim twice", token::assemble(&header.to_string(), &twice, &signature), "malformed_token"),
        ("JSON of great depth", token::assemble(&header.to_string(), &"[".repeat(3000), &signature), "malformed_token"),
        ("alg none", with_header(r#"{"alg":"none"}"#), "unsupported_algorithm"),
        ("alg None", with_header(r#"{"alg":"None"}"#), "unsupported_algorithm"),
        ("alg that nobody knows", with_header(r#"{"alg":"XX999"}"#), "unsupported_algorithm"),
        (
            "alg that is not allowed",
            good().secret(token::SECRET.as_bytes(), Algorithm::HS384).mint(),
            "unsupported_algorithm",
        ),
        ("crit", with_header(r#"{"crit":["exp"]}"#), "unsupported_extension"),
        ("a kid that nobody has", good().header(kid("nobody")).mint(), "unknown_key"),
        ("a kid that is a path", good().header(kid("../../dev/null")).mint(), "unknown_key"),
        ("a kid that is SQL", good().header(kid("x' or 1=1 --")).mint(), "unknown_key"),
        ("the public key as a secret", pem().secret(rsa_public, Algorithm::HS256).mint(), "unsupported_algorithm"),
        ("a key of another type", pem().p256().header(kid("rsa")).mint(), "unsupported_algorithm"),
        ("a curve that is not allowed", pem().p384().mint(), "unsupported_algorithm"),
        ("the right key under the wrong issuer", good().rsa(Algorithm::RS256).mint(), "unsupported_algorithm"),
        ("another secret", good().secret(&[b'z'; 40], Algorithm::HS256).mint(), "bad_signature"),
        ("an empty signature", format!("{}.", valid.rsplit_once('.').expect("dots").0), "bad_signature"),
        (
            "a claim changed after signing",
            token::assemble(&header.to_string(), &claims.to_string().replace("tester", "admin!"), &signature),
            "bad_signature",
        ),
        ("no issuer", good().without("iss").mint(), "missing_issuer"),
        ("an unknown issuer", good().claim("iss", json!("somebody")).mint(), "unknown_issuer"),
        ("an issuer that is no text", good().claim("iss", json!(["test"])).mint(), "bad_claim"),
        ("no audience", good().without("aud").mint(), "missing_audience"),
        ("the other door's audience", good().claim("aud", json!(other)).mint(), "wrong_audience"),
        ("somebody else's audience", good().claim("aud", json!("https://example.com")).mint(), "wrong_audience"),
        ("no expiry", good().without("exp").mint(), "missing_expiry"),
        ("expired", good().expires_in(-120).claim("iat", json!(now - 300)).mint(), "expired"),
        ("an expiry that is no number", good().claim("exp", json!("tomorrow")).mint(), "bad_claim"),
        ("an expiry beyond all time", good().claim("exp", json!(i64::MAX)).mint(), "bad_claim"),
        ("not valid yet", good().claim("nbf", json!(now + 3600)).mint(), "not_yet_valid"),
        ("issued in the future", good().claim("iat", json!(now + 200)).mint(), "issued_in_future"),
        ("a life that is too long", good().expires_in(10 * 24 * 3600).mint(), "lifetime_too_long"),
        ("a user with control characters", good().user("a\u{0}b").mint(), "bad_claim"),
        ("a user of great length", good().user(&"x".repeat(300)).mint(), "bad_claim"),
        ("grants that are none", good().claim("fanfare", json!({"grants": "everything"})).mint(), "bad_claim"),
        ("an action that nobody knows", good().grant(&["*"], &["everything"]).mint(), "bad_claim"),
        ("a pattern that is none", good().grant(&["a*b"], &["subscribe"]).mint(), "bad_claim"),
        ("a member of ours that nobody knows", good().claim("fanfare", json!({"deny": []})).mint(), "bad_claim"),
        ("a token of great size", good().claim("filling", json!("x".repeat(9000))).mint(), "token_too_large"),
    ]
}

#[tokio::test]
async fn every_wrong_token_is_refused_with_its_reason_at_every_door() {
    let server = Server::start(config()).await;
    let witness = Undisturbed::new(&server).await;
    let at_client = wrong_tokens(token::CLIENT);
    assert!(at_client.len() >= 25);
    for (what, token, code) in &at_client {
        let response = subscribe(server.public(), &["a"]).token(Some(token.clone())).send().await.expect("an answer");
        assert_eq!(response.status, 401, "{what} over SSE");
        let body: serde_json::Value = serde_json::from_str(&response.text().await.expect("a body")).expect("JSON");
        assert_eq!(body["code"], *code, "{what} over SSE: {body}");

        let (mut client, _) = ws::handshake(server.public(), &[]).await.expect("a handshake");
        client.send(&json!({"id": 1, "connect": {"token": token}})).await.expect("open");
        let (frames, closed) = client.closed().await;
        assert_eq!(frames[0]["error"]["code"], *code, "{what} over WebSocket: {frames:?}");
        assert!(closed.code.is_some_and(|code| (4000..5000).contains(&code)), "{what} over WebSocket: {closed:?}");
    }
    for (what, token, code) in wrong_tokens(token::SERVER) {
        let api = Api::with_token(server.admin(), Some(token));
        for answer in [
            api.post("/v1/publish", &json!({"topic": "a", "message": {"data": 1}})).await,
            api.get("/v1/topics/a/events").await,
            api.delete("/v1/topics/a/events").await,
            api.get("/v1/sessions").await,
        ] {
            let problem = answer.assert_problem(401, code);
            assert!(answer.headers.contains_key("www-authenticate"), "{what}: {problem}");
        }
    }
    assert!(server.api().log_of("a").await.is_empty());

    // Neither the log nor an answer repeats a token.
    let log = server.log().text();
    for (what, token, _) in at_client.iter().filter(|(_, token, _)| token.len() > 40) {
        let signature = token.rsplit('.').next().unwrap_or_default();
        assert!(signature.len() < 16 || !log.contains(signature), "the log has the token of: {what}");
    }
    witness.check(&server).await;
}

#[tokio::test]
async fn every_right_kind_of_key_opens_the_door() {
    let server = Server::start(config()).await;
    let pem = || Token::client().claim("iss", json!("pem"));
    for token in [
        Token::client(),
        pem().rsa(Algorithm::RS256),
        pem().rsa(Algorithm::RS256).header(kid("rsa")),
        pem().p256().header(kid("p256")),
        pem().ed25519().header(kid("ed")),
        pem().ed25519(),
        Token::client().claim("aud", json!(["other", token::CLIENT])),
    ] {
        let description = format!("{token:?}");
        let response = subscribe(server.public(), &["a"]).token(Some(token.mint())).send().await.expect("an answer");
        assert_eq!(response.status, 200, "{description:.200}");
    }
    let shorthand = Token::client().without("fanfare").claim("topics", json!("a,b:*")).mint();
    let stream = subscribe(server.public(), &["a", "b:1"]).token(Some(shorthand.clone()));
    assert_eq!(stream.send().await.expect("an answer").status, 200);
    let other = subscribe(server.public(), &["c"]).token(Some(shorthand));
    assert_eq!(other.send().await.expect("an answer").status, 403);
}

#[tokio::test]
async fn a_users_own_topics_are_nobody_elses() {
    let server = Server::start(Config::new()).await;
    let open = async |user: &str, topic: &str| {
        let token = Token::client().user(user).grant(&["inbox:{user}", "inbox:{user}:*"], &["subscribe"]).mint();
        subscribe(server.public(), &[topic]).token(Some(token)).send().await.expect("an answer").status
    };
    for (user, topic, status) in [
        ("alice", "inbox:alice", 200),
        ("alice", "inbox:alice:work", 200),
        ("alice", "inbox:bob", 403),
        ("alice", "inbox:alicex", 403),
        ("alice", "inbox", 403),
        ("*", "inbox:alice", 403),
        ("{user}", "inbox:alice", 403),
        ("alice:work", "inbox:alice:work", 403),
    ] {
        assert_eq!(open(user, topic).await, status, "{user:?} at {topic}");
    }
}

/// What a JWT's parts are made of is read before anything is believed; random bytes never harm.
#[tokio::test]
async fn random_credentials_are_refused() {
    let server = Server::start(Config::new()).await;
    let witness = Undisturbed::new(&server).await;
    for _ in 0..300 {
        let length = rand::random_range(0..200);
        let part =
            |length: usize| URL_SAFE_NO_PAD.encode((0..length).map(|_| rand::random::<u8>()).collect::<Vec<_>>());
        let token = format!("{}.{}.{}", part(length), part(length / 2), part(32));
        let api = Api::with_token(server.admin(), Some(token)).pooled();
        api.get("/v1/topics").await.assert_problem(401, "malformed_token");
    }
    witness.check(&server).await;
}
