//! Sessions that survive: a resume token brings one back on any transport.

use fanfare_tests::token::Token;
use fanfare_tests::{Config, Cut, Listen, PATIENCE, Proxy, Server, Transport, eventually, fresh_topic};
use serde_json::{Value, json};

use super::over_every_transport;

fn config() -> Config {
    Config::new().kind("room", "presence = { grace = \"60s\", flush = \"50ms\" }")
}

fn token(user: &str) -> Token {
    Token::client().user(user).grant(&["*"], &["subscribe", "publish", "history", "presence"])
}

/// The connection is cut; the same session goes on over each other transport, with what was missed, and nobody saw it
/// leave.
async fn a_session_comes_back_on_any_transport(transport: Transport) {
    let server = Server::start(config()).await;
    let topic = fresh_topic("room");
    let api = server.api();
    let watch = Listen::to(&topic, token("watcher").mint()).with_presence();
    let mut watcher = Transport::WsJson.listen(server.public(), &watch).await;
    assert_eq!(watcher.presence().await["count"], 0);

    let proxy = Proxy::start(server.public()).await;
    let mut listener = transport.listen(proxy.address(), &Listen::to(&topic, token("alice").mint())).await;
    let mut resume = listener.resume_token().await;
    if transport.is_bidirectional() {
        listener.request(json!({"presence": {"topic": topic, "enter": {"n": 1}}})).await.expect("she may");
        assert_eq!(watcher.presence().await["join"][0]["user"], "alice");
    }
    api.publish_numbers(&topic, 1..=3).await;
    let (_, mut position) = listener.take(3).await;
    let mut last = 3;
    for next in Transport::ALL {
        proxy.cut(Cut::Reset);
        api.publish_numbers(&topic, last + 1..=last + 3).await;
        let ask = Listen::to(&topic, resume).from(position);
        listener = next.listen(proxy.address(), &ask).await;
        resume = listener.resume_token().await;
        let (data, at) = listener.take(3).await;
        assert_eq!(data, (last + 1..=last + 3).map(Value::from).collect::<Vec<_>>(), "{transport} to {next}");
        (position, last) = (at, last + 3);
        eventually(format!("{transport} to {next}: one session to be left"), PATIENCE, async || {
            let sessions = api.get("/v1/sessions?user=alice").await.ok();
            (sessions["sessions"].as_array().map(Vec::len) == Some(1)).then_some(())
        })
        .await;
    }
    let path = format!("/v1/topics/{}/presence", fanfare_tests::percent_encode(&topic));
    let expected = u64::from(transport.is_bidirectional());
    assert_eq!(api.get(&path).await.ok()["count"], expected, "{transport}");
    // A farewell that is meant is told at once; nothing was told before it.
    drop(listener);
    api.delete("/v1/users/alice/presence").await.ok();
    if transport.is_bidirectional() {
        assert_eq!(watcher.presence().await["leave"][0]["user"], "alice", "{transport}");
    }
}

/// Out of the window, revoked, of a blocked user: no way back.
async fn there_is_no_way_back_for_the_revoked(transport: Transport) {
    let server = Server::start(config().set("auth.resume", "window = \"10m\"")).await;
    let topic = fresh_topic("room");
    let api = server.api();
    for (way, user) in [
        (json!({"token_id": "t-9"}), "alice"),
        (json!({"user": "bob"}), "bob"),
        (json!({"block_user": "carol"}), "carol"),
    ] {
        let token = token(user).claim("jti", "t-9".into()).claim("iat", (fanfare_tests::token::now() - 5).into());
        let token = if user == "alice" { token } else { token.without("jti") };
        let mut listener = transport.listen(server.public(), &Listen::to(&topic, token.mint())).await;
        let resume = listener.resume_token().await;
        drop(listener);
        api.post("/v1/tokens/revoke", &way).await.ok();
        for next in Transport::ALL {
            let refused = next.try_listen(server.public(), &Listen::to(&topic, resume.clone())).await;
            let code = if user == "carol" { "user_blocked" } else { "revoked" };
            assert_eq!(refused.err().as_deref(), Some(code), "{transport} to {next}: {way}");
        }
    }
    let mut garbled = transport.listen(server.public(), &Listen::to(&topic, token("dave").mint())).await;
    let mut resume = garbled.resume_token().await;
    let last = resume.pop().expect("a token has characters");
    resume.push(if last == 'A' { 'Q' } else { 'A' });
    for next in Transport::ALL {
        let refused = next.try_listen(server.public(), &Listen::to(&topic, resume.clone())).await;
        assert!(refused.is_err(), "{transport} to {next}");
    }
}

/// A new token comes before the old one is of no use.
async fn resume_tokens_are_renewed(transport: Transport) {
    let server = Server::start(config().set("auth.resume", "window = \"12s\"")).await;
    let topic = fresh_topic("room");
    let mut listener = transport.listen(server.public(), &Listen::to(&topic, token("alice").mint())).await;
    let first = listener.resume_token().await;
    let second = listener.resume_token().await;
    assert_ne!(first, second, "{transport}");
    drop(listener);
    transport.listen(server.public(), &Listen::to(&topic, second)).await;
}

over_every_transport!(
    a_session_comes_back_on_any_transport,
    there_is_no_way_back_for_the_revoked,
    resume_tokens_are_renewed,
);
