//! Compression with other people's clients, each with the offer that it makes by itself.

use std::collections::VecDeque;

use fanfare_tests::token::Token;
use fanfare_tests::ws::PATH;
use fanfare_tests::{Browser, Config, Message, Observed, PageServer, Script, Server, fresh_topic, within};
use serde_json::{Value, json};

const AGREED: &str = "permessage-deflate; server_no_context_takeover; client_no_context_takeover";
const COMPRESSED: &str = "form=\"websocket_json_deflate\"";
const PLAIN: &str = "form=\"websocket_json\"";

enum Program {
    Script(Box<Script>),
    Browser(Box<Browser>),
}

/// A client that has connected and subscribed.
struct Client {
    name: &'static str,
    program: Program,
    ready: VecDeque<Value>,
}

impl Client {
    async fn send(&mut self, frame: &Value) {
        match &mut self.program {
            Program::Script(script) => script.send(&frame.to_string()).await,
            Program::Browser(browser) => browser.send(&frame.to_string()).await,
        }
    }

    async fn observed(&mut self) -> Observed {
        match &mut self.program {
            Program::Script(script) => script.next().await,
            Program::Browser(browser) => browser.next().await,
        }
    }

    /// The next object that is not a ping.
    async fn next(&mut self) -> Value {
        loop {
            if let Some(frame) = self.ready.pop_front() {
                return frame;
            }
            match within(self.name, self.observed()).await {
                Observed::Frame(text) => self.ready.extend(
                    text.lines()
                        .map(|line| serde_json::from_str::<Value>(line).expect("JSON"))
                        .filter(|frame| frame.get("ping").is_none()),
                ),
                other => panic!("{}: {other:?}", self.name),
            }
        }
    }

    /// The data of the next event; a reply that comes before it is passed over.
    async fn data(&mut self) -> Value {
        loop {
            let mut frame = self.next().await;
            match frame.get_mut("event") {
                Some(event) => return event["data"].take(),
                None => assert!(frame.get("published").is_some(), "{}: {frame}", self.name),
            }
        }
    }
}

/// npm `ws` twice, Python's `websockets` twice, once with a small window, and Chromium: started, and the extensions
/// that they report.
async fn clients(server: &Server, page: PageServer) -> Vec<(Client, String)> {
    let url = format!("ws://{}{PATH}", server.public());
    let orders = json!({"url": url, "extensions": true});
    let small = json!({"url": url, "extensions": true, "window_bits": 12});
    let script = |script: Script| Program::Script(Box::new(script));
    let mut clients = Vec::new();
    for (name, program) in [
        ("ws", script(Script::node("ws.mjs", &orders))),
        ("ws", script(Script::node("ws.mjs", &orders))),
        ("websockets", script(Script::python("websockets_client.py", &orders))),
        ("websockets, small window", script(Script::python("websockets_client.py", &small))),
    ] {
        let mut client = Client { name, program, ready: VecDeque::new() };
        assert_eq!(within(name, client.observed()).await, Observed::Open);
        let extensions = client.next().await["extensions"].as_str().unwrap_or_default().to_owned();
        clients.push((client, extensions));
    }
    let mut browser = Browser::start(page).await;
    browser.web_socket(&url, None).await;
    assert_eq!(browser.next().await, Observed::Open);
    let extensions = browser.run("ws.extensions").await.as_str().unwrap_or_default().to_owned();
    let program = Program::Browser(Box::new(browser));
    clients.push((Client { name: "chromium", program, ready: VecDeque::new() }, extensions));
    clients
}

#[tokio::test]
async fn an_event_is_compressed_once_for_all_clients() {
    let page = PageServer::start().await;
    // The first client says nothing until the last one has started.
    let config =
        Config::new().ws(&format!("allowed_origins = [\"{}\"]", page.origin())).ws("connect_timeout = \"10m\"");
    let server = Server::start(config).await;
    let (api, topic) = (server.api(), fresh_topic("matrix"));
    let mut clients: Vec<Client> = clients(&server, page)
        .await
        .into_iter()
        .map(|(client, extensions)| {
            let expected = match client.name {
                // The library names the extension only.
                "ws" => "permessage-deflate".to_owned(),
                "websockets, small window" => format!("{AGREED}; server_max_window_bits=12"),
                _ => AGREED.to_owned(),
            };
            assert_eq!(extensions, expected, "{}", client.name);
            client
        })
        .collect();
    for client in &mut clients {
        client.send(&json!({"id": 1, "connect": {"token": Token::client().mint()}})).await;
        assert!(client.next().await.get("connected").is_some());
        client.send(&json!({"id": 2, "subscribe": {"topic": topic}})).await;
        assert!(client.next().await.get("subscribed").is_some());
    }

    // Large ones of several kinds, and one that is too small.
    let noise: String =
        (0..30_000_u32).map(|n| char::from(b' ' + (n.wrapping_mul(2_654_435_761) >> 26) as u8)).collect();
    for data in
        [json!("large ".repeat(30_000)), json!({"list": vec!["äöü 漢字 🎺"; 500]}), json!(noise), json!("small")]
    {
        api.publish(&topic, Message::json(data.clone())).await;
        for client in &mut clients {
            let heard = client.data().await;
            assert!(heard == data, "{}: {heard:.100}", client.name);
        }
    }
    // Each client says something large itself, compressed as it likes.
    for at in 0..clients.len() {
        let data = json!(format!("{} says: ", clients[at].name).repeat(2000));
        clients[at].send(&json!({"id": 3, "publish": {"topic": topic, "data": data}})).await;
        for client in &mut clients {
            assert!(client.data().await == data, "{}", client.name);
        }
    }

    let events = 4 + clients.len();
    let (plain, compressed) = (
        api.metric("fanfare_events_encoded_total", PLAIN).await,
        api.metric("fanfare_events_encoded_total", COMPRESSED).await,
    );
    // All but the small one.
    assert_eq!((plain, compressed), (events as f64, (events - 1) as f64));
}
