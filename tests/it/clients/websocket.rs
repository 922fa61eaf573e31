//! WebSocket clients: native `WebSocket` in Chromium, npm `ws`, Python `websockets`.

use std::collections::VecDeque;

use fanfare_tests::token::Token;
use fanfare_tests::ws::{PATH, SUBPROTOCOL};
use fanfare_tests::{Browser, Config, Cut, Message, Observed, PageServer, Proxy, Script, Server, fresh_topic};
use serde_json::{Value, json};

use super::Peer;

#[derive(Debug, Clone, Copy)]
enum Library {
    Chromium,
    Ws,
    Websockets,
}

/// A server, a client of it, and what stands between them.
struct Stage {
    library: Library,
    peer: Peer,
    server: Server,
    proxy: Proxy,
    ready: VecDeque<Value>,
}

impl Library {
    /// Starts a server and a client that is connected to it through a proxy.
    async fn connect(self, subprotocol: Option<&str>) -> Stage {
        let page = PageServer::start().await;
        let server = Server::start(Config::new().ws(&format!("allowed_origins = [\"{}\"]", page.origin()))).await;
        let proxy = Proxy::start(server.public()).await;
        let peer = match self {
            Self::Chromium => Peer::Browser(Box::new(Browser::start(page).await)),
            Self::Ws | Self::Websockets => self.script(&proxy, subprotocol),
        };
        let mut stage = Stage { library: self, peer, server, proxy, ready: VecDeque::new() };
        stage.open(subprotocol).await;
        stage
    }

    fn script(self, proxy: &Proxy, subprotocol: Option<&str>) -> Peer {
        let orders = json!({"url": format!("ws://{}{PATH}", proxy.address()), "subprotocol": subprotocol});
        Peer::Script(Box::new(match self {
            Self::Ws => Script::node("ws.mjs", &orders),
            Self::Websockets => Script::python("websockets_client.py", &orders),
            Self::Chromium => unreachable!("a browser is no script"),
        }))
    }
}

impl Stage {
    async fn open(&mut self, subprotocol: Option<&str>) {
        if let Peer::Browser(browser) = &mut self.peer {
            browser.web_socket(&format!("ws://{}{PATH}", self.proxy.address()), subprotocol).await;
        }
        assert_eq!(self.peer.next().await, Observed::Open, "{:?}", self.library);
        let token = Token::client().user("alice").mint();
        self.peer.send(&json!({"id": 1, "connect": {"token": token, "name": "test"}}).to_string()).await;
        let reply = self.frame().await;
        assert_eq!((&reply["id"], &reply["connected"]["user"]), (&1.into(), &"alice".into()), "{reply}");
    }

    /// After a cut: a new connection of the same library.
    async fn reconnect(&mut self) {
        loop {
            match self.peer.next().await {
                Observed::Closed { code, .. } => break assert_eq!(code, 1006, "{:?}", self.library),
                Observed::Error(_) => {}
                other => panic!("{:?}: {other:?}", self.library),
            }
        }
        self.ready.clear();
        if !matches!(self.peer, Peer::Browser(_)) {
            self.peer = self.library.script(&self.proxy, Some(SUBPROTOCOL));
        }
        self.open(Some(SUBPROTOCOL)).await;
    }

    /// The next object; a message may hold several, one a line.
    async fn frame(&mut self) -> Value {
        loop {
            if let Some(frame) = self.ready.pop_front() {
                return frame;
            }
            match self.peer.next().await {
                Observed::Frame(text) => self.ready.extend(
                    text.lines()
                        .map(|line| serde_json::from_str::<Value>(line).unwrap_or_else(|e| panic!("{e}: {line}")))
                        .filter(|frame| frame.get("ping").is_none()),
                ),
                other => panic!("{:?}: expected a frame, got {other:?}", self.library),
            }
        }
    }

    async fn event(&mut self) -> Value {
        let frame = self.frame().await;
        assert!(frame.get("event").is_some(), "{:?}: {frame}", self.library);
        frame["event"].clone()
    }

    /// Sends `frame`, whose reply must come next, and gives the reply.
    async fn request(&mut self, frame: Value) -> Value {
        self.peer.send(&frame.to_string()).await;
        let reply = self.frame().await;
        assert_eq!(reply["id"], frame["id"], "{:?}: {reply}", self.library);
        reply
    }
}

