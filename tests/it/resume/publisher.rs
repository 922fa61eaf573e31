//! A publisher that never gives up: what was not acknowledged is published again under the same ids.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use fanfare_tests::{Api, Message};
use http::Method;
use rand::Rng as _;
use rand::rngs::StdRng;
use serde_json::{Value, json};

use super::record::Record;

/// Publishes to random topics until the record says to stop.
pub(super) async fn publish(admin: SocketAddr, record: Arc<Record>, mut random: StdRng) {
    let api = Api::new(admin).pooled();
    let mut next: BTreeMap<String, u64> = record.topics().into_iter().map(|topic| (topic.to_owned(), 1)).collect();
    let topics: Vec<String> = next.keys().cloned().collect();
    while !record.is_stopping() {
        let topic = &topics[random.random_range(0..topics.len())];
        let first = next[topic];
        let count = random.random_range(1..=5);
        let messages: Vec<Value> = (first..first + count)
            .map(|n| {
                let filling = "x".repeat(random.random_range(0..300));
                Message::json(json!([n, filling])).with("id", n.to_string()).0
            })
            .collect();
        let body = json!({"topic": topic, "messages": messages});
        let answer = until_acknowledged(&api, &body).await;
        for result in answer["results"].as_array().expect("results") {
            let offset = result["offset"].as_u64().expect("an offset");
            record.acknowledged(topic, offset, result["id"].as_str().expect("an id"));
        }
        next.insert(topic.clone(), first + count);
    }
}

async fn until_acknowledged(api: &Api, body: &Value) -> Value {
    loop {
        let request = api.request(Method::POST, "/v1/publish").json(body);
        match api.send(request).await {
            Ok(answer) if answer.status.is_success() => return answer.json(),
            Ok(answer) => assert_eq!(answer.status.as_u16(), 503, "{}", answer.text),
            // The server is down, or went down on the way: what became of it is not known.
            Err(_) => {}
        }
        // The back-off of any publisher; what it waits for is looked at again.
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
