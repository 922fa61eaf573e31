//! How much a user, a tenant or an address may have and do.

use std::time::Instant;

use fanfare_tests::token::Token;
use fanfare_tests::{Config, Listen, Message, Server, Transport, fresh_topic};
use serde_json::json;

#[tokio::test]
async fn a_user_has_so_many_connections_over_all_transports() {
    let server = Server::start(Config::new().set("limits.user", "connections = 5")).await;
    let topic = fresh_topic("limits");
    let ask = |user: &str| Listen::to(&topic, Token::client().user(user).mint());
    let mut open = Vec::new();
    for transport in Transport::ALL {
        open.push(transport.listen(server.public(), &ask("alice")).await);
    }
    for transport in Transport::ALL {
        let refused = transport.try_listen(server.public(), &ask("alice")).await;
        assert_eq!(refused.err().as_deref(), Some("rate_limited"), "{transport}");
        transport.listen(server.public(), &ask("bob")).await;
    }
    // A place is free again when one has gone.
    open.pop();
    fanfare_tests::eventually("a free place", fanfare_tests::PATIENCE, async || {
        Transport::WsJson.try_listen(server.public(), &ask("alice")).await.ok()
    })
    .await;
}

#[tokio::test]
async fn a_user_publishes_so_fast_and_is_told_when_to_go_on() {
    let config = Config::new().set("limits.user", "publishes_per_second = 2").set("limits.user", "publishes_burst = 5");
    let server = Server::start(config).await;
    let topic = fresh_topic("limits");
    let publish = json!({"publish": {"topic": topic, "data": 1}});
    for transport in [Transport::WsJson, Transport::WsProto, Transport::GrpcSession] {
        let user = format!("user-{transport}");
        let mut listener =
            transport.listen(server.public(), &Listen::to(&topic, Token::client().user(&user).mint())).await;
        let (mut refused, begun) = (0_u128, Instant::now());
        for _ in 0..20 {
            match listener.request(publish.clone()).await {
                Ok(reply) => assert!(reply.get("published").is_some(), "{reply}"),
                Err(code) => {
                    assert_eq!(code, "rate_limited", "{transport}");
                    refused += 1;
                }
            }
        }
        // Five at once, and two for every second that it took: on a machine that stands still these may be all.
        let allowed = 5 + begun.elapsed().as_millis().div_ceil(500);
        assert!((20_u128.saturating_sub(allowed)..=15).contains(&refused), "{transport}: {refused} of 20 were refused");
    }
}

#[tokio::test]
async fn a_tenant_has_its_limits_at_the_server_door_too() {
    let config =
        Config::new().set("limits.tenant", "publishes_per_second = 1").set("limits.tenant", "publishes_burst = 5");
    let server = Server::start(config).await;
    let topic = fresh_topic("limits");
    let api = server.api();
    let mut refused = None;
    for n in 0..30 {
        let body = json!({"topic": topic, "message": Message::json(n).0});
        let answer = api.post("/v1/publish", &body).await;
        if answer.status == 429 {
            refused = Some(answer);
            break;
        }
        answer.ok();
    }
    let refused = refused.expect("30 events are more than 5 at once, and one a second");
    refused.assert_problem(429, "rate_limited");
    assert!(refused.headers.contains_key("retry-after"), "{refused:?}");
}
