//! Order, resume, gaps, slow readers, drain.

use fanfare_tests::token::Token;
use fanfare_tests::{Config, Heard, Listen, Message, PATIENCE, Proxy, Server, Transport, fresh_topic};
use serde_json::{Value, json};

use super::over_every_transport;

fn token() -> String {
    Token::client().user("reader").mint()
}

fn numbers(range: std::ops::RangeInclusive<u64>) -> Vec<Value> {
    range.map(Value::from).collect()
}

/// Promises 1 and 3: live events come in order, each once, also in bursts that are more than a socket takes at once.
async fn events_come_in_order(transport: Transport) {
    const BURST: u64 = 1000;
    let server = Server::start(Config::new()).await;
    let topic = fresh_topic("order");
    let mut listener = transport.listen(server.public(), &Listen::to(&topic, token())).await;
    for burst in 0..10 {
        let (first, last) = (burst * BURST + 1, (burst + 1) * BURST);
        server.api().publish_numbers(&topic, first..=last).await;
        assert_eq!(listener.take(1000).await.0, numbers(first..=last), "{transport}");
    }
}

/// Promise 4: the position that one transport gives is good for every other, and delivery goes on after it.
async fn a_position_is_good_everywhere(transport: Transport) {
    let server = Server::start(Config::new()).await;
    let topic = fresh_topic("resume");
    let api = server.api();
    let mut listener = transport.listen(server.public(), &Listen::to(&topic, token())).await;
    api.publish_numbers(&topic, 1..=10).await;
    let (_, position) = listener.take(5).await;
    drop(listener);
    api.publish_numbers(&topic, 11..=20).await;
    for next in Transport::ALL {
        let ask = Listen::to(&topic, token()).from(position.clone());
        let mut listener = next.listen(server.public(), &ask).await;
        assert_eq!(listener.take(15).await.0, numbers(6..=20), "{transport} to {next}");
    }
}

/// Promise 2: what is gone is told, once, with its bounds, and before what comes after it.
async fn what_is_gone_is_told(transport: Transport) {
    let server = Server::start(Config::new().kind("short", "history = { max_events = 10 }")).await;
    let topic = fresh_topic("short");
    let api = server.api();
    let positions = api.publish_numbers(&topic, 1..=100).await;
    let ask = Listen::to(&topic, token()).from(positions[19].clone());
    let mut listener = transport.listen(server.public(), &ask).await;
    let gap = loop {
        match listener.next().await {
            Heard::Gap(gap) => break gap,
            Heard::Resume(_) => {}
            other => panic!("{transport}: {other:?}"),
        }
    };
    assert_eq!((&gap["topic"], &gap["from"], &gap["reason"]), (&json!(topic), &json!(21), &json!("trimmed")), "{gap}");
    let to = gap["to"].as_u64().expect("a bound");
    assert!(to >= 90, "{gap}");
    let left = 100 - to;
    assert_eq!(listener.take(usize::try_from(left).expect("few")).await.0, numbers(to + 1..=100), "{transport}");
}

/// Promise 6: one that stops reading costs the others nothing, and gets everything when it reads again.
async fn a_reader_that_stops_gets_everything_later(transport: Transport) {
    const EVENTS: u64 = 1000;
    let server = Server::start(Config::new().lets_readers_stop()).await;
    let topic = fresh_topic("slow");
    let proxy = Proxy::start(server.public()).await;
    let mut slow = transport.listen(proxy.address(), &Listen::to(&topic, token())).await;
    let mut healthy = transport.listen(server.public(), &Listen::to(&topic, token())).await;
    proxy.stall(true);
    let api = server.api().pooled();
    let filling = "x".repeat(16 * 1024);
    for n in 1..=EVENTS {
        api.publish(&topic, Message::json(json!([n, filling]))).await;
        assert_eq!(healthy.event().await["data"][0], n, "{transport}");
    }
    proxy.stall(false);
    for n in 1..=EVENTS {
        assert_eq!(slow.event().await["data"][0], n, "{transport}");
    }
}

/// A node that stops says when to come back, and ends.
async fn a_node_that_stops_says_so(transport: Transport) {
    let mut server = Server::start(Config::new().drain_over(1)).await;
    let topic = fresh_topic("drain");
    let mut listener = transport.listen(server.public(), &Listen::to(&topic, token())).await;
    server.terminate();
    let verdict = listener.ended().await;
    assert_eq!((&verdict["code"], &verdict["reconnect"]), (&json!(3001), &json!(true)), "{transport}: {verdict}");
    assert!(verdict["retry_after_ms"].as_u64().is_some_and(|ms| ms > 0), "{verdict}");
    drop(listener);
    assert!(server.ended(PATIENCE).await.success());
}

over_every_transport!(
    events_come_in_order,
    a_position_is_good_everywhere,
    what_is_gone_is_told,
    a_reader_that_stops_gets_everything_later,
    a_node_that_stops_says_so,
);
