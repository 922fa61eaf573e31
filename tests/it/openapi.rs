//! The document that describes every door over HTTP, as the node serves it.

use fanfare_tests::{Api, Config, Server};
use http::Method;
use serde_json::Value;

/// Something that is there for each parameter of a path.
fn filled(path: &str) -> String {
    path.replace("{topic}", "a").replace("{id}", "x").replace("{user}", "u").replace("{consumer}", "c")
}

#[tokio::test]
async fn every_route_is_served_where_the_document_says() {
    let server = Server::start(Config::new()).await;
    let (clients, servers) = (Api::with_token(server.public(), None), Api::with_token(server.admin(), None));
    let document = servers.get("/openapi.json").await.json();
    let mut of_clients = Vec::new();
    for (path, item) in document["paths"].as_object().expect("paths") {
        for (method, operation) in item.as_object().expect("operations") {
            let method: Method = method.to_uppercase().parse().expect("a method");
            // What is for clients says so by servers of its own.
            let (api, other) =
                if operation["servers"].is_array() { (&clients, &servers) } else { (&servers, &clients) };
            let ask = async |api: &Api| {
                let request = api.request(method.clone(), &filled(path));
                api.send(request).await.expect("an answer").status.as_u16()
            };
            let answer = ask(api).await;
            // Without a credential: 401 where one is needed, never "no such path".
            let expected = if path.starts_with("/v1/") { 401 } else { 200 };
            assert_eq!(answer, expected, "{method} {path}");
            assert_eq!(ask(other).await, 404, "{method} {path} at the other door");
            assert!(operation["operationId"].is_string() && operation["summary"].is_string(), "{method} {path}");
            if operation["servers"].is_array() {
                of_clients.push(format!("{method} {path}"));
            }
        }
    }
    assert_eq!(of_clients, ["GET /v1/sse", "POST /v1/sse", "GET /v1/sse/presence", "POST /v1/sse/ticket"]);
}

#[tokio::test]
async fn every_word_of_the_document_is_explained_in_it() {
    let server = Server::start(Config::new()).await;
    let document = Api::with_token(server.admin(), None).get("/openapi.json").await.json();
    let mut references = Vec::new();
    collect(&document, &mut references);
    assert!(references.len() > 50, "{}", references.len());
    for reference in references {
        let pointer = reference.strip_prefix('#').expect("a place in the document");
        assert!(document.pointer(pointer).is_some(), "{reference}");
    }
    let has_tag = |name: &str| {
        let all = document["tags"].as_array().expect("a list");
        all.iter().any(|one| one["name"] == name)
    };
    let schemes = &document["components"]["securitySchemes"];
    let mut names = Vec::new();
    for operation in
        document["paths"].as_object().expect("paths").values().filter_map(|item| item.as_object()).flatten()
    {
        let (_, operation) = operation;
        let tag = operation["tags"][0].as_str().expect("a tag");
        assert!(has_tag(tag), "{tag}");
        for scheme in operation["security"].as_array().into_iter().flatten().filter_map(Value::as_object).flatten() {
            assert!(schemes[scheme.0].is_object(), "{}", scheme.0);
        }
        names.push(operation["operationId"].as_str().expect("a name"));
    }
    let all = names.len();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), all, "each name once");
}

fn collect<'a>(value: &'a Value, references: &mut Vec<&'a str>) {
    match value {
        Value::Object(members) => {
            references.extend(members.get("$ref").and_then(Value::as_str));
            members.values().for_each(|member| collect(member, references));
        }
        Value::Array(items) => items.iter().for_each(|item| collect(item, references)),
        _ => {}
    }
}
