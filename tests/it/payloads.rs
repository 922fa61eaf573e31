//! Payload rules: what a topic takes, and what becomes of what it does not take.

use fanfare_tests::token::Token;
use fanfare_tests::{Config, Listen, Server, Transport, fresh_topic};
use serde_json::json;

const SCHEMA: &str = r#"{ type = "object", required = ["text"], properties = { text = { type = "string", maxLength = 20 } }, additionalProperties = false }"#;

fn config() -> Config {
    Config::new()
        .kind(
            "chat",
            &format!("payload = {{ content = \"json\", names = [\"message\"], schemas = {{ message = {SCHEMA} }} }}"),
        )
        .kind("chat", "dead_letter = \"dead:chat\"")
}

#[tokio::test]
async fn a_refused_event_is_reported_at_every_door_and_kept_aside() {
    let server = Server::start(config()).await;
    let topic = fresh_topic("chat");
    let api = server.api();
    let publish = |data: serde_json::Value| json!({"publish": {"topic": topic, "name": "message", "data": data}});
    for transport in [Transport::WsJson, Transport::WsProto, Transport::GrpcSession] {
        let ask = Listen::to(&topic, Token::client().user("alice").mint());
        let mut listener = transport.listen(server.public(), &ask).await;
        listener.request(publish(json!({"text": "hi"}))).await.expect("it fits");
        assert_eq!(listener.event().await["data"], json!({"text": "hi"}), "{transport}");
        let refused = listener.request(publish(json!({"text": "x".repeat(50)}))).await;
        assert_eq!(refused.err().as_deref(), Some("payload_refused"), "{transport}");
        let unnamed = listener.request(json!({"publish": {"topic": topic, "data": {"text": "hi"}}})).await;
        assert_eq!(unnamed.err().as_deref(), Some("payload_refused"), "{transport}");
    }
    let message = json!({"name": "message", "data": {"text": "hi", "more": 1}});
    let answer = api.post("/v1/publish", &json!({"topic": topic, "message": message})).await;
    let problem = answer.assert_problem(400, "payload_refused");
    assert!(problem["detail"].as_str().is_some_and(|detail| detail.contains("more")), "{problem}");
    // Seven were refused, and none of them is in the topic.
    assert_eq!(api.log_of(&topic).await.len(), 3);
    let dead = fanfare_tests::eventually("the dead letters", fanfare_tests::PATIENCE, async || {
        let dead = api.log_of("dead:chat").await;
        (dead.len() == 7).then_some(dead)
    })
    .await;
    assert!(dead.iter().all(|letter| letter["data"]["topic"] == json!(topic)), "{dead:#?}");
}

#[tokio::test]
async fn a_schema_that_is_none_is_refused_at_the_start_by_name() {
    let config = Config::new().kind("chat", "payload = { schemas = { message = { type = \"nonsense\" } } }");
    let (status, printed) = Server::refused(config).await;
    assert!(!status.success());
    assert!(printed.contains("topics.chat"), "{printed}");
}
