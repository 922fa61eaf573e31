//! Reading history.

use fanfare_api::Options;
use fanfare_auth::Action;
use fanfare_model::{ByteSize, Position, Topic, TopicTag};
use http::Method;
use serde_json::{Value, json};

use crate::support::{TestApi, grant, numbers};

#[tokio::test]
async fn pages_in_both_directions_meet_without_a_hole() {
    let api = TestApi::new();
    api.publish_numbers("a", 10).await;
    for (direction, expected) in [("forward", (1..=10).collect::<Vec<_>>()), ("backward", (1..=10).rev().collect())] {
        let mut path = format!("/v1/topics/a/events?limit=3&direction={direction}");
        let (mut got, mut pages) = (Vec::new(), 0);
        loop {
            let page = api.get(&path).await.ok();
            assert_eq!(page["gap"], Value::Null);
            got.extend(numbers(&page));
            pages += 1;
            if page["more"] == false {
                break;
            }
            let next = page["next"].as_str().unwrap();
            path = format!("/v1/topics/a/events?limit=3&direction={direction}&from={next}");
        }
        assert_eq!((got, pages), (expected, 4), "{direction}");
    }
}

#[tokio::test]
async fn every_way_to_begin() {
    let api = TestApi::new();
    let positions = api.publish_numbers("a", 10).await;
    let mut cursor = String::new();
    let position: Position = positions[6].parse().unwrap();
    fanfare_model::Cursor::write_many(&[(TopicTag::of(&Topic::new("a").unwrap()), position)], &mut cursor);
    let third = 1_763_719_203;
    for (query, expected, more) in [
        ("from=start&limit=2".to_owned(), vec![1, 2], true),
        ("from=7".to_owned(), vec![8, 9, 10], false),
        (format!("from={}", positions[6]), vec![8, 9, 10], false),
        (format!("from={cursor}"), vec![8, 9, 10], false),
        (format!("from={}&direction=backward&limit=2", positions[6]), vec![6, 5], true),
        ("from=3&direction=backward".to_owned(), vec![2, 1], false),
        ("before=3".to_owned(), vec![2, 1], false),
        ("before=1".to_owned(), vec![], false),
        ("before=0".to_owned(), vec![], false),
        ("before=9999&limit=2".to_owned(), vec![10, 9], true),
        ("from=now".to_owned(), vec![], false),
        ("from=10".to_owned(), vec![], false),
        (format!("from={}", u64::MAX), vec![], false),
        (format!("from={}&direction=backward&limit=1", u64::MAX), vec![10], true),
        ("last=3".to_owned(), vec![8, 9, 10], false),
        ("last=50".to_owned(), (1..=10).collect(), false),
        (format!("since={third}000"), (3..=10).collect(), false),
        ("since=2025-11-21T10:00:09Z".to_owned(), vec![9, 10], false),
        ("since=2030-01-01T00:00:00Z".to_owned(), vec![], false),
    ] {
        let page = api.get(&format!("/v1/topics/a/events?{query}")).await.ok();
        assert_eq!((numbers(&page), &page["more"]), (expected, &json!(more)), "{query}");
        assert_eq!(page["gap"], Value::Null, "{query}");
        assert_eq!(page["head"]["offset"], 10);
        assert_eq!(page["head"]["position"], positions[9]);
    }
    let now = api.get("/v1/topics/a/events?from=now").await.ok();
    assert_eq!(now["next"], positions[9]);
    api.publish_numbers("a", 1).await;
    let news = api.get(&format!("/v1/topics/a/events?from={}", positions[9])).await.ok();
    assert_eq!(news["events"][0]["offset"], 11);
}

