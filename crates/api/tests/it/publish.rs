//! Publishing.

use std::time::Duration;

use axum::body::{Body, Bytes};
use fanfare_api::Options;
use fanfare_auth::{Action, Door, Grant};
use fanfare_model::ByteSize;
use http::Request;
use http_body_util::StreamBody;
use serde_json::{Value, json};

use crate::support::{TestApi, grant, numbers};

#[tokio::test]
async fn every_message_goes_to_every_topic_in_order() {
    let api = TestApi::new();
    let body = json!({"topics": ["a", "b:1"], "messages": [{"id": "x", "data": 1}, {"data": 2}, {"data": 3}]});
    let results = api.publish(&body).await.ok()["results"].clone();
    let places: Vec<(&str, u64)> = results
        .as_array()
        .unwrap()
        .iter()
        .map(|r| (r["topic"].as_str().unwrap(), r["offset"].as_u64().unwrap()))
        .collect();
    assert_eq!(places, [("a", 1), ("a", 2), ("a", 3), ("b:1", 1), ("b:1", 2), ("b:1", 3)]);
    assert_eq!((&results[0]["id"], &results[3]["id"]), (&json!("x"), &json!("x")));
    assert_eq!(results[0]["duplicate"], false);
    assert_eq!(results[0]["time"], 1_763_719_200_000_000_i64);
    for topic in ["a", "b:1"] {
        let page = api.get(&format!("/v1/topics/{topic}/events")).await.ok();
        assert_eq!(numbers(&page), [1, 2, 3]);
        assert_eq!(
            page["events"][0]["position"],
            results.as_array().unwrap().iter().find(|r| r["topic"] == topic).unwrap()["position"]
        );
    }
}

#[tokio::test]
async fn the_same_id_is_stored_once() {
    let api = TestApi::new();
    let body = json!({"topic": "a", "message": {"id": "once", "data": 1}});
    let first = api.publish(&body).await.ok()["results"][0].clone();
    api.publish_numbers("a", 2).await;
    let again = api.publish(&body).await.ok()["results"][0].clone();
    assert_eq!((&first["duplicate"], &again["duplicate"]), (&json!(false), &json!(true)));
    for member in ["position", "offset", "time", "id"] {
        assert_eq!(first[member], again[member], "{member}");
    }
    let raw = api.post("/v1/topics/a/events", &[("idempotency-key", "once")], "other").await.ok();
    assert_eq!(raw["results"][0]["position"], first["position"]);
    assert_eq!(api.get("/v1/topics/a").await.ok()["head"]["events"], 3);
}

#[tokio::test]
async fn every_member_of_a_message_arrives() {
    let api = TestApi::new();
    let message = json!({"id": "i", "name": "n", "data": {"x": [1, null]}, "key": "k", "occurred_at": 9,
        "headers": {"a": "b"}, "schema": "s", "source": "o"});
    api.publish(&json!({"topic": "a", "messages": [message, {"data": "AAH/", "encoding": "base64"},
        {"data": "hi", "encoding": "text"}]}))
        .await
        .ok();
    let events = api.get("/v1/topics/a/events").await.ok()["events"].clone();
    for (member, value) in message.as_object().unwrap() {
        assert_eq!(events[0][member], *value, "{member}");
    }
    assert_eq!((&events[1]["data"], &events[1]["encoding"]), (&json!("AAH/"), &json!("base64")));
    assert_eq!((&events[2]["data"], &events[2]["encoding"]), (&json!("hi"), &json!("text")));
    assert_eq!((&events[1]["source"], &events[1]["user"]), (&json!("api"), &Value::Null));
}

