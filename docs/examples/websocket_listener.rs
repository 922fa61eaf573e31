//! Listens to a topic over `WebSocket` and goes on where it was cut off. Needs: tokio-tungstenite, futures-util.
#![expect(clippy::print_stdout, clippy::large_futures, reason = "an example is short")]
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let [url, token, topic] = ["FANFARE_URL", "FANFARE_TOKEN", "TOPIC"].map(|name| std::env::var(name).expect(name));
    let url = format!("{}/v1/ws", url.replacen("http", "ws", 1));
    let mut position = json!("start");
    loop {
        if let Ok((mut socket, _)) = tokio_tungstenite::connect_async(&url).await {
            for frame in [
                json!({"id": 1, "connect": {"token": token, "name": "example"}}),
                json!({"id": 2, "subscribe": {"topic": topic, "from": position}}),
            ] {
                // An error means that the connection has ended, which the next read shows.
                let _ = socket.send(frame.to_string().into()).await;
            }
            while let Some(Ok(message)) = socket.next().await {
                // A message may hold several frames, a line each.
                for line in message.to_text().unwrap_or_default().lines() {
                    let mut frame: Value = serde_json::from_str(line).unwrap_or_default();
                    if let Some(event) = frame.get_mut("event") {
                        position = event["position"].take();
                        println!("{}", event["data"].as_str().unwrap_or(line));
                    } else if ["error", "gap", "disconnect"].iter().any(|what| frame.get(what).is_some()) {
                        println!("# {line}");
                    }
                }
            }
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}