#[tokio::test]
async fn what_is_gone_is_told() {
    let api = TestApi::new();
    let positions = api.publish_numbers("few", 10).await;
    let page = api.get(&format!("/v1/topics/few/events?from={}", positions[1])).await.ok();
    assert_eq!(numbers(&page), [8, 9, 10]);
    assert_eq!(page["gap"], json!({"from": 3, "to": 7, "reason": "trimmed"}));
    let page = api.get(&format!("/v1/topics/few/events?from={}", positions[6])).await.ok();
    assert_eq!((numbers(&page), &page["gap"]), (vec![8, 9, 10], &Value::Null));
    let page = api.get("/v1/topics/few/events?from=2").await.ok();
    assert_eq!(page["gap"], json!({"from": 3, "to": 7, "reason": "trimmed"}));

    api.delete("/v1/topics/few/events?before=11").await.ok();
    let page = api.get(&format!("/v1/topics/few/events?from={}", positions[8])).await.ok();
    assert_eq!((numbers(&page), &page["gap"]), (vec![], &json!({"from": 10, "to": 10, "reason": "trimmed"})));
    assert_eq!(page["next"], positions[9]);

    api.delete("/v1/topics/few/events").await.ok();
    api.publish_numbers("few", 2).await;
    let page = api.get(&format!("/v1/topics/few/events?from={}", positions[8])).await.ok();
    assert_eq!((numbers(&page), &page["gap"]["reason"]), (vec![1, 2], &json!("epoch")));
    let page = api.get(&format!("/v1/topics/few/events?from={}&direction=backward", positions[8])).await.ok();
    assert_eq!((numbers(&page), &page["gap"]["reason"]), (vec![2, 1], &json!("epoch")));
}

#[tokio::test]
async fn a_position_that_this_log_never_gave_is_a_fork() {
    let api = TestApi::new();
    let positions = api.publish_numbers("a", 3).await;
    let tag = positions[1].rsplit('.').next().unwrap();
    let other = positions[0].rsplit_once('.').unwrap().0;
    let beyond = format!("{}.9.{tag}", positions[0].split('.').next().unwrap());
    for forged in [format!("{other}.{tag}"), beyond] {
        let page = api.get(&format!("/v1/topics/a/events?from={forged}")).await.ok();
        assert_eq!((numbers(&page), &page["gap"]["reason"]), (vec![1, 2, 3], &json!("fork")), "{forged}");
    }
}

#[tokio::test]
async fn pages_are_bounded_in_bytes_and_lose_nothing() {
    let api = TestApi::with(Options { page_bytes_max: ByteSize(300), ..Options::default() });
    let message = |n: u64| json!({"id": format!("{n}"), "data": n, "key": "k".repeat(90)});
    let messages: Vec<_> = (1..=9).map(message).collect();
    api.publish(&json!({"topic": "a", "messages": messages})).await.ok();
    let mut path = "/v1/topics/a/events?last=8".to_owned();
    let mut got = Vec::new();
    loop {
        let page = api.get(&path).await.ok();
        let numbers = numbers(&page);
        assert!((1..=4).contains(&numbers.len()), "{numbers:?}");
        got.extend(numbers);
        if page["more"] == false {
            break;
        }
        path = format!("/v1/topics/a/events?from={}", page["next"].as_str().unwrap());
    }
    assert_eq!(got, (2..=9).collect::<Vec<_>>());
}

#[tokio::test]
async fn reading_needs_the_grant_and_parameters_must_agree() {
    let api = TestApi::new();
    let token = api.mint(grant("a", &[Action::Publish]));
    api.ask_as(&token, Method::GET, "/v1/topics/a/events").await.problem(403, "permission_denied");
    let problem = api.get("/v1/topics/a/events?from=1&before=2").await.problem(400, "conflicting_parameters");
    assert_eq!(problem["detail"], "parameters `from` and `before` contradict each other; give only one of them");
    api.get("/v1/topics/a/events?limit=1001").await.problem(400, "invalid_request");
    let page = api.get("/v1/topics/never:1/events").await.ok();
    assert_eq!((numbers(&page), &page["head"]["offset"], &page["head"]["first"]), (vec![], &json!(0), &json!(1)));
}
