//! Cases 19 and 22: who may listen, and for how long.

use fanfare_tests::sse::subscribe;
use fanfare_tests::token::{self, Token};
use fanfare_tests::{Config, Server, fresh_topic, within};
use serde_json::Value;

#[tokio::test]
async fn case_19_refusals_say_what_is_wrong_and_open_nothing() {
    let server = Server::start(Config::new()).await;
    let topic = fresh_topic("case");
    let (header, claims, signature) = Token::client().parts();
    let unsigned = {
        let mut header = header;
        header["alg"] = "none".into();
        token::assemble(&header.to_string(), &claims.to_string(), "")
    };
    let elsewhere = Token::client().grant(&["other:*"], &["subscribe"]).mint();
    let table = [
        (None, 401, "missing_credential", "Bearer realm="),
        (Some(Token::client().expires_in(-60).mint()), 401, "expired", "error=\"invalid_token\""),
        (
            Some(Token::client().secret(&[b'x'; 40], jsonwebtoken::Algorithm::HS256).mint()),
            401,
            "bad_signature",
            "error=\"invalid_token\"",
        ),
        (Some(unsigned), 401, "unsupported_algorithm", "error=\"invalid_token\""),
        (Some(Token::server().mint()), 401, "wrong_audience", "error=\"invalid_token\""),
        (Some(format!("{}.{signature}", "e30.e30")), 401, "malformed_token", "error=\"invalid_token\""),
        (Some(elsewhere), 403, "permission_denied", "error=\"insufficient_scope\""),
    ];
    for (token, status, code, challenge) in table {
        let response = within("an answer", subscribe(server.public(), &[&topic]).token(token).send()).await;
        let response = response.expect("the server answers");
        assert_eq!(response.status, status, "{code}");
        let header = response.header("www-authenticate").unwrap_or_default().to_owned();
        assert!(header.starts_with("Bearer") && header.contains(challenge), "{code}: {header}");
        assert_eq!(header.contains("error="), code != "missing_credential", "RFC 6750 section 3.1: {header}");
        let body: Value = serde_json::from_str(&response.text().await.expect("a body")).expect("JSON");
        assert_eq!(body["code"], code, "{body}");
    }
    assert!(server.api().metric("fanfare_sessions_opened_total", "sse").await < 0.5);
}

#[tokio::test]
async fn case_22_a_stream_ends_with_its_token() {
    let server = Server::start(Config::new()).await;
    let topic = fresh_topic("case");
    let expiry = token::now() + 8;
    let token = Token::client().claim("exp", expiry.into()).mint();
    let mut stream = subscribe(server.public(), &[&topic]).token(Some(token.clone())).open().await;
    server.api().publish_text(&topic, "before").await;
    assert_eq!(stream.data_event().await.data, "before");

    let end = stream.to_end().await;
    // The leeway for clocks that differ, 30 s, is not for this; the rest is for a machine that stands still.
    assert!(token::now() < expiry + 20, "it ended {} s after the token", token::now() - expiry);
    let [goodbye] = &end[..] else { panic!("one event before the end: {end:?}") };
    assert_eq!(goodbye.name, "fanfare.disconnect");
    assert_eq!((&goodbye.json()["reason"], goodbye.json()["code"].is_u64()), (&"token_expired".into(), true));
}

#[tokio::test]
async fn case_22_a_token_that_has_ended_opens_nothing_more() {
    // Leeway is for clocks that differ; without it the end is exact.
    let issuer = format!("auth.issuers.{}", token::ISSUER);
    let server = Server::start(Config::new().set(&issuer, "leeway = \"0s\"")).await;
    let topic = fresh_topic("case");
    let token = Token::client().expires_in(8).mint();
    let stream = subscribe(server.public(), &[&topic]).token(Some(token.clone()));
    stream.open().await.to_end().await;
    fanfare_tests::eventually("the old token to be refused", fanfare_tests::PATIENCE, || async {
        let response = stream.send().await.expect("the server answers");
        (response.status == 401).then_some(())
    })
    .await;
}
