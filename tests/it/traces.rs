//! A trace goes with its event from the publisher to every reader.

use fanfare_tests::sse::subscribe;
use fanfare_tests::token::Token;
use fanfare_tests::{Config, Server, fresh_topic, percent_encode, ws};
use http::Method;
use serde_json::{Value, json};

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const PARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

fn trace_of(event: &Value) -> &str {
    let parent = event["headers"]["traceparent"].as_str().unwrap_or_else(|| panic!("no traceparent in {event}"));
    let parts: Vec<_> = parent.split('-').collect();
    assert_eq!(parts.len(), 4, "{parent}");
    parts[1]
}

#[tokio::test]
async fn the_publishers_trace_reaches_every_reader() {
    let server = Server::start(Config::new()).await;
    let topic = fresh_topic("traced");
    let api = server.api();
    let mut stream = subscribe(server.public(), &[&topic]).envelope().open().await;
    let mut socket = ws::connect(server.public(), &Token::client().mint()).await;
    socket.subscribe(&topic, "now").await;

    let publish = api.request(Method::POST, "/v1/publish").header("traceparent", PARENT);
    api.must(publish.json(&json!({"topic": topic, "message": {"data": 1}}))).await.ok();
    let events = format!("/v1/topics/{}/events", percent_encode(&topic));
    let raw = api.request(Method::POST, &events).header("traceparent", PARENT).header("content-type", "text/plain");
    api.must(raw.body("2")).await.ok();
    for _ in 0..2 {
        assert_eq!(trace_of(&stream.data_event().await.json()), TRACE);
        assert_eq!(trace_of(&socket.event().await), TRACE);
    }
    let log = api.log_of(&topic).await;
    assert!(log.iter().all(|event| trace_of(event) == TRACE));

    // What a publisher says in the message itself is left as it is.
    let own = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    let message = json!({"data": 3, "headers": {"traceparent": own}});
    api.post("/v1/publish", &json!({"topic": topic, "message": message})).await.ok();
    assert_eq!(trace_of(&socket.event().await), "0af7651916cd43dd8448eb211c80319c");

    // Nonsense is not passed on as a trace, and does no harm.
    let nonsense = api.request(Method::POST, "/v1/publish").header("traceparent", "zz-nonsense");
    api.must(nonsense.json(&json!({"topic": topic, "message": {"data": 4}}))).await.ok();
    let event = socket.event().await;
    assert_eq!(event["data"], 4);
    assert_ne!(event["headers"]["traceparent"], "zz-nonsense");
}
