//! Promise 7: authority is checked at every door by the same code, and ends when the token ends.

use std::time::{Duration, Instant};

use fanfare_tests::token::{self, Token};
use fanfare_tests::{Config, Heard, Listen, Server, Transport, fresh_topic};
use serde_json::json;

use super::over_every_transport;

/// Seconds that a token is good for which is to end, and the seconds before that when its owner is warned: enough to be let
/// in, and between the two, also for a machine that stands still meanwhile.
const LIFE: i64 = 14;
const WARNING: u64 = 7;
/// Seconds after its end when the machine cannot be the reason any more that its session is still there. The leeway for
/// clocks that differ is 30.
const LATE_MAX: i64 = 20;

/// The same refusal with the same code at every door.
async fn refusals_have_one_code(transport: Transport) {
    let server = Server::start(Config::new()).await;
    let topic = fresh_topic("refusals");
    for (token, code) in [
        ("nonsense".to_owned(), "malformed_token"),
        (Token::client().expires_in(-60).mint(), "expired"),
        (Token::new("somewhere").mint(), "wrong_audience"),
        (Token::client().grant(&["other"], &["subscribe"]).mint(), "permission_denied"),
    ] {
        let refused = transport.try_listen(server.public(), &Listen::to(&topic, token)).await;
        assert_eq!(refused.err().as_deref(), Some(code), "{transport}");
    }
}

/// It is warned, then sent away for a new token, at the second that the token names.
async fn a_session_ends_with_its_token(transport: Transport) {
    let server = Server::start(Config::new().session(&format!("expiry_warning = \"{WARNING}s\""))).await;
    let topic = fresh_topic("expiry");
    let expiry = token::now() + LIFE;
    let token = Token::client().claim("exp", expiry.into()).mint();
    let mut listener = transport.listen(server.public(), &Listen::to(&topic, token)).await;
    let warned = loop {
        match listener.next().await {
            Heard::Expiring(seconds) => break seconds,
            Heard::Resume(_) => {}
            other => panic!("{transport}: {other:?}"),
        }
    };
    assert!(warned <= WARNING, "{transport}: {warned}");
    let verdict = listener.ended().await;
    assert!((expiry - 1..expiry + LATE_MAX).contains(&token::now()), "{transport}: at the end of the token");
    assert_eq!((&verdict["code"], &verdict["reason"]), (&json!(4002), &json!("token_expired")), "{transport}");
}

/// A revoked token's session ends within a second, however it was revoked, and does not come back.
async fn revocation_ends_a_session_within_a_second(transport: Transport) {
    let server = Server::start(Config::new()).await;
    let topic = fresh_topic("revoked");
    let api = server.api();
    // A moment ago, so that "until now" has it.
    let issued = token::now() - 5;
    // A machine that stands still holds up one, and not all of them.
    let mut fastest = Duration::MAX;
    let ways = [
        json!({"token_id": "t-1"}),
        json!({"user": "alice"}),
        json!({"user": "alice", "issued_before": token::now() + 1}),
        json!({"block_user": "bob"}),
    ];
    for way in ways {
        let user = if way.get("block_user").is_some() { "bob" } else { "alice" };
        let token = Token::client().user(user).claim("jti", "t-1".into()).claim("iat", issued.into());
        let token = if way.get("token_id").is_none() { token.without("jti") } else { token };
        let token = token.mint();
        let ask = Listen::to(&topic, token);
        if way.get("token_id").is_none() && user == "alice" && way.get("issued_before").is_some() {
            // Already revoked by the line before.
            let refused = transport.try_listen(server.public(), &ask).await;
            assert_eq!(refused.err().as_deref(), Some("revoked"), "{transport}: {way}");
            continue;
        }
        let mut listener = transport.listen(server.public(), &ask).await;
        let mut other =
            transport.listen(server.public(), &Listen::to(&topic, Token::client().user("carol").mint())).await;
        let begun = Instant::now();
        api.post("/v1/tokens/revoke", &way).await.ok();
        let verdict = listener.ended().await;
        fastest = fastest.min(begun.elapsed());
        assert_eq!((&verdict["code"], &verdict["reason"]), (&json!(4003), &json!("revoked")), "{transport}: {way}");
        let refused = transport.try_listen(server.public(), &ask).await;
        let code = if way.get("block_user").is_some() { "user_blocked" } else { "revoked" };
        assert_eq!(refused.err().as_deref(), Some(code), "{transport}: {way}");
        // Others do not notice.
        api.publish_text(&topic, "still here").await;
        assert_eq!(other.event().await["data"], "still here", "{transport}: {way}");
    }
    assert!(fastest < Duration::from_secs(1), "{transport}: each took {fastest:?} or longer");
    api.post("/v1/tokens/unblock", &json!({"user": "bob"})).await.ok();
    transport.listen(server.public(), &Listen::to(&topic, Token::client().user("bob").mint())).await;
}

/// An administrator's word reaches every transport.
async fn an_administrator_ends_a_session(transport: Transport) {
    let server = Server::start(Config::new()).await;
    let topic = fresh_topic("admin");
    let token = Token::client().user("alice").mint();
    let mut listener = transport.listen(server.public(), &Listen::to(&topic, token)).await;
    let listed = server.api().get("/v1/sessions?user=alice").await.ok();
    assert_eq!(listed["sessions"].as_array().map(Vec::len), Some(1), "{transport}: {listed}");
    server.api().delete("/v1/users/alice/sessions").await.ok();
    assert_eq!(listener.ended().await["code"], 4004, "{transport}");
}

over_every_transport!(
    refusals_have_one_code,
    a_session_ends_with_its_token,
    revocation_ends_a_session_within_a_second,
    an_administrator_ends_a_session,
);
