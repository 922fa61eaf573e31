//! Pulling, acknowledging, and looking after consumers.

use std::time::Duration;

use fanfare_auth::Action;
use http::Method;
use serde_json::{Value, json};

use crate::support::{TestApi, grant, numbers};

async fn pull(api: &TestApi, body: Value) -> Value {
    api.post_json("/v1/topics/orders/pull", &body).await.ok()
}

async fn ack(api: &TestApi, mut body: Value) -> Value {
    body["consumer"] = json!("billing");
    api.post_json("/v1/topics/orders/ack", &body).await.ok()
}

#[tokio::test]
async fn workers_share_events_and_what_is_not_acknowledged_comes_again() {
    let api = TestApi::new();
    let positions = api.publish_numbers("orders", 5).await;
    let one = pull(&api, json!({"consumer": "billing", "limit": 2})).await;
    assert_eq!((numbers(&one), &one["deliveries"], &one["more"]), (vec![1, 2], &json!([1, 1]), &json!(true)));
    assert_eq!(one["position"], positions[1]);
    let other = pull(&api, json!({"consumer": "billing", "limit": 2, "lease_ms": 5_000})).await;
    assert_eq!(numbers(&other), [3, 4]);

    assert_eq!(
        ack(&api, json!({"lease": one["lease"], "up_to": 1})).await["position"].as_str().unwrap().split('.').nth(1),
        Some("1")
    );
    ack(&api, json!({"lease": other["lease"], "extend_ms": 60_000})).await;
    api.clock.advance(Duration::from_secs(31));
    let again = pull(&api, json!({"consumer": "billing"})).await;
    assert_eq!((numbers(&again), &again["deliveries"]), (vec![2], &json!([2])));
    ack(&api, json!({"lease": again["lease"], "all": true})).await;
    ack(&api, json!({"lease": other["lease"], "release": true, "retry_after_ms": 1_000})).await;
    api.post_json("/v1/topics/orders/ack", &json!({"consumer": "billing", "lease": other["lease"], "all": true}))
        .await
        .problem(409, "conflict");
    api.clock.advance(Duration::from_secs(2));
    let rest = pull(&api, json!({"consumer": "billing"})).await;
    assert_eq!(numbers(&rest), [3, 4]);
    ack(&api, json!({"lease": rest["lease"], "all": true})).await;
    let last = pull(&api, json!({"consumer": "billing"})).await;
    assert_eq!(numbers(&last), [5]);
    ack(&api, json!({"lease": last["lease"], "all": true})).await;
    let none = pull(&api, json!({"consumer": "billing"})).await;
    assert_eq!((&none["events"], &none["lease"], &none["more"]), (&json!([]), &Value::Null, &json!(false)));
}

#[tokio::test]
async fn consumers_are_listed_moved_and_forgotten() {
    let api = TestApi::new();
    let positions = api.publish_numbers("orders", 4).await;
    api.publish_numbers("news", 1).await;
    let path = "/v1/topics/orders/consumers/billing";
    assert_eq!(api.put_json(path, &json!({"from": positions[1]})).await.ok(), json!({"position": positions[1]}));
    pull(&api, json!({"consumer": "shipping", "limit": 1})).await;
    api.post_json("/v1/topics/news/pull", &json!({"consumer": "billing"})).await.ok();

    let listed = api.get("/v1/consumers?topic=orders").await.ok();
    let consumers = listed["consumers"].as_array().unwrap();
    assert_eq!(
        (&consumers[0]["consumer"], &consumers[0]["lag"], &consumers[0]["leased"]),
        (&json!("billing"), &json!(2), &json!(0))
    );
    assert_eq!((&consumers[1]["consumer"], &consumers[1]["leased"]), (&json!("shipping"), &json!(1)));
    let mut path_of_page = "/v1/consumers?limit=2".to_owned();
    let mut seen = Vec::new();
    loop {
        let page = api.get(&path_of_page).await.ok();
        seen.extend(page["consumers"].as_array().unwrap().iter().map(|c| format!("{}/{}", c["consumer"], c["topic"])));
        let Some(next) = page["next"].as_str() else { break };
        path_of_page = format!("/v1/consumers?limit=2&after={next}");
    }
    assert_eq!(seen, ["\"billing\"/\"news\"", "\"billing\"/\"orders\"", "\"shipping\"/\"orders\""]);
    let token = api.mint(grant("news", &[Action::History]));
    let page = api.ask_as(&token, Method::GET, "/v1/consumers").await.ok();
    assert_eq!(page["consumers"].as_array().unwrap().len(), 1);

    assert_eq!(api.delete(path).await.ok(), json!({"forgotten": "billing"}));
    api.delete(path).await.problem(404, "not_found");
    api.ask_as(&token, Method::DELETE, "/v1/topics/news/consumers/billing").await.problem(403, "permission_denied");
}

#[tokio::test]
async fn a_pull_waits_for_an_event() {
    let api = TestApi::new();
    api.node.bus.start_worker(&api.node.life);
    let waiting = pull(&api, json!({"consumer": "billing", "wait_ms": 20_000}));
    let publishing = async {
        // The consumer is there as soon as its pull has begun to wait.
        tokio::task::yield_now().await;
        api.publish_numbers("orders", 1).await
    };
    let (pulled, _) = tokio::join!(waiting, publishing);
    assert_eq!(numbers(&pulled), [1]);
    api.node.life.stop();
}

#[tokio::test]
async fn what_is_wrong_with_a_pull_or_an_ack_is_said() {
    let api = TestApi::new();
    for (route, body, at) in [
        ("pull", json!({"consumer": "a b"}), "/consumer"),
        ("pull", json!({"consumer": "a", "limit": 0}), "/limit"),
        ("ack", json!({"consumer": "a", "lease": "1"}), ""),
        ("ack", json!({"consumer": "a", "lease": "1", "all": true, "release": true}), ""),
        ("ack", json!({"consumer": "a", "lease": "x", "all": true}), "/lease"),
        ("ack", json!({"consumer": "a", "lease": "1", "all": true, "retry_after_ms": 5}), "/retry_after_ms"),
    ] {
        let problem = api.post_json(&format!("/v1/topics/a/{route}"), &body).await.problem(400, "invalid_request");
        assert_eq!(problem["at"], at, "{body}");
    }
    api.post_json("/v1/topics/a/pull", &json!({})).await.problem(400, "invalid_request");
    api.post_json("/v1/topics/a/ack", &json!({"consumer": "a", "lease": "1", "all": true}))
        .await
        .problem(404, "not_found");
    api.post_json("/v1/topics/passing/pull", &json!({"consumer": "a"})).await.problem(400, "invalid_request");
    let token = api.mint(grant("*", &[Action::Publish, Action::History]));
    let answer =
        api.post_as(&token, "/v1/topics/a/pull", &[("content-type", "application/json")], r#"{"consumer":"a"}"#).await;
    answer.problem(403, "permission_denied");
}
