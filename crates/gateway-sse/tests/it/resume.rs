//! Cursors, gaps and resets.

use fanfare_model::{Cursor, Position, Topic};
use http::Method;

use crate::parser::Parsed;
use crate::server::{Server, data, server};

fn stream_state(event: &Parsed) -> (String, String) {
    assert_eq!(event.event, "fanfare.stream");
    let data: serde_json::Value = serde_json::from_str(&event.data).unwrap();
    let text = |name: &str| data[name].as_str().unwrap_or_default().to_owned();
    (text("state"), text("requested"))
}

#[tokio::test(start_paused = true)]
async fn case_24_resume_continues_after_the_id() {
    let server = server();
    let positions = server.publish_numbers("a", 1..=20).await;
    for k in [1_usize, 9, 15, 20] {
        let id = positions[k - 1].to_string();
        let mut client = server.get("topic=a").header("last-event-id", &id).open().await;
        assert_eq!((client.header("fanfare-stream-state"), client.header("last-event-id")), ("continue", id.as_str()));
        let events = client.events(1 + 20 - k).await;
        assert_eq!(stream_state(&events[0]), ("continue".to_owned(), id.clone()));
        assert_eq!(events[0].id, id);
        let expected: Vec<_> = (k + 1..=20).map(|n| n.to_string()).collect();
        assert_eq!(data(&events), expected);
        let ids: Vec<_> = events[1..].iter().map(|event| event.id.clone()).collect();
        assert_eq!(ids, positions[k..].iter().map(Position::to_string).collect::<Vec<_>>());
    }
}

#[tokio::test(start_paused = true)]
async fn case_27_the_header_wins_over_the_query_and_that_over_from() {
    let server = server();
    let ids: Vec<_> = server.publish_numbers("a", 1..=3).await.iter().map(Position::to_string).collect();
    let query = format!("topic=a&from=start&lastEventID={}", ids[1]);
    let mut client = server.get(&query).header("last-event-id", &ids[0]).open().await;
    assert_eq!(data(&client.events(3).await), ["2", "3"]);
    let mut client = server.get(&query).header("last-event-id", "").open().await;
    assert_eq!(data(&client.events(2).await), ["3"]);
    let mut client = server.get("topic=a&from=start").open().await;
    assert_eq!(data(&client.events(3).await), ["1", "2", "3"]);
    let mut client = server.get("topic=a&from=last:1").open().await;
    assert_eq!(data(&client.events(1).await), ["3"]);
    let mut client = server.get(&format!("topic=a&from={}", ids[1])).open().await;
    assert_eq!(data(&client.events(2).await), ["3"]);
}

#[tokio::test(start_paused = true)]
async fn cases_26_and_28_a_useless_cursor_is_no_error() {
    let server = server();
    server.publish_numbers("a", 1..=3).await;
    let other_topic = {
        let mut text = String::new();
        let position: Position = "k3J9.1.001".parse().unwrap();
        Cursor::write_many(&[(fanfare_model::TopicTag::of(&Topic::new("z").unwrap()), position)], &mut text);
        text
    };
    let long = "x".repeat(300);
    for cursor in [
        b"../../etc/passwd".as_slice(),
        b"42",
        b"~AQ",
        b"~!!!",
        "é".as_bytes(),
        b"\xff\xfe",
        long.as_bytes(),
        other_topic.as_bytes(),
    ] {
        let mut client = server.get("topic=a&from=start").header("last-event-id", cursor).open().await;
        assert_eq!(client.header("fanfare-stream-state"), "reset");
        let state = client.events(1).await;
        assert_eq!(stream_state(&state[0]).0, "reset");
        assert!(stream_state(&state[0]).1.len() <= 256);
        server.publish("a", &["live"]).await;
        assert_eq!(data(&client.events(2).await), ["live"], "{cursor:?}");
        // What the reset event gave as its id is good for a resume.
        let mut again = server.get("topic=a").header("last-event-id", &state[0].id).open().await;
        let events = again.events(2).await;
        assert_eq!((stream_state(&events[0]).0.as_str(), data(&events)), ("continue", vec!["live"]));
    }
}

#[tokio::test(start_paused = true)]
async fn a_gap_is_told_once() {
    let server = server();
    let positions = server.publish_numbers("short:1", 1..=10).await;
    let id = positions[1].to_string();
    let mut client = server.get("topic=short:1").header("last-event-id", &id).open().await;
    let events = client.events(1 + 1 + 3).await;
    assert_eq!(data(&events), ["8", "9", "10"]);
    let gap_at = events.iter().position(|event| event.event == "fanfare.gap").unwrap();
    let gap: serde_json::Value = serde_json::from_str(&events[gap_at].data).unwrap();
    assert_eq!(
        (&gap["topic"], &gap["from"], &gap["to"], &gap["reason"]),
        (&"short:1".into(), &3.into(), &7.into(), &"trimmed".into())
    );
    assert_eq!(gap["position"], events[gap_at].id);
    // Cut off before the gap, it is told again; after it, it is not.
    let before = &events[gap_at - 1].id;
    let mut client = server.get("topic=short:1").header("last-event-id", before).open().await;
    assert_eq!(client.events(5).await.iter().filter(|event| event.event == "fanfare.gap").count(), 1);
    let mut client = server.get("topic=short:1").header("last-event-id", &events[gap_at].id).open().await;
    assert_eq!(data(&client.events(4).await), ["8", "9", "10"]);
}

