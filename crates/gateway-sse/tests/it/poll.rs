//! Long polls.

use fanfare_gateway_sse::Options;

use crate::server::{server, server_with};

#[tokio::test(start_paused = true)]
async fn polls_chain_without_loss() {
    let server = server_with(Options { poll_events_max: 7, ..Options::default() }, fanfare_session::Options::default());
    server.publish_numbers("a", 1..=20).await;
    let mut answer = server.get("topic=a&poll=1&from=start").open().await;
    assert_eq!((answer.header("content-type"), answer.header("fanfare-stream-state")), ("application/json", "new"));
    let mut got = Vec::new();
    loop {
        let body = answer.json().await;
        let events = body["events"].as_array().unwrap();
        assert!(events.len() <= 7);
        got.extend(events.iter().map(|event| event["data"].as_str().unwrap().to_owned()));
        if got.len() >= 20 {
            break;
        }
        let cursor = body["cursor"].as_str().unwrap();
        answer = server.get("topic=a&poll=1").header("last-event-id", cursor).open().await;
        assert_eq!(answer.header("fanfare-stream-state"), "continue");
    }
    assert_eq!(got, (1..=20).map(|n| n.to_string()).collect::<Vec<_>>());
    assert!(server.node.sessions.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_poll_waits_and_then_answers_with_nothing() {
    let server = server();
    let before = tokio::time::Instant::now();
    let mut answer = server.get("topic=a&topic=b&poll=1").header("accept", "application/json").open().await;
    assert_eq!(before.elapsed(), Options::default().poll_timeout.get());
    let body = answer.json().await;
    assert_eq!((&body["events"], &body["gaps"]), (&serde_json::json!([]), &serde_json::json!([])));
    assert!(body["cursor"].as_str().unwrap().starts_with('~'));
}

#[tokio::test(start_paused = true)]
async fn a_poll_answers_as_soon_as_something_comes() {
    let server = server();
    let poll = async { server.get("topic=a&poll=1").open().await.json().await };
    let publish = async {
        while server.node.sessions.is_empty() {
            tokio::task::yield_now().await;
        }
        server.publish("a", &["x"]).await
    };
    let before = tokio::time::Instant::now();
    let (body, positions) = tokio::join!(poll, publish);
    assert_eq!((&body["events"][0]["data"], &body["cursor"]), (&"x".into(), &positions[0].to_string().into()));
    assert!(before.elapsed() < Options::default().poll_timeout.get());
}

#[tokio::test(start_paused = true)]
async fn a_poll_tells_a_gap_at_once() {
    let server = server();
    let positions = server.publish_numbers("short:1", 1..=10).await;
    let mut answer = server.get(&format!("topic=short:1&poll=1&last_event_id={}", positions[1])).open().await;
    let body = answer.json().await;
    assert_eq!((&body["gaps"][0]["from"], &body["gaps"][0]["to"]), (&3.into(), &7.into()));
    assert_eq!(body["events"].as_array().unwrap().len(), 3);
    let mut answer = server.get("topic=short:1&poll=1&last_event_id=nonsense").open().await;
    let body = answer.json().await;
    assert_eq!((&body["state"], &body["events"]), (&"reset".into(), &serde_json::json!([])));
}

#[tokio::test(start_paused = true)]
async fn a_poll_ends_with_its_session() {
    let server = server();
    let poll = async { server.get("topic=a&poll=1").open().await.json().await };
    let drain = async {
        while server.node.sessions.is_empty() {
            tokio::task::yield_now().await;
        }
        server.node.life.drain();
    };
    let (body, ()) = tokio::join!(poll, drain);
    assert_eq!((&body["disconnect"]["reason"], &body["disconnect"]["reconnect"]), (&"draining".into(), &true.into()));
}
