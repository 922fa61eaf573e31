//! Health, metrics, documents, and what is served nowhere.

use axum::body::Body;
use http::{Method, Request};
use serde_json::json;

use crate::support::{Answer, TestApi};

async fn open(api: &TestApi, path: &str) -> Answer {
    api.send(Request::get(path).body(Body::empty()).unwrap()).await
}

#[tokio::test]
async fn ready_only_while_running() {
    let api = TestApi::new();
    assert_eq!(open(&api, "/livez").await.ok(), json!({"status": "ok"}));
    let starting = open(&api, "/readyz").await;
    assert_eq!((starting.status.as_u16(), &starting.json()["reasons"][0]), (503, &json!("the node is starting")));
    api.node.life.started();
    assert_eq!(open(&api, "/readyz").await.ok(), json!({"status": "ready"}));
    api.node.life.drain();
    let draining = open(&api, "/readyz").await;
    assert_eq!(draining.status, 503);
    assert_eq!(draining.json(), json!({"status": "not_ready", "reasons": ["the node is draining"]}));
    assert_eq!(open(&api, "/livez").await.ok(), json!({"status": "ok"}));
}

#[tokio::test]
async fn metrics_are_the_text_they_are_given() {
    let api = TestApi::new();
    let answer = open(&api, "/metrics").await;
    assert_eq!(
        (answer.text.as_str(), answer.headers["content-type"].to_str().unwrap()),
        ("fanfare_up 1\n", "text/plain; version=0.0.4; charset=utf-8")
    );
}

#[tokio::test]
async fn every_route_of_the_document_is_served() {
    let api = TestApi::new();
    let document = open(&api, "/openapi.json").await.ok();
    assert_eq!(document["openapi"], "3.1.0");
    let mut operations = 0;
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            operations += 1;
            let method: Method = method.to_uppercase().parse().unwrap();
            let path =
                path.replace("{topic}", "a").replace("{id}", "x").replace("{user}", "u").replace("{consumer}", "c");
            let request = Request::builder().method(method.clone()).uri(&path).body(Body::empty()).unwrap();
            let answer = api.send(request).await;
            // Without a credential: 401 where one is needed, never "no such path".
            let expected: &[u16] = if path.starts_with("/v1/") { &[401] } else { &[200, 503] };
            assert!(expected.contains(&answer.status.as_u16()), "{method} {path}: {}", answer.status);
            assert!(operation["summary"].is_string() && operation["description"].is_string(), "{method} {path}");
            if path.starts_with("/v1/") {
                for status in ["400", "401", "403", "default"] {
                    assert!(operation["responses"][status].is_object(), "{method} {path} {status}");
                }
            }
        }
    }
    assert_eq!(operations, 38);
    assert_eq!(document["components"]["securitySchemes"]["bearer"]["scheme"], "bearer");
    assert!(document["components"]["responses"]["Problem"].is_object(), "{}", document["components"]["responses"]);
}

#[tokio::test]
async fn every_reference_of_the_document_leads_somewhere() {
    let document = fanfare_api::Document::with(&[]);
    let document = serde_json::from_slice::<serde_json::Value>(document.json()).unwrap();
    let text = document.to_string();
    let references = text.split("\"$ref\":\"#").skip(1).map(|rest| rest.split('"').next().unwrap());
    let mut count = 0;
    for pointer in references {
        assert!(document.pointer(pointer).is_some(), "{pointer}");
        count += 1;
    }
    assert!(count > 20, "{count}");
}

#[test]
fn other_doors_are_described_beside_and_change_nothing() {
    let other = r##"{"tags": [{"name": "more"}], "info": {"title": "Other"},
        "paths": {"/v1/more": {"get": {"operationId": "more"}}, "/v1/publish": {"post": {"operationId": "mine"}}},
        "components": {"schemas": {"More": {"$ref": "#/components/schemas/Event"}}}}"##;
    let read = |document: &fanfare_api::Document| serde_json::from_slice::<serde_json::Value>(document.json()).unwrap();
    let mut alone = read(&fanfare_api::Document::with(&[]));
    let both = read(&fanfare_api::Document::with(&[other]));
    alone["tags"].as_array_mut().unwrap().push(serde_json::json!({"name": "more"}));
    alone["paths"]["/v1/more"] = serde_json::json!({"get": {"operationId": "more"}});
    alone["components"]["schemas"]["More"] = serde_json::json!({"$ref": "#/components/schemas/Event"});
    assert_eq!(both, alone);
}

#[tokio::test]
async fn the_page_loads_nothing_from_elsewhere() {
    let api = TestApi::new();
    let page = open(&api, "/docs").await;
    assert_eq!(page.headers["content-type"], "text/html; charset=utf-8");
    assert!(page.headers["content-security-policy"].to_str().unwrap().starts_with("default-src 'none'"));
    assert!(!page.text.contains("http://") && !page.text.contains("https://") && !page.text.contains("innerHTML"));
}

#[tokio::test]
async fn unknown_paths_and_methods_are_problems() {
    let api = TestApi::new();
    open(&api, "/v2/publish").await.problem(404, "no_such_path");
    open(&api, "/v1/topics/a/b/events").await.problem(404, "no_such_path");
    let answer = api.ask(Method::PUT, "/v1/topics/a/events").await;
    answer.problem(405, "method_not_allowed");
    let mut allowed: Vec<_> = answer.headers["allow"].to_str().unwrap().split(',').collect();
    allowed.sort_unstable();
    assert_eq!(allowed, ["DELETE", "GET", "HEAD", "POST"]);
}
