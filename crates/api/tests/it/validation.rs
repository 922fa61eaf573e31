//! Bodies that are wrong: each is told what is wrong and where, and nothing is published.

use serde_json::{Value, json};

use crate::support::TestApi;

#[expect(clippy::too_many_lines, reason = "a table")]
#[tokio::test]
async fn a_bad_body_is_refused_as_a_whole_and_the_problem_points_at_the_item() {
    let api = TestApi::new();
    let long = "x".repeat(129);
    let long_name = format!(r#"{{"topic":"a","message":{{"data":1,"name":"{long}"}}}}"#);
    let invalid = "invalid_request";
    // Body, code, JSON pointer, what the detail says.
    let cases: &[(&str, &str, &str, &str)] = &[
        ("", "invalid_json", "", "is not valid JSON at line 1, column 0"),
        ("{", "invalid_json", "", "is not valid JSON at line 1, column 1"),
        ("{\"topic\":\"a\",\n \"message\": }", "invalid_json", "", "at line 2, column 13"),
        ("[]", invalid, "", "the body: is an array; it must be an object"),
        ("null", invalid, "", "the body: is null; it must be an object"),
        ("{}", invalid, "", "has neither `topic` nor `topics`"),
        (r#"{"topic":"a"}"#, invalid, "", "has neither `message` nor `messages`"),
        (r#"{"message":{"data":1}}"#, invalid, "", "has neither `topic` nor `topics`"),
        (r#"{"topic":"a","topics":["b"],"message":{"data":1}}"#, invalid, "/topics", "beside `topic`"),
        (r#"{"topic":"a","message":{"data":1},"messages":[{"data":1}]}"#, invalid, "/messages", "beside `message`"),
        (r#"{"topic":"a","topic":"b","message":{"data":1}}"#, invalid, "/topic", "topic: is there twice"),
        (r#"{"topic":"a","message":{"data":1},"a/b~c":1}"#, invalid, "/a~1b~0c", "is not a member of this request"),
        (r#"{"topic":1,"message":{"data":1}}"#, invalid, "/topic", "topic: is a number; it must be a string"),
        (r#"{"topic":null,"message":{"data":1}}"#, invalid, "/topic", "topic: is null; it must be a string"),
        (r#"{"topic":"","message":{"data":1}}"#, invalid, "/topic", "topic: topic is empty"),
        (r#"{"topic":"a b","message":{"data":1}}"#, invalid, "/topic", "has the character ' ' in its kind"),
        (r#"{"topic":"a:\n","message":{"data":1}}"#, invalid, "/topic", "U+000A"),
        (r#"{"topic":"\ud800","message":{"data":1}}"#, invalid, "/topic", "an escape that stands for no character"),
        (r#"{"topics":"a","message":{"data":1}}"#, invalid, "/topics", "topics: is a string; it must be an array"),
        (r#"{"topics":[],"message":{"data":1}}"#, invalid, "/topics", "topics: is empty"),
        (r#"{"topics":["a",2],"message":{"data":1}}"#, invalid, "/topics/1", "topics[1]: is a number"),
        (r#"{"topics":["a","b:"],"message":{"data":1}}"#, invalid, "/topics/1", "topics[1]: topic ends at its `:`"),
        (r#"{"topics":["a","b","a"],"message":{"data":1}}"#, invalid, "/topics/2", "topics[2]: is there twice"),
        (r#"{"topic":"a","messages":[]}"#, invalid, "/messages", "messages: is empty"),
        (r#"{"topic":"a","messages":{"data":1}}"#, invalid, "/messages", "messages: is an object; it must be an array"),
        (r#"{"topic":"a","message":"hi"}"#, invalid, "/message", "message: is a string; it must be an object"),
        (r#"{"topic":"a","message":{}}"#, invalid, "/message/data", "message.data: is missing"),
        (
            r#"{"topic":"a","messages":[{"data":1},{"name":"x"}]}"#,
            invalid,
            "/messages/1/data",
            "messages[1].data: is missing",
        ),
        (r#"{"topic":"a","message":{"data":1,"usr":"x"}}"#, invalid, "/message/usr", "is not a member of a message"),
        (r#"{"topic":"a","message":{"data":1,"data":2}}"#, invalid, "/message/data", "message.data: is there twice"),
        (
            r#"{"topic":"a","message":{"data":1,"id":7}}"#,
            invalid,
            "/message/id",
            "message.id: is a number; it must be a string",
        ),
        (r#"{"topic":"a","message":{"data":1,"id":""}}"#, invalid, "/message/id", "message.id: event id is empty"),
        (
            r#"{"topic":"a","messages":[{"data":1},{"data":1},{"data":1},{"data":1,"name":"x\u0000"}]}"#,
            invalid,
            "/messages/3/name",
            "messages[3].name: event name has the character U+0000",
        ),
        (&long_name, invalid, "/message/name", "event name has 129 bytes; at most 128 are allowed"),
        (
            r#"{"topic":"a","message":{"data":1,"name":"fanfare.gap"}}"#,
            invalid,
            "/message/name",
            "message.name: event name begins with `fanfare.`",
        ),
        (
            r#"{"topic":"a","message":{"data":1,"key":"a\u202eb"}}"#,
            invalid,
            "/message/key",
            "key has the character U+202E",
        ),
        (r#"{"topic":"a","message":{"data":1,"source":""}}"#, invalid, "/message/source", "source is empty"),
        (
            r#"{"topic":"a","message":{"data":1,"schema":[]}}"#,
            invalid,
            "/message/schema",
            "is an array; it must be a string",
        ),
        (
            r#"{"topic":"a","message":{"data":1,"occurred_at":"now"}}"#,
            invalid,
            "/message/occurred_at",
            "is a string; it must be a whole number of microseconds",
        ),
        (
            r#"{"topic":"a","message":{"data":1,"occurred_at":1.5}}"#,
            invalid,
            "/message/occurred_at",
            "is a number; it must be",
        ),
        (
            r#"{"topic":"a","message":{"data":1,"headers":[]}}"#,
            invalid,
            "/message/headers",
            "is an array; it must be an object",
        ),
        (r#"{"topic":"a","message":{"data":1,"headers":{"a":1}}}"#, invalid, "/message/headers/a", "is a number"),
        (
            r#"{"topic":"a","message":{"data":1,"headers":{"A":"b"}}}"#,
            invalid,
            "/message/headers/A",
            "is not visible ASCII",
        ),
        (
            r#"{"topic":"a","message":{"data":1,"headers":{"a":"1","a":"2"}}}"#,
            invalid,
            "/message/headers/a",
            "is there twice",
        ),
        (
            r#"{"topic":"a","message":{"data":1,"encoding":"hex"}}"#,
            invalid,
            "/message/encoding",
            "neither \"text\" nor \"base64\"",
        ),
        (
            r#"{"topic":"a","message":{"data":1,"encoding":"text"}}"#,
            invalid,
            "/message/data",
            "data is not a JSON string",
        ),
        (r#"{"topic":"a","message":{"data":"?","encoding":"base64"}}"#, invalid, "/message/data", "data is not base64"),
    ];
    for (body, code, at, detail) in cases {
        let answer = api.post("/v1/publish", &[("content-type", "application/json")], (*body).to_owned()).await;
        let problem = answer.problem(400, code);
        assert_eq!(problem["at"], *at, "{body}: {problem}");
        let said = problem["detail"].as_str().unwrap();
        assert!(said.contains(detail), "{body}: {said}");
        for rust in ["i64", "struct", "RawValue", "Message<", "enum", "Option"] {
            assert!(!said.contains(rust), "{body}: {said}");
        }
    }
    let listed = api.get("/v1/topics").await.ok();
    assert_eq!(listed["topics"], json!([]), "nothing was published");
}

#[tokio::test]
async fn limits_are_told_with_the_number() {
    let api = TestApi::new();
    let messages = |n: usize| vec![json!({"data": 1}); n];
    let topics = |n: usize| (0..n).map(|i| format!("t:{i}")).collect::<Vec<_>>();

    let pairs = api.publish(&json!({"topics": topics(40), "messages": messages(26)})).await;
    let problem = pairs.problem(413, "batch_too_large");
    assert_eq!(problem["detail"], "the batch has 1040 events (40 topics × 26 messages); at most 1000 are allowed");
    api.publish(&json!({"topic": "a", "messages": messages(1001)})).await.problem(413, "batch_too_large");
    api.publish(&json!({"topics": topics(40), "messages": messages(25)})).await.ok();

    let large = api.publish(&json!({"topic": "small", "messages": [{"data": 1}, {"data": "x".repeat(1100)}]})).await;
    let problem = large.problem(413, "too_large");
    assert_eq!((&problem["at"], &problem["topic"]), (&json!("/messages/1"), &json!("small")));
    let head = api.get("/v1/topics/small").await.ok();
    assert_eq!(head["head"]["events"], 0, "nothing of the batch was published");
}

#[tokio::test]
async fn what_is_not_json_is_told_so() {
    let api = TestApi::new();
    for content_type in ["text/plain", "application/x-www-form-urlencoded", ""] {
        let answer = api.post("/v1/publish", &[("content-type", content_type)], "{}").await;
        answer.problem(415, "unsupported_media_type");
    }
    let bytes = b"{\"topic\":\"\xff\"}".to_vec();
    let answer = api.post("/v1/publish", &[("content-type", "application/json; charset=utf-8")], bytes).await;
    let problem = answer.problem(400, "invalid_json");
    assert_eq!(problem["detail"], "the body: is not valid UTF-8 at byte 10");
    let detail = |answer: crate::support::Answer| answer.json()["detail"].as_str().unwrap().to_owned();
    let deep = "[".repeat(200_000);
    let answer = api.post("/v1/publish", &[("content-type", "application/json")], deep).await;
    assert!(detail(answer).contains("is not valid JSON"));
    let nested = format!(r#"{{"topic":"a","message":{{"data":{}{}}}}}"#, "[".repeat(9000), "]".repeat(9000));
    let answer = api.post("/v1/publish", &[("content-type", "application/json")], nested).await;
    assert_eq!(detail(answer), "message.data: data is nested more than 100 levels deep");
}

#[tokio::test]
async fn raw_events_are_checked_by_their_content_type_and_headers() {
    type Case = (&'static str, &'static [(&'static str, &'static str)], &'static [u8], &'static str);
    let api = TestApi::new();
    // Topic, headers, body, what the detail says.
    let cases: &[Case] = &[
        ("a", &[("content-type", "application/json")], b"{", "the body: data is not valid JSON (line 1, column 1)"),
        ("a", &[("content-type", "application/vnd.x+json")], b"", "the body: data is not valid JSON"),
        ("a", &[("content-type", "text/plain")], b"a\xff", "the body: data is not valid UTF-8 at byte 1"),
        ("a", &[("fanfare-event-id", "")], b"", "the header `fanfare-event-id`: event id is empty"),
        ("a", &[("idempotency-key", "")], b"", "the header `idempotency-key`: event id is empty"),
        ("a", &[("fanfare-event-name", "fanfare.x")], b"", "the header `fanfare-event-name`: event name begins"),
        (
            "a",
            &[("fanfare-event-key", "\u{202e}")],
            b"",
            "the header `fanfare-event-key`: key has the character U+202E",
        ),
        (
            "a",
            &[("fanfare-event-id", "1"), ("fanfare-event-id", "2")],
            b"",
            "`fanfare-event-id` is there more than once",
        ),
        ("a%20b", &[], b"", "topic has the character ' '"),
        ("a%ff", &[], b"", "the path is not percent-encoded UTF-8"),
    ];
    for (topic, headers, body, detail) in cases {
        let answer = api.post(&format!("/v1/topics/{topic}/events"), headers, body.to_vec()).await;
        let said = answer.json();
        assert_eq!(answer.status, 400, "{said}");
        assert!(said["detail"].as_str().unwrap().contains(detail), "{said}");
    }
    assert_eq!(api.get("/v1/topics/a").await.ok()["head"]["offset"], Value::from(0));
}