#[tokio::test(start_paused = true)]
async fn a_log_of_another_life_is_a_gap_at_the_start() {
    let server = server();
    server.publish_numbers("a", 1..=2).await;
    server.publish_numbers("b", 1..=2).await;
    let foreign: Position = "k3J9.7.0x7".parse().unwrap();
    let known = {
        let mut client = server.get("topic=a&topic=b&checkpoint=1").open().await;
        let cursor: Cursor = client.events(1).await[0].id.parse().unwrap();
        cursor.position_of(&Topic::new("b").unwrap(), false).unwrap()
    };
    let tag = |name: &str| fanfare_model::TopicTag::of(&Topic::new(name).unwrap());
    let mut cursor = String::new();
    Cursor::write_many(&[(tag("a"), foreign), (tag("b"), known)], &mut cursor);
    let mut client = server.get("topic=a&topic=b").header("last-event-id", &cursor).open().await;
    assert_eq!((client.header("fanfare-stream-state"), client.header("last-event-id")), ("gap", cursor.as_str()));
    let events = client.events(4).await;
    assert_eq!(stream_state(&events[0]).0, "gap");
    assert_eq!(events[0].id, cursor, "cut off here, the gap is told again");
    let gap: serde_json::Value = serde_json::from_str(&events[1].data).unwrap();
    assert_eq!((&gap["topic"], &gap["from"], &gap["reason"]), (&"a".into(), &8.into(), &"epoch".into()));
    assert_eq!(data(&events), ["1", "2"]);
}

#[tokio::test(start_paused = true)]
async fn one_id_covers_all_topics() {
    let server = server();
    let mut client = server.get("topic=a&topic=b&topic=c").open().await;
    for (topic, text) in [("a", "a1"), ("b", "b1"), ("a", "a2"), ("c", "c1"), ("b", "b2")] {
        server.publish(topic, &[text]).await;
        client.frame().await;
    }
    client.frame().await;
    let events = client.events(5).await;
    for (seen, event) in events.iter().enumerate() {
        // The topics may be asked for in another order, and one may be new.
        let mut resumed = server.get("topic=d&topic=c&topic=b&topic=a").header("last-event-id", &event.id).open().await;
        assert_eq!(resumed.header("fanfare-stream-state"), "continue");
        let mut rest: Vec<_> = resumed.events(1 + 4 - seen).await.into_iter().skip(1).map(|event| event.data).collect();
        let mut expected: Vec<_> = events[seen + 1..].iter().map(|event| event.data.clone()).collect();
        rest.sort();
        expected.sort();
        assert_eq!(rest, expected, "after {seen}");
    }
    // Case 31: a cursor never widens what was asked for.
    let mut one = server.get("topic=b").header("last-event-id", &events[0].id).open().await;
    assert_eq!(data(&one.events(3).await), ["b1", "b2"]);
}

#[tokio::test(start_paused = true)]
async fn a_bare_position_says_nothing_about_several_topics() {
    let server = server();
    let id = server.publish_numbers("a", 1..=3).await[0].to_string();
    let client = server.get("topic=a&topic=b").header("last-event-id", &id).open().await;
    assert_eq!(client.header("fanfare-stream-state"), "reset");
}

#[tokio::test(start_paused = true)]
async fn a_topic_of_a_body_has_its_own_beginning() {
    let server = server();
    let id = server.publish_numbers("a", 1..=3).await[1].to_string();
    server.publish_numbers("b", 4..=5).await;
    let body = format!(r#"{{"topics":[{{"topic":"a","from":"{id}"}},"b"],"from":"last:1"}}"#);
    let mut client = server.get("").method(Method::POST).body("application/json", body).open().await;
    let events = client.events(3).await;
    assert_eq!(stream_state(&events[0]), ("continue".to_owned(), String::new()));
    assert_eq!(data(&events), ["3", "5"]);
}

#[tokio::test(start_paused = true)]
async fn a_checkpoint_makes_a_stream_resumable_before_its_first_event() {
    let server = server();
    let mut client = server.get("topic=a&checkpoint=1").open().await;
    let id = client.events(1).await[0].id.clone();
    assert_eq!(stream_state(&client.events(1).await[0]), ("new".to_owned(), String::new()));
    drop(client);
    server.publish_numbers("a", 1..=2).await;
    let mut client = server.get("topic=a").header("last-event-id", &id).open().await;
    assert_eq!(data(&client.events(3).await), ["1", "2"]);
}

async fn listener_of(server: &Server, id: &str) -> String {
    let client = server.ask(Method::GET, "topic=open:1").header("last-event-id", id).open().await;
    client.header("fanfare-stream-state").to_owned()
}

#[tokio::test(start_paused = true)]
async fn who_may_only_listen_resumes_from_events_and_is_not_turned_away_otherwise() {
    let server = server();
    let ids = server.publish_numbers("open:1", 1..=2).await;
    assert_eq!(listener_of(&server, &ids[0].to_string()).await, "continue");
    // A place that no event vouches for would let it read the past: it begins now, and is told so.
    let invented = Position { tag: fanfare_model::Tag::NONE, ..ids[0] };
    assert_eq!(listener_of(&server, &invented.to_string()).await, "reset");
}