#[tokio::test]
async fn the_content_type_of_a_raw_body_decides() {
    let api = TestApi::new();
    let path = "/v1/topics/chat%3Aroom%2F7/events";
    let headers =
        |content_type| [("content-type", content_type), ("fanfare-event-name", "said"), ("fanfare-event-key", "ü")];
    api.post(path, &headers("application/json"), "{\"a\": 1}").await.ok();
    api.post(path, &headers("application/vnd.x+json; v=1"), "[1]").await.ok();
    api.post(path, &headers("Text/Plain; charset=utf-8"), "grüß\n dich").await.ok();
    api.post(path, &headers("image/png"), vec![0, 255]).await.ok();
    let answer = api.post(path, &[], "bytes").await.ok();
    assert_eq!(answer["results"][0]["topic"], "chat:room/7");
    let events = api.get("/v1/topics/chat:room%2F7/events").await.ok()["events"].clone();
    let shown: Vec<_> = events.as_array().unwrap().iter().map(|e| (e["encoding"].clone(), e["data"].clone())).collect();
    assert_eq!(
        shown,
        [
            (Value::Null, json!({"a": 1})),
            (Value::Null, json!([1])),
            (json!("text"), json!("grüß\n dich")),
            (json!("base64"), json!("AP8=")),
            (json!("base64"), json!("Ynl0ZXM=")),
        ]
    );
    assert_eq!((&events[0]["name"], &events[0]["key"]), (&json!("said"), &json!("ü")));
    assert_eq!(events[3]["headers"], json!({"content-type": "image/png"}));
    assert_eq!(events[4]["headers"], Value::Null);
}

#[tokio::test]
async fn trace_context_goes_with_events_that_have_none() {
    let api = TestApi::new();
    let ours = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    let json_type = ("content-type", "application/json");
    let body = json!({"topic": "a", "messages": [{"data": 1}, {"data": 2, "headers": {"traceparent": "own"}}]});
    api.post("/v1/publish", &[json_type, ("traceparent", ours)], body.to_string()).await.ok();
    api.post("/v1/publish", &[json_type, ("traceparent", "00-nonsense")], body.to_string()).await.ok();
    api.post("/v1/topics/a/events", &[("traceparent", ours)], "x").await.ok();
    let events = api.get("/v1/topics/a/events").await.ok()["events"].clone();
    let carried: Vec<_> = events.as_array().unwrap().iter().map(|e| e["headers"]["traceparent"].clone()).collect();
    assert_eq!(carried, [json!(ours), json!("own"), Value::Null, json!("own"), json!(ours)]);
}

#[tokio::test]
async fn a_topic_that_is_not_allowed_stops_the_whole_batch() {
    let api = TestApi::new();
    let token = api.mint(grant("ok:*", &[Action::Publish]));
    let body = json!({"topics": ["ok:1", "no:1"], "message": {"data": 1}}).to_string();
    let answer = api.post_as(&token, "/v1/publish", &[("content-type", "application/json")], body).await;
    let problem = answer.problem(403, "permission_denied");
    assert_eq!((&problem["topic"], &problem["at"]), (&json!("no:1"), &json!("/topics/1")));
    assert!(problem["detail"].as_str().unwrap().contains("`no:1`"));
    assert_eq!(api.get("/v1/topics/ok:1").await.ok()["head"]["offset"], 0);
    api.post_as(&token, "/v1/topics/no:1/events", &[], "x").await.problem(403, "permission_denied");
    api.post_as(&token, "/v1/topics/ok:1/events", &[], "x").await.ok();
}

#[tokio::test]
async fn credentials_are_needed_and_must_be_for_servers() {
    let api = TestApi::new();
    let request = Request::post("/v1/publish").body(Body::empty()).unwrap();
    let answer = api.send(request).await;
    answer.problem(401, "missing_credential");
    assert_eq!(answer.headers["www-authenticate"], "Bearer realm=\"fanfare\"");
    let client = api.mint_for(Door::Client, vec![Grant::everything()]);
    api.post_as(&client, "/v1/publish", &[], "").await.problem(401, "wrong_audience");
    api.post_as("ffk_x_y", "/v1/publish", &[], "").await.problem(401, "unknown_api_key");
    for authorization in ["Basic YTpi", "Bearer", "token"] {
        let request = Request::get("/v1/topics").header("authorization", authorization).body(Body::empty()).unwrap();
        api.send(request).await.problem(401, "malformed_authorization");
    }
}

#[tokio::test]
async fn a_store_that_cannot_take_anything_fails_the_request() {
    let api = TestApi::new();
    api.log.close().await.unwrap();
    let answer = api.publish(&json!({"topic": "a", "messages": [{"data": 1}, {"data": 2}]})).await;
    let problem = answer.problem(503, "unavailable");
    assert_eq!(answer.headers["retry-after"], "1");
    assert_eq!(problem["retry_after_ms"], 1000);
}

