//! The Chrome `DevTools` protocol, as much of it as it takes to open a page and run scripts in it.

use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;

use crate::within;

/// A connection to a browser.
pub(crate) struct Cdp {
    socket: WebSocketStream<TcpStream>,
    next_id: u64,
    session: Option<String>,
}

impl Cdp {
    /// Connects to the browser that listens on `port` under `path`.
    pub(crate) async fn connect(port: u16, path: &str) -> Self {
        let stream = TcpStream::connect(("127.0.0.1", port)).await.expect("the browser listens");
        let url = format!("ws://127.0.0.1:{port}{path}");
        let (socket, _) = tokio_tungstenite::client_async(url, stream).await.expect("the browser speaks WebSocket");
        Self { socket, next_id: 1, session: None }
    }

    /// Opens a page; later calls go to it.
    pub(crate) async fn open_page(&mut self, url: &str) {
        let target = self.call("Target.createTarget", json!({"url": "about:blank"})).await;
        let attach = json!({"targetId": target["targetId"], "flatten": true});
        let session = self.call("Target.attachToTarget", attach).await;
        self.session = session["sessionId"].as_str().map(str::to_owned);
        self.call("Page.enable", json!({})).await;
        self.send("Page.navigate", &json!({"url": url})).await;
        self.wait_for(|message| message["method"] == "Page.loadEventFired").await;
    }

    /// Calls a method and gives its result; panics if the browser refuses.
    pub(crate) async fn call(&mut self, method: &str, params: Value) -> Value {
        let id = self.send(method, &params).await;
        let answer = self.wait_for(|message| message["id"] == id).await;
        assert!(answer.get("error").is_none(), "{method}: {}", answer["error"]);
        answer["result"].clone()
    }

    async fn send(&mut self, method: &str, params: &Value) -> u64 {
        let id = self.next_id;
        self.next_id += 1;
        let mut message = json!({"id": id, "method": method, "params": params});
        if let Some(session) = &self.session {
            message["sessionId"] = json!(session);
        }
        self.socket.send(Message::text(message.to_string())).await.expect("the browser is running");
        id
    }

    async fn wait_for(&mut self, wanted: impl Fn(&Value) -> bool) -> Value {
        within("a message of the browser", async {
            loop {
                let message =
                    self.socket.next().await.expect("the browser is running").expect("the browser is running");
                if let Message::Text(text) = message {
                    let message: Value = serde_json::from_str(&text).expect("the browser speaks JSON");
                    if wanted(&message) {
                        return message;
                    }
                }
            }
        })
        .await
    }
}
