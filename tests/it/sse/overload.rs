//! Cases 38, 39, 41 and 43: no room, going away, and a stream that is over for good.

use std::collections::BTreeSet;
use std::time::Duration;

use fanfare_tests::sse::{EventStream, subscribe};
use fanfare_tests::{Config, PATIENCE, Server, fresh_topic, within};

#[tokio::test]
async fn case_38_beyond_the_limit_browsers_are_told_to_come_back_and_others_get_a_status() {
    let config = Config::new().session("sessions_max = 2").anonymous(&["*"], &["subscribe"]);
    let server = Server::start(config).await;
    let topic = fresh_topic("case");
    let subscription = subscribe(server.public(), &[&topic]);
    let mut first = subscription.open().await;
    let mut second = subscription.clone().token(None).open().await;

    // Like a browser's EventSource, for which any status but 200 is the end for ever.
    let browser = subscription.clone().token(None);
    let mut waits = BTreeSet::new();
    for _ in 0..8 {
        let mut stream = browser.open().await;
        let events = stream.to_end().await;
        let retry = stream.parser().retry.expect("it says when to come back");
        assert!((5000..=30_000).contains(&retry), "{retry}");
        waits.insert(retry);
        let [goodbye] = &events[..] else { panic!("one event: {events:?}") };
        assert_eq!(goodbye.name, "fanfare.disconnect");
        assert_eq!(goodbye.json()["reason"], "overloaded");
        assert_eq!(goodbye.json()["reconnect"], true);
    }
    assert!(waits.len() > 1, "the waits are spread: {waits:?}");

    for other in [subscription.clone(), browser.query("reject", "status")] {
        let response = within("an answer", other.send()).await.expect("the server answers");
        assert_eq!(response.status, 503, "{}", other.target());
        assert!(response.header("retry-after").is_some_and(|s| s.parse::<u32>().is_ok_and(|s| s > 0)));
    }

    server.api().publish_text(&topic, "still here").await;
    for stream in [&mut first, &mut second] {
        assert_eq!(stream.data_event().await.data, "still here", "nobody was put out");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn case_39_streams_are_sent_away_spread_over_the_window_and_lose_nothing() {
    const STREAMS: usize = 1000;
    const WINDOW: Duration = Duration::from_secs(4);
    let config = Config::new().drain_over(WINDOW.as_secs());
    let mut server = Server::start(config).await;
    let api = server.api();
    let topic = fresh_topic("case");
    let mut streams: Vec<EventStream> = Vec::with_capacity(STREAMS);
    for _ in 0..STREAMS {
        streams.push(subscribe(server.public(), &[&topic]).open().await);
    }
    api.publish_text(&topic, "before").await;
    for stream in &mut streams {
        assert_eq!(stream.data_event().await.data, "before");
    }

    let begun = tokio::time::Instant::now();
    server.terminate();
    let ends = futures_util::future::join_all(streams.iter_mut().map(async |stream| {
        let events = stream.to_end().await;
        (begun.elapsed(), events)
    }))
    .await;
    let mut bins = [0_usize; 16];
    for (after, events) in &ends {
        bins[usize::try_from(after.as_secs()).expect("seconds").min(15)] += 1;
        let goodbye = events.last().expect("a goodbye");
        assert_eq!(goodbye.name, "fanfare.disconnect", "{events:?}");
        assert_eq!(goodbye.json()["reason"], "draining");
        assert_eq!(goodbye.json()["reconnect"], true);
    }
    // A quarter goes each second; a test that the machine holds up hears of some of them late.
    assert!(bins.iter().all(|bin| *bin <= STREAMS * 3 / 4), "ends by second: {bins:?}");
    for stream in &streams {
        assert!(stream.parser().at_boundary());
        assert!(stream.parser().retry.is_some());
    }
    let status = server.ended(PATIENCE).await;
    assert!(status.success(), "{status}");

    server.restart().await;
    server.api().publish_text(&topic, "after").await;
    for stream in streams.iter().step_by(50) {
        let mut again = subscribe(server.public(), &[&topic]).last_event_id(stream.last_id()).open().await;
        assert_eq!(again.take(1).await, ["after"]);
    }
}