#[tokio::test]
async fn a_store_that_takes_a_part_says_which() {
    let api = TestApi::new();
    api.log.close().await.unwrap();
    // The topics that keep nothing are ordered by another log, which is still open.
    let answer = api.publish(&json!({"topics": ["a", "passing"], "message": {"id": "i", "data": 1}})).await;
    assert_eq!(answer.status, 207, "{}", answer.text);
    let results = answer.ok()["results"].clone();
    assert_eq!(
        results[0],
        json!({"topic": "a", "id": "i",
            "error": {"code": "unavailable", "message": "the event store is closed", "retryable": true}})
    );
    assert_eq!((&results[1]["topic"], &results[1]["offset"]), (&json!("passing"), &json!(1)));
}

#[tokio::test(start_paused = true)]
async fn a_body_that_never_ends_is_given_up() {
    let api = TestApi::new();
    let endless =
        Body::new(StreamBody::new(futures_util::stream::pending::<Result<http_body::Frame<Bytes>, std::io::Error>>()));
    let answer = api.post("/v1/publish", &[("content-type", "application/json")], endless).await;
    let problem = answer.problem(408, "request_timeout");
    assert_eq!(problem["detail"], "the body took longer than 10s to arrive");
}

#[tokio::test]
async fn a_body_that_is_too_large_is_given_up_while_it_streams() {
    let api = TestApi::with(Options { body_bytes_max: ByteSize::kib(1), ..Options::default() });
    let json_type = [("content-type", "application/json")];
    let answer = api.post("/v1/publish", &json_type, vec![b' '; 1025]).await;
    assert_eq!(answer.problem(413, "too_large")["detail"], "the body has more than 1024 bytes");
    // Without an end: only the bound can stop it.
    let piece = || Ok::<_, std::io::Error>(http_body::Frame::data(Bytes::from_static(&[b' '; 100])));
    let endless = Body::new(StreamBody::new(futures_util::stream::repeat_with(piece)));
    let answer = tokio::time::timeout(Duration::from_secs(20), api.post("/v1/publish", &json_type, endless)).await;
    answer.unwrap().problem(413, "too_large");
    let cut = futures_util::stream::iter([piece(), Err(std::io::Error::other("reset"))]);
    let answer = api.post("/v1/publish", &json_type, Body::new(StreamBody::new(cut))).await;
    assert_eq!(answer.problem(400, "invalid_request")["detail"], "the body ended before it was complete");
}

#[tokio::test]
async fn an_event_that_its_rules_refuse_is_told_with_its_place() {
    let api = TestApi::new();
    let batch = json!({"topic": "strict:1", "messages": [{"data": {"total": 1}}, {"data": {}}]});
    let problem = api.publish(&batch).await.problem(400, "payload_refused");
    assert_eq!((&problem["at"], &problem["topic"]), (&json!("/messages/1/data"), &json!("strict:1")));
    assert_eq!(api.get("/v1/topics/strict:1").await.ok()["head"]["offset"], 0, "nothing was published");
    let raw = api.post("/v1/topics/strict:1/events", &[("content-type", "application/json")], "{}").await;
    assert_eq!(raw.problem(400, "payload_refused")["at"], "");
}

#[tokio::test]
async fn a_tenant_that_publishes_too_fast_is_told_when_to_go_on() {
    let limits = serde_json::from_value(json!({"tenant": {"publishes_per_second": 10, "publishes_burst": 3}})).unwrap();
    let api = TestApi::limited(fanfare_api::Options::default(), limits);
    let batch = json!({"topics": ["a", "b", "c"], "message": {"data": 1}});
    api.publish(&batch).await.ok();
    let refused = api.publish(&batch).await;
    let problem = refused.problem(429, "rate_limited");
    assert_eq!((&problem["retry_after_ms"], &refused.headers["retry-after"]), (&json!(300), &"1".parse().unwrap()));
    assert!(problem["limit"].is_string());
    api.clock.advance(std::time::Duration::from_millis(300));
    api.publish(&batch).await.ok();
}
