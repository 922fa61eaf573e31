//! What the application's servers may do with the sessions of their users.

use fanfare_tests::token::Token;
use fanfare_tests::{Config, Heard, Listen, Server, Transport, fresh_topic, ws};
use serde_json::json;

const BOTH_WAYS: [Transport; 3] = [Transport::WsJson, Transport::WsProto, Transport::GrpcSession];

#[tokio::test]
async fn a_users_sessions_are_subscribed_and_unsubscribed() {
    let server = Server::start(Config::new()).await;
    let api = server.api();
    let token = || Token::client().user("alice").mint();
    let mut listeners = Vec::new();
    for transport in BOTH_WAYS {
        listeners.push((transport, transport.listen(server.public(), &Listen::to(&fresh_topic("own"), token())).await));
    }
    let more = fresh_topic("more");
    api.publish_numbers(&more, 1..=3).await;
    let order = json!({"topics": [more], "from": "start"});
    let told = api.post("/v1/users/alice/subscribe", &order).await.ok();
    assert_eq!(told["sessions"], 3, "{told}");
    for (transport, listener) in &mut listeners {
        assert_eq!(listener.take(3).await.0, [json!(1), json!(2), json!(3)], "{transport}");
    }
    let told = api.post("/v1/users/alice/unsubscribe", &json!({"topics": [more]})).await.ok();
    assert_eq!(told["sessions"], 3, "{told}");
    for (transport, listener) in &mut listeners {
        loop {
            match listener.next().await {
                Heard::Unsubscribed(what) => {
                    assert_eq!(what["topic"], json!(more), "{transport}");
                    assert!((2000..3000).contains(&what["code"].as_u64().expect("a code")), "{transport}: {what}");
                    break;
                }
                Heard::Resume(_) => {}
                other => panic!("{transport}: {other:?}"),
            }
        }
    }
}

#[tokio::test]
async fn a_user_has_a_topic_of_their_own() {
    let server = Server::start(Config::new().session("personal_topic = \"inbox:{user}\"")).await;
    let mut listeners = Vec::new();
    for transport in BOTH_WAYS {
        let ask = Listen::to(&fresh_topic("own"), Token::client().user("alice").mint());
        listeners.push((transport, transport.listen(server.public(), &ask).await));
    }
    let _other = ws::connect(server.public(), &Token::client().user("bob").mint()).await;
    server.api().publish_text("inbox:alice", "for you").await;
    for (transport, listener) in &mut listeners {
        assert_eq!(listener.event().await["data"], "for you", "{transport}");
    }
}

#[tokio::test]
async fn one_session_of_a_user_takes_the_place_of_the_other() {
    let server = Server::start(Config::new().session("single_per_user = true")).await;
    let topic = fresh_topic("single");
    let ask = || Listen::to(&topic, Token::client().user("alice").mint());
    let mut before = Transport::Sse.listen(server.public(), &ask()).await;
    for transport in Transport::ALL {
        let now = transport.listen(server.public(), &ask()).await;
        let verdict = before.ended().await;
        assert_eq!(
            (&verdict["code"], &verdict["reconnect"]),
            (&json!(4008), &json!(false)),
            "by {transport}: {verdict}"
        );
        before = now;
    }
    server.api().publish_text(&topic, "to the last").await;
    assert_eq!(before.event().await["data"], "to the last");
}

#[tokio::test]
async fn a_refresh_goes_on_and_takes_away_what_the_new_token_does_not_allow() {
    let server = Server::start(Config::new()).await;
    let (kept, lost) = (fresh_topic("kept"), fresh_topic("lost"));
    for transport in BOTH_WAYS {
        let token = Token::client().user("alice").expires_in(60).mint();
        let ask = Listen { topics: vec![kept.clone(), lost.clone()], ..Listen::to(&kept, token) };
        let mut listener = transport.listen(server.public(), &ask).await;
        let new = Token::client().user("alice").grant(&["kept:*"], &["subscribe"]).mint();
        let reply = listener.request(json!({"refresh": {"token": new}})).await.expect("the same user");
        assert!(reply["refreshed"]["expires_in"].as_u64().is_some_and(|seconds| seconds > 60), "{transport}: {reply}");
        loop {
            if let Heard::Unsubscribed(what) = listener.next().await {
                assert_eq!((&what["topic"], &what["code"]), (&json!(lost), &json!(2501)), "{transport}");
                break;
            }
        }
        let other = Token::client().user("bob").mint();
        let refused = listener.request(json!({"refresh": {"token": other}})).await;
        assert_eq!(refused.err().as_deref(), Some("permission_denied"), "{transport}");
        server.api().publish_text(&kept, "still here").await;
        assert_eq!(listener.event().await["data"], "still here", "{transport}");
    }
}
