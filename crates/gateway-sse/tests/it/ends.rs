//! Heartbeats, and how streams end.

use std::time::Duration;

use fanfare_gateway_sse::{ConnectionAbort, Options};
use fanfare_model::UserId;
use tokio_util::sync::CancellationToken;

use crate::server::{Client, data, server, server_with, within};

/// The last event, which must be the farewell, once the stream has ended.
async fn farewell(client: &mut Client) -> serde_json::Value {
    let text = client.rest().await;
    assert!(text.ends_with("\n\n"), "ends within an event: {text:?}");
    let events = crate::parser::parse(text.as_bytes());
    let last = events.last().expect("a farewell");
    assert_eq!(last.event, "fanfare.disconnect");
    serde_json::from_str(&last.data).unwrap()
}

#[tokio::test(start_paused = true)]
async fn case_34_heartbeats_are_comments_without_a_blank_line() {
    let server = server();
    let mut client = server.get("topic=a").open().await;
    client.frame().await;
    for _ in 0..3 {
        let before = tokio::time::Instant::now();
        assert_eq!(client.frame().await.unwrap(), ":\n");
        assert!(before.elapsed() <= Duration::from_secs(25), "{:?}", before.elapsed());
    }
    server.publish("a", &["x"]).await;
    assert_eq!(data(&client.events(1).await), ["x"]);
    assert_eq!(client.text().matches("\n\n").count(), 1);
}

#[tokio::test(start_paused = true)]
async fn heartbeats_can_be_events() {
    let server = server();
    let mut client = server.get("topic=a&heartbeat=event").open().await;
    let events = client.events(1).await;
    assert_eq!((events[0].event.as_str(), events[0].data.as_str()), ("fanfare.ping", "{}"));
    let mut lines = server.get("topic=a").header("accept", "application/x-ndjson").open().await;
    assert_eq!(lines.lines(2).await[1], serde_json::json!({"ping": {}}));
}

#[tokio::test(start_paused = true)]
async fn case_22_a_token_that_expires_ends_its_stream() {
    let server = server();
    let mut client = server.get("topic=a").open().await;
    client.frame().await;
    server.clock.advance(Duration::from_secs(60 * 60));
    let data = farewell(&mut client).await;
    assert_eq!(
        (&data["code"], &data["reason"], &data["reconnect"]),
        (&4002.into(), &"token_expired".into(), &false.into())
    );
    assert!(!client.text().contains("retry: 0"));
    drop(client);
    assert!(server.node.sessions.is_empty());
}

#[tokio::test(start_paused = true)]
async fn an_administrator_ends_a_stream() {
    let server = server();
    let mut client = server.get("topic=a").open().await;
    let tenant = fanfare_model::Tenant::default();
    assert_eq!(server.node.sessions.disconnect_user(&tenant, &UserId::new("alice").unwrap()), 1);
    assert_eq!(farewell(&mut client).await["reason"], "disconnected");
}

#[tokio::test(start_paused = true)]
async fn case_39_draining_sends_everyone_away_on_a_whole_event() {
    let server = server();
    let mut clients = Vec::new();
    for n in 0..20 {
        server.publish_numbers("a", n * 10..=n * 10 + 9).await;
        clients.push(server.get("topic=a&from=start").open().await);
    }
    server.node.life.drain();
    let mut retries = Vec::new();
    for client in &mut clients {
        let data = farewell(client).await;
        assert_eq!((&data["reason"], &data["reconnect"]), (&"draining".into(), &true.into()));
        let after = data["retry_after_ms"].as_u64().unwrap();
        assert!((1_500..=4_500).contains(&after), "{after}");
        assert!(client.text().contains(&format!("retry: {after}\n")));
        retries.push(after);
    }
    assert!(retries.iter().any(|after| *after != retries[0]), "all come back together");
    drop(clients);
    assert!(server.node.sessions.is_empty());
    // A client that comes now is sent on.
    let mut late = server.ask(http::Method::GET, "topic=open:1").open().await;
    assert_eq!(farewell(&mut late).await["reason"], "draining");
}

#[tokio::test(start_paused = true)]
async fn case_36_a_client_that_takes_nothing_is_cut_off() {
    let server = server();
    let abort = ConnectionAbort(CancellationToken::new());
    let cut = abort.0.clone();
    let mut stalled = server.get("topic=a").abort(abort).open().await;
    let abort = ConnectionAbort(CancellationToken::new());
    let kept = abort.0.clone();
    let mut other = server.get("topic=a").abort(abort).open().await;
    other.frame().await;
    stalled.frame().await;
    let positions = server.publish_numbers("a", 1..=5).await;
    // The socket takes one write and nothing more. The other client waits for news, which is no stall.
    stalled.frame().await;
    let reading = async {
        loop {
            other.frame().await;
        }
    };
    let before = tokio::time::Instant::now();
    tokio::select! {
        never = reading => never,
        () = within(cut.cancelled()) => {}
    }
    let patience = Options::default().stall_timeout.get();
    assert!((patience..=patience * 7 / 5).contains(&before.elapsed()), "{:?}", before.elapsed());
    // Its session and its subscriptions are gone although its body is not.
    assert_eq!(server.node.sessions.len(), 1);
    assert!(!kept.is_cancelled());
    // Should it read on (HTTP/2), it finds out, and has lost nothing.
    let last_event_id = crate::parser::parse(stalled.text().as_bytes()).last().unwrap().id.clone();
    assert_eq!(last_event_id, positions[4].to_string());
    assert_eq!(farewell(&mut stalled).await["reason"], "stalled");
}

#[tokio::test(start_paused = true)]
async fn case_36_a_client_that_never_took_the_first_bytes() {
    let session = fanfare_session::Options::default();
    let server = server_with(Options::default(), session);
    let abort = ConnectionAbort(CancellationToken::new());
    let cut = abort.0.clone();
    let mut client = server.get("topic=a").abort(abort).open().await;
    within(cut.cancelled()).await;
    assert!(server.node.sessions.is_empty());
    assert_eq!(farewell(&mut client).await["reason"], "stalled");
}

#[tokio::test(start_paused = true)]
async fn a_large_event_that_was_begun_is_finished_before_the_farewell() {
    let server = server();
    let mut client = server.get("topic=a&topic=b").open().await;
    client.frame().await;
    let large = "x".repeat(50_000);
    server.publish("a", &[&large]).await;
    assert!(client.frame().await.unwrap().starts_with(b"id: "));
    let tenant = fanfare_model::Tenant::default();
    server.node.sessions.disconnect_user(&tenant, &UserId::new("alice").unwrap());
    assert_eq!(farewell(&mut client).await["reason"], "disconnected");
    assert_eq!(data(&crate::parser::parse(client.text().as_bytes())), [large]);
}