/// Events of every payload arrive, with all that belongs to them.
async fn payloads_arrive_as_they_were_sent(library: Library) {
    let topic = fresh_topic("matrix");
    let mut stage = library.connect(Some(SUBPROTOCOL)).await;
    let reply = stage.request(json!({"id": 2, "subscribe": {"topic": topic}})).await;
    assert_eq!(reply["subscribed"]["topic"], topic, "{reply}");
    let api = stage.server.api();
    for data in [
        json!("text"),
        json!(""),
        json!(null),
        json!({"nested": [1, 2.5, {"deep": "äöü 漢字 🎺"}]}),
        json!("a\r\nb\u{2028}c\u{0}d\"\\"),
        json!("x".repeat(200_000)),
    ] {
        let result = api.publish(&topic, Message::json(data.clone()).with("name", "note").with("key", "k")).await;
        let event = stage.event().await;
        assert!(event["data"] == data, "{library:?}: {event:.200}");
        assert_eq!(
            (&event["name"], &event["key"], &event["topic"]),
            (&"note".into(), &"k".into(), &topic.clone().into())
        );
        for member in ["position", "offset", "id", "time"] {
            assert_eq!(event[member], result[member], "{library:?}: {member}");
        }
    }
    api.publish(&topic, Message::binary(&[0, 159, 146, 150])).await;
    let event = stage.event().await;
    assert_eq!((&event["encoding"], &event["data"]), (&"base64".into(), &"AJ+Slg==".into()), "{library:?}");
}

/// A client publishes, and hears it itself, as whoever it is.
async fn it_publishes(library: Library) {
    let topic = fresh_topic("matrix");
    // A bare `new WebSocket(url)` names no subprotocol.
    let mut stage = library.connect(None).await;
    stage.request(json!({"id": 2, "subscribe": {"topic": topic}})).await;
    let publish =
        json!({"id": 3, "publish": {"topic": topic, "name": "note", "data": {"text": "hi"}, "event_id": "e-1"}});
    stage.peer.send(&publish.to_string()).await;
    // Reply and event may come in either order.
    let (first, second) = (stage.frame().await, stage.frame().await);
    let (reply, event) = if first.get("published").is_some() { (first, second) } else { (second, first) };
    let (reply, event) = (&reply["published"], &event["event"]);
    assert_eq!((&reply["position"], &reply["duplicate"]), (&event["position"], &false.into()), "{library:?}");
    assert_eq!((&event["user"], &event["id"]), (&"alice".into(), &"e-1".into()), "the server says who: {event}");
    assert_eq!(event["data"], json!({"text": "hi"}));
}

/// Receive, die, resume from the last position: nothing lost, nothing twice.
async fn it_resumes_from_its_position(library: Library) {
    let topic = fresh_topic("matrix");
    let mut stage = library.connect(Some(SUBPROTOCOL)).await;
    let api = stage.server.api();
    let reply = stage.request(json!({"id": 2, "subscribe": {"topic": topic}})).await;
    let mut position = reply["subscribed"]["position"].clone();
    for round in 0..3 {
        for n in 1..=3 {
            api.publish(&topic, Message::json(json!([round, n]))).await;
            let event = stage.event().await;
            assert_eq!(event["data"], json!([round, n]), "{library:?}");
            position = event["position"].clone();
        }
        stage.proxy.cut(if round == 1 { Cut::Reset } else { Cut::Fin });
        for n in 4..=6 {
            api.publish(&topic, Message::json(json!([round, n]))).await;
        }
        stage.reconnect().await;
        stage.request(json!({"id": 2, "subscribe": {"topic": topic, "from": position}})).await;
        for n in 4..=6 {
            let event = stage.event().await;
            assert_eq!(event["data"], json!([round, n]), "{library:?}");
            position = event["position"].clone();
        }
    }
}

/// The verdict reaches the application: the frame that says why, and the close code that says what to do.
async fn it_hears_why_it_is_sent_away(library: Library) {
    let mut stage = library.connect(Some(SUBPROTOCOL)).await;
    stage.server.api().delete("/v1/users/alice/sessions").await.ok();
    let goodbye = stage.frame().await;
    assert_eq!((&goodbye["disconnect"]["code"], &goodbye["disconnect"]["reconnect"]), (&4004.into(), &false.into()));
    let closed = stage.peer.next().await;
    assert_eq!(closed, Observed::Closed { code: 4004, reason: "disconnected".to_owned() }, "{library:?}");
}

/// Runs every behaviour with one library.
macro_rules! matrix {
    ($module:ident, $library:expr) => {
        mod $module {
            use super::*;

            #[tokio::test]
            async fn payloads() {
                payloads_arrive_as_they_were_sent($library).await;
            }

            #[tokio::test]
            async fn publish() {
                it_publishes($library).await;
            }

            #[tokio::test]
            async fn resume() {
                it_resumes_from_its_position($library).await;
            }

            #[tokio::test]
            async fn close_codes() {
                it_hears_why_it_is_sent_away($library).await;
            }
        }
    };
}

matrix!(chromium, Library::Chromium);
matrix!(ws, Library::Ws);
matrix!(websockets, Library::Websockets);
