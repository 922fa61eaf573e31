//! Cases 34–37: keeping idle streams alive, and noticing those that are not.

use std::io::ErrorKind;
use std::time::Duration;

use fanfare_tests::sse::{EventStream, subscribe};
use fanfare_tests::{
    Api, Config, Cut, H2Client, InTime, PATIENCE, Proxy, Request, Server, eventually, fresh_topic, within,
};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

async fn sessions_are(api: &Api, count: f64) {
    eventually(format!("{count} SSE sessions"), PATIENCE, || async {
        ((api.metric("fanfare_sessions", "sse").await - count).abs() < 0.5).then_some(())
    })
    .await;
}

#[tokio::test]
async fn case_34_heartbeats_are_comments_without_a_blank_line() {
    let server = Server::start(Config::new().session("ping_interval = \"5s\"")).await;
    let topic = fresh_topic("case");
    let mut stream = subscribe(server.public(), &[&topic]).open().await;
    let begun = tokio::time::Instant::now();
    // The first comment is of the prologue.
    stream.read_until("two heartbeats", |parser| parser.comments > 2).await;
    // By default they are 25 s apart.
    assert!(begun.elapsed() < Duration::from_secs(40), "after {:?}", begun.elapsed());
    let text = std::str::from_utf8(stream.bytes()).expect("UTF-8");
    let (_, heartbeats) = text.strip_prefix(":\nretry: ").and_then(|rest| rest.split_once('\n')).expect("a prologue");
    assert!(heartbeats.lines().all(|line| line == ":"), "{text:?}");
    server.api().publish_text(&topic, "still here").await;
    assert_eq!(stream.event().await.data, "still here");
    assert_eq!(stream.parser().idle_blank_lines, 0);
}

#[tokio::test]
async fn case_35_every_way_of_leaving_is_noticed() {
    // No heartbeat finds what should be noticed at once.
    let server = Server::start(Config::new().without_pings()).await;
    let api = server.api();
    let proxy = Proxy::start(server.public()).await;
    let topic = fresh_topic("case");

    for how in [Cut::Fin, Cut::Reset] {
        let stream = subscribe(proxy.address(), &[&topic]).open().await;
        sessions_are(&api, 1.0).await;
        proxy.cut(how);
        sessions_are(&api, 0.0).await;
        drop(stream);
    }

    let mut connection = H2Client::connect(server.public(), 65_535).await;
    let reset = subscribe(server.public(), &[&topic]).open_h2(&mut connection).await;
    let stays = subscribe(server.public(), &[&topic]).open_h2(&mut connection).await;
    sessions_are(&api, 2.0).await;
    drop(reset);
    sessions_are(&api, 1.0).await;
    drop((stays, connection));
    sessions_are(&api, 0.0).await;

    // Bytes after the head stop the server from watching for the end; then a heartbeat must find it.
    let server = Server::start(Config::new().session("ping_interval = \"5s\"")).await;
    let api = server.api();
    let mut stream = subscribe(server.public(), &[&topic]).open().await;
    sessions_are(&api, 1.0).await;
    let connection: &mut TcpStream = stream.http1().connection();
    connection.write_all(b"x").await.expect("the server is there");
    drop(stream);
    sessions_are(&api, 0.0).await;
}

