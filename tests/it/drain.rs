//! Stopping: readiness first, then the clients, then the log.

use fanfare_tests::sse::subscribe;
use fanfare_tests::token::Token;
use fanfare_tests::{Api, Config, Message, PATIENCE, Server, eventually, fresh_topic, ws};

/// Seconds that nobody here waits for.
const WINDOW: u64 = 600;

/// Waits until a load balancer would look elsewhere: readiness says no, or nobody answers any more.
async fn not_ready(server: &Server) {
    let open = Api::with_token(server.admin(), None);
    eventually("readiness to be off", PATIENCE, || async {
        match open.send(open.request(http::Method::GET, "/readyz")).await {
            Ok(answer) if answer.status == 200 => None,
            Ok(answer) => {
                assert_eq!(answer.status, 503, "{}", answer.text);
                Some(())
            }
            Err(_) => Some(()),
        }
    })
    .await;
}

#[tokio::test]
async fn a_soft_stop_goes_in_order() {
    let mut server = Server::start(Config::new().drain_over(3)).await;
    let topic = fresh_topic("drain");
    let api = server.api();
    let mut streams = Vec::new();
    for _ in 0..10 {
        streams.push(subscribe(server.public(), &[&topic]).open().await);
    }
    let mut socket = ws::connect(server.public(), &Token::client().mint()).await;
    let acknowledged = api.publish_text(&topic, "kept").await["position"].clone();
    server.terminate();

    not_ready(&server).await;
    for stream in &mut streams {
        let events = stream.to_end().await;
        assert_eq!(events.last().expect("a goodbye").json()["reason"], "draining");
    }
    assert_eq!(socket.closed().await.1.code, Some(3001));
    assert!(server.ended(PATIENCE).await.success());

    server.restart().await;
    assert_eq!(server.api().log_of(&topic).await[0]["position"], acknowledged);
}

#[tokio::test]
async fn a_second_signal_stops_at_once() {
    let mut server = Server::start(Config::new().drain_over(WINDOW)).await;
    let topic = fresh_topic("drain");
    let mut streams = Vec::new();
    for _ in 0..20 {
        streams.push(subscribe(server.public(), &[&topic]).open().await);
    }
    server.api().publish(&topic, Message::json(1).with("id", "kept")).await;
    server.terminate();
    not_ready(&server).await;
    server.terminate();
    server.ended(PATIENCE).await;
    server.restart().await;
    assert_eq!(server.api().log_of(&topic).await.len(), 1);
}

#[tokio::test]
async fn an_idle_server_stops_without_waiting_for_the_window() {
    let mut server = Server::start(Config::new().drain_over(WINDOW)).await;
    server.terminate();
    assert!(server.ended(PATIENCE).await.success());
}
