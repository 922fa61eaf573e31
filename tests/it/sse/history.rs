//! Cases 24–33: resuming, and starting in the past.

use std::time::Duration;

use fanfare_model::{Clock as _, Cursor, Position, SystemClock};
use fanfare_tests::sse::{EventStream, subscribe};
use fanfare_tests::token::Token;
use fanfare_tests::{Config, Message, Server, fresh_topic, within};
use serde_json::Value;

fn numbers(range: std::ops::RangeInclusive<u64>) -> Vec<String> {
    range.map(|n| n.to_string()).collect()
}

/// The first event of a stream that was opened with a cursor.
async fn state(stream: &mut EventStream) -> Value {
    stream.control_event("fanfare.stream").await
}

#[tokio::test]
async fn case_24_resume_from_every_position() {
    const LAST: u64 = 40;
    let server = Server::start(Config::new()).await;
    let topic = fresh_topic("case");
    server.api().publish_numbers(&topic, 1..=LAST).await;
    let mut first = subscribe(server.public(), &[&topic]).from("start").open().await;
    let mut ids = Vec::new();
    for n in 1..=LAST {
        let event = first.data_event().await;
        assert_eq!(event.data, n.to_string());
        ids.push(event.id);
    }
    for (k, id) in (1..).zip(&ids) {
        let mut stream = subscribe(server.public(), &[&topic]).last_event_id(id.as_str()).open().await;
        assert_eq!(stream.header("last-event-id"), Some(id.as_str()));
        assert_eq!(state(&mut stream).await["state"], "continue");
        let rest = usize::try_from(LAST - k).expect("small");
        assert_eq!(stream.take(rest).await, numbers(k + 1..=LAST), "from {k}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn case_25_nothing_is_lost_or_doubled_over_a_thousand_reconnects() {
    const EVENTS: u64 = 20_000;
    const RECONNECTS: usize = 1000;
    let server = Server::start(Config::new()).await;
    let topic = fresh_topic("case");
    let api = server.api().pooled();
    let read = async {
        let mut last_id: Option<String> = None;
        let mut seen = Vec::new();
        let mut reconnects = 0;
        while seen.len() < usize::try_from(EVENTS).expect("small") {
            let mut subscription = subscribe(server.public(), &[&topic]);
            subscription = match &last_id {
                Some(id) => subscription.last_event_id(id.as_str()),
                None => subscription.from("start"),
            };
            let mut stream = subscription.open().await;
            reconnects += 1;
            // The last connection reads to the end; the others die after some more events.
            let enough = if reconnects > RECONNECTS { usize::MAX } else { seen.len() + 1 + reconnects % 37 };
            while seen.len() < enough.min(20_000) {
                let event = stream.data_event().await;
                assert!(stream.control().iter().all(|event| event.name == "fanfare.stream"), "{:?}", stream.control());
                seen.push(event.data);
                last_id = Some(event.id);
            }
        }
        (seen, reconnects)
    };
    let publish = api.publish_numbers(&topic, 1..=EVENTS);
    let (_, (seen, reconnects)) = tokio::join!(publish, read);
    assert_eq!(seen, numbers(1..=EVENTS));
    assert!(reconnects >= RECONNECTS, "{reconnects}");
}

#[tokio::test]
async fn case_26_cursors_that_lead_nowhere_are_told_of_and_never_refused() {
    let server = Server::start(Config::new().kind("short", "history = { max_events = 5 }")).await;
    let api = server.api();
    let topic = fresh_topic("case");
    let positions = api.publish_numbers(&topic, 1..=3).await;
    let long = "x".repeat(300);
    for cursor in ["nonsense", "../../etc/passwd", "~AAAA", "~", &long, "-1", "0", "now", "start"] {
        let mut stream = subscribe(server.public(), &[&topic]).last_event_id(cursor).open().await;
        assert_eq!(state(&mut stream).await["state"], "reset", "{cursor}");
        api.publish_text(&topic, cursor).await;
        assert_eq!(stream.event().await.data, cursor, "it begins now: {cursor}");
    }

    // A position of another life, one whose event the log does not have, and one that was never given out.
    let known: Position = positions[2].parse().expect("a position");
    let epoch = fanfare_model::Epoch::from_u32(known.epoch.as_u32() ^ 1).expect("not zero");
    let tag = fanfare_model::Tag::from_u16(known.tag.as_u16() ^ 2);
    for (position, reason) in [
        (Position { epoch, ..known }, "epoch"),
        (Position { tag, ..known }, "fork"),
        (Position { offset: known.offset + 1000, ..known }, "fork"),
    ] {
        let mut stream = subscribe(server.public(), &[&topic]).last_event_id(position.to_string()).open().await;
        assert_eq!(state(&mut stream).await["state"], "gap", "{reason}");
        let gap = stream.control_event("fanfare.gap").await;
        assert_eq!((&gap["reason"], &gap["from"]), (&reason.into(), &(position.offset + 1).into()), "{gap}");
        // It goes on right after what the gap covers.
        api.publish_text(&topic, "on").await;
        let next: Position = stream.data_event().await.id.parse().expect("a position");
        assert_eq!((next.epoch, next.offset), (known.epoch, gap["to"].as_u64().expect("a number") + 1), "{gap}");
    }

    // A position whose successors were trimmed names what is missing.
    let short = fresh_topic("short");
    let positions = api.publish_numbers(&short, 1..=20).await;
    let mut stream = subscribe(server.public(), &[&short]).last_event_id(positions[3].as_str()).open().await;
    assert_eq!(state(&mut stream).await["state"], "gap");
    let gap = stream.control_event("fanfare.gap").await;
    let (expected, position) = (("trimmed", 5, 15), gap["position"].as_str().expect("where it continues"));
    let told = (gap["reason"].as_str(), gap["from"].as_u64(), gap["to"].as_u64());
    assert_eq!((told, &gap["topic"]), ((Some(expected.0), Some(expected.1), Some(expected.2)), &short.as_str().into()));
    assert_eq!(position.parse::<Position>().expect("a position").offset, 15);
    assert_eq!(stream.take(5).await, numbers(16..=20));
}

#[tokio::test]
async fn case_27_the_header_wins_over_the_query_and_an_empty_one_counts_as_none() {
    let server = Server::start(Config::new()).await;
    let topic = fresh_topic("case");
    let positions = server.api().publish_numbers(&topic, 1..=9).await;
    let subscription = subscribe(server.public(), &[&topic]).query("last_event_id", positions[1].as_str());
    let mut both = subscription.clone().last_event_id(positions[6].as_str()).open().await;
    assert_eq!(both.take(2).await, numbers(8..=9));
    for stream in [subscription.clone(), subscription.last_event_id("")] {
        assert_eq!(stream.open().await.take(7).await, numbers(3..=9));
    }

    let mut none = subscribe(server.public(), &[&topic]).last_event_id("").open().await;
    server.api().publish_text(&topic, "now").await;
    assert_eq!(none.event().await.data, "now", "no cursor, so no word on it");
}

#[tokio::test]
async fn case_28_bytes_of_any_kind_in_the_header() {
    let server = Server::start(Config::new()).await;
    let topic = fresh_topic("case");
    server.api().publish_numbers(&topic, 1..=3).await;
    for bytes in [&b"\xc3\xa9"[..], b"\xff\xfe", b"\xed\xa0\x80", b"a\tb"] {
        let mut stream = subscribe(server.public(), &[&topic]).last_event_id(bytes).open().await;
        assert_ne!(state(&mut stream).await["state"], "continue", "{bytes:?}");
    }
}

#[tokio::test]
async fn case_29_the_forms_of_from() {
    let server = Server::start(Config::new()).await;
    let api = server.api();
    let topic = fresh_topic("case");
    api.publish_numbers(&topic, 1..=5).await;
    let between = SystemClock.now();
    // An event's time is the server's clock, which is this machine's: the next one is later than `between`.
    let positions = api.publish_numbers(&topic, 6..=9).await;
    for (from, first) in [
        ("start".to_owned(), 1),
        ("last:3".to_owned(), 7),
        ("last:100".to_owned(), 1),
        (format!("since:{between}"), 6),
        ("since:2020-01-01T00:00:00Z".to_owned(), 1),
        ("since:1577836800000".to_owned(), 1),
        (positions[1].clone(), 8),
    ] {
        let mut stream = subscribe(server.public(), &[&topic]).from(&from).open().await;
        let count = usize::try_from(10 - first).expect("small");
        assert_eq!(stream.take(count).await, numbers(first..=9), "{from}");
    }
    for from in ["since:abc", "last:-1", "last:many", "later", "since:"] {
        let response = within("an answer", subscribe(server.public(), &[&topic]).from(from).send()).await;
        assert_eq!(response.expect("the server answers").status, 400, "{from}");
    }
    let mut now = subscribe(server.public(), &[&topic]).from("now").open().await;
    api.publish_text(&topic, "fresh").await;
    assert_eq!(now.take(1).await, ["fresh"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn case_30_resuming_at_the_head_of_a_long_log_costs_what_a_short_one_costs() {
    const LONG: u64 = 200_000;
    let config = Config::new().topics("history = { max_events = 2000000 }").topics("durability = \"none\"");
    let server = Server::start(config).await;
    let api = server.api().pooled();
    let (long, short) = (fresh_topic("long"), fresh_topic("short"));
    let head_of_short = api.publish_numbers(&short, 1..=1000).await.pop().expect("a position");
    let head_of_long = api.publish_numbers(&long, 1..=LONG).await.pop().expect("a position");
    let resume = async |topic: &str, head: &str| {
        let mut fastest = Duration::MAX;
        for _ in 0..20 {
            let begun = tokio::time::Instant::now();
            let mut stream = subscribe(server.public(), &[topic]).last_event_id(head).open().await;
            assert_eq!(state(&mut stream).await["state"], "continue");
            fastest = fastest.min(begun.elapsed());
        }
        fastest
    };
    let of_short = resume(&short, &head_of_short).await;
    let of_long = resume(&long, &head_of_long).await;
    // A scan would be two hundred times slower; the constant is for a busy machine.
    assert!(of_long < of_short * 3 + Duration::from_millis(5), "{of_long:?} against {of_short:?}");
}

#[tokio::test]
async fn case_31_a_cursor_never_widens_a_subscription() {
    let server = Server::start(Config::new()).await;
    let api = server.api();
    let (mine, other) = (fresh_topic("mine"), fresh_topic("other"));
    api.publish_numbers(&mine, 1..=2).await;
    api.publish_numbers(&other, 11..=12).await;
    let mut both = subscribe(server.public(), &[&mine, &other]).from("start").open().await;
    both.take(4).await;
    let cursor = both.last_id().to_owned();
    assert!(matches!(cursor.parse::<Cursor>(), Ok(Cursor::Many(_))), "{cursor}");

    api.publish_text(&other, "not for you").await;
    api.publish_text(&mine, "for you").await;
    let token = Token::client().grant(&[&mine], &["subscribe", "history"]).mint();
    let subscription = subscribe(server.public(), &[&mine]).token(Some(token.clone()));
    let mut stream = subscription.last_event_id(cursor.as_str()).open().await;
    assert_eq!(state(&mut stream).await["state"], "continue");
    let event = stream.event().await;
    assert_eq!(event.data, "for you");
    let next: Cursor = event.id.parse().expect("a cursor");
    let foreign: fanfare_model::Topic = other.parse().expect("a topic");
    assert_eq!(next.position_of(&foreign, false), None, "nothing of the other topic comes back: {next}");

    let refused = subscribe(server.public(), &[&mine, &other]).token(Some(token)).last_event_id(cursor).send().await;
    assert_eq!(refused.expect("the server answers").status, 403);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn case_32_a_replay_of_any_size_costs_bounded_memory() {
    const EVENTS: usize = 3000;
    let server = Server::start(Config::new()).await;
    let api = server.api().pooled();
    let topic = fresh_topic("case");
    let text = "x".repeat(20_000);
    for batch in 0..EVENTS / 30 {
        let messages = (0..30).map(|n| Message::json(format!("{}:{text}", batch * 30 + n))).collect();
        api.publish_many(&topic, messages).await;
    }
    let before = server.stats().rss_bytes;
    // Ten readers ask for all 60 MB and stop reading at once.
    let mut stalled = Vec::new();
    for _ in 0..10 {
        let mut stream = subscribe(server.public(), &[&topic]).from("start").open().await;
        stream.data_event().await;
        stalled.push(stream);
    }
    // The one that reads is not held up by them, and gets everything.
    let mut reader = subscribe(server.public(), &[&topic]).from("start").open().await;
    for n in 0..EVENTS {
        let data = reader.data_event().await.json();
        assert!(data.as_str().is_some_and(|data| data.starts_with(&format!("{n}:"))), "event {n}");
    }
    let grown = server.stats().rss_bytes.saturating_sub(before);
    assert!(grown < 48 * 1024 * 1024, "the replays took {} KiB", grown / 1024);
}

#[tokio::test]
async fn case_33_after_a_restart_a_cursor_continues_if_the_history_does() {
    let mut server = Server::start(Config::new()).await;
    let topic = fresh_topic("case");
    let positions = server.api().publish_numbers(&topic, 1..=5).await;
    server.kill();
    server.restart().await;
    server.api().publish_numbers(&topic, 6..=7).await;
    let mut stream = subscribe(server.public(), &[&topic]).last_event_id(positions[2].as_str()).open().await;
    assert_eq!(state(&mut stream).await["state"], "continue");
    assert_eq!(stream.take(4).await, numbers(4..=7));

    let mut server = Server::start(Config::new().memory()).await;
    let positions = server.api().publish_numbers(&topic, 1..=5).await;
    server.kill();
    server.restart().await;
    let mut stream = subscribe(server.public(), &[&topic]).last_event_id(positions[2].as_str()).open().await;
    assert_eq!(state(&mut stream).await["state"], "gap");
    let gap = stream.control_event("fanfare.gap").await;
    assert_eq!((&gap["topic"], &gap["reason"]), (&topic.as_str().into(), &"epoch".into()));
    server.api().publish_text(&topic, "a new life").await;
    assert_eq!(stream.take(1).await, ["a new life"]);
}