/// Reads a stream with pauses: none until `resume`, then to the event `last`.
async fn drain(stream: &mut EventStream, last: u64) -> Result<Vec<u64>, ErrorKind> {
    let mut seen: Vec<u64> = Vec::new();
    while seen.last() != Some(&last) {
        match within("an event", stream.next()).await {
            Ok(Some(event)) if event.is_control() => {}
            Ok(Some(event)) => seen.push(event.json()["n"].as_u64().expect("a number")),
            Ok(None) => return Ok(seen),
            Err(error) => return Err(error.kind()),
        }
    }
    Ok(seen)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn case_36_a_reader_that_stops_costs_itself_only() {
    const EVENTS: u64 = 2000;
    let config = Config::new().sse("stall_timeout = \"5s\"");
    let server = Server::start(config).await;
    let api = server.api().pooled();
    let topic = fresh_topic("case");
    let mut http1 = subscribe(server.public(), &[&topic]).open().await;
    let mut companions = Vec::new();
    for _ in 0..10 {
        companions.push(subscribe(server.public(), &[&topic]).open().await);
    }
    let mut window_closed = H2Client::connect(server.public(), 1024).await;
    let _http2 = subscribe(server.public(), &[&topic]).open_h2(&mut window_closed).await;
    let mut healthy = subscribe(server.public(), &[&topic]).open().await;
    let before = server.stats().rss_bytes;

    let text = "x".repeat(10_000);
    let mut deliveries = InTime::new(Duration::from_secs(2));
    for n in 1..=EVENTS {
        let begun = tokio::time::Instant::now();
        api.publish(&topic, fanfare_tests::Message::json(serde_json::json!({"n": n, "text": text}))).await;
        assert_eq!(healthy.data_event().await.json()["n"], n);
        deliveries.took(begun.elapsed());
    }
    let grown = server.stats().rss_bytes.saturating_sub(before);
    // The log itself keeps the latest 20 MB in memory; twelve readers that held them would take 240 MB.
    assert!(grown < 64 * 1024 * 1024, "20 MB of events for twelve stopped readers took {} KiB", grown / 1024);

    eventually("the stopped readers to be closed", PATIENCE, || async {
        (api.metric("fanfare_sessions_ended_total", "stalled").await >= 12.0).then_some(())
    })
    .await;

    // What was sent before is a prefix, and resuming from it gives the rest.
    let (mut seen, cursor) = {
        let seen = match drain(&mut http1, EVENTS).await {
            Ok(seen) => seen,
            // How a close with unread bytes looks from here; the events before it were read.
            Err(ErrorKind::ConnectionReset | ErrorKind::UnexpectedEof) => Vec::new(),
            Err(other) => panic!("{other}"),
        };
        (seen, http1.last_id().to_owned())
    };
    let position: fanfare_model::Position = cursor.parse().expect("a position of the only topic");
    seen.extend(seen.is_empty().then_some(1..=position.offset).into_iter().flatten());
    assert_eq!(seen, (1..=position.offset).collect::<Vec<_>>());
    let mut again = subscribe(server.public(), &[&topic]).last_event_id(cursor).open().await;
    seen.extend(drain(&mut again, EVENTS).await.expect("the stream is not cut"));
    assert_eq!(seen, (1..=EVENTS).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn case_37_slow_heads_are_closed_and_block_nobody() {
    const SLOW: usize = 500;
    let server = Server::start(Config::new().set("http", "header_read_timeout = \"3s\"")).await;
    let topic = fresh_topic("case");
    let head = Request::get("/v1/sse?topic=a").bytes();
    let mut slow = Vec::with_capacity(SLOW);
    for _ in 0..SLOW {
        let mut stream = TcpStream::connect(server.public()).await.expect("the server accepts");
        stream.write_all(&head[..10]).await.expect("the server reads");
        slow.push(stream);
    }
    let mut stream = within("a stream beside slow heads", subscribe(server.public(), &[&topic]).open()).await;
    server.api().publish_text(&topic, "through").await;
    assert_eq!(stream.data_event().await.data, "through");

    // One byte now and then does not buy time: each is closed by the deadline of its whole head.
    let mut rest = head[10..].iter();
    eventually("the slow heads to be closed", PATIENCE, || {
        let byte = rest.next().copied().unwrap_or(b'x');
        slow.retain_mut(|stream| {
            let mut buffer = [0; 512];
            let _ = stream.try_write(&[byte]);
            match stream.try_read(&mut buffer) {
                Ok(0) => false,
                Ok(_) => true,
                Err(error) => error.kind() == ErrorKind::WouldBlock,
            }
        });
        std::future::ready(slow.is_empty().then_some(()))
    })
    .await;
}
