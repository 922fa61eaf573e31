//! gRPC clients: Python `grpcio` (by reflection), npm `@grpc/grpc-js`, and `grpc-web` in Chromium.

use std::path::{Path, PathBuf};

use fanfare_tests::token::Token;
use fanfare_tests::{Browser, Config, Message, Observed, PageServer, Script, Server, fresh_topic};
use serde_json::{Value, json};

use super::Peer;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Library {
    Grpcio,
    GrpcJs,
    GrpcWeb,
}

/// A server, and what is needed to call it with a library.
struct Stage {
    library: Library,
    server: Server,
    browser: Option<Browser>,
}

impl Library {
    async fn stage(self, config: Config) -> Stage {
        if self != Self::GrpcWeb {
            return Stage { library: self, server: Server::start(config).await, browser: None };
        }
        let page = PageServer::start().await;
        let config = config.set("grpc", &format!("allowed_origins = [\"{}\"]", page.origin()));
        let server = Server::start(config).await;
        Stage { library: self, server, browser: Some(Browser::start(page).await) }
    }
}

impl Stage {
    /// Calls a method with one request; the browser is taken for as long as the call lasts.
    async fn call(&mut self, method: &str, token: &str, request: &Value) -> Peer {
        let address = if method == "Events/Subscribe" { self.server.public() } else { self.server.admin() };
        match self.library {
            Library::Grpcio => {
                let orders = json!({
                    "address": address.to_string(), "token": token, "method": method, "request": request,
                });
                Peer::Script(Box::new(Script::python("grpc_client.py", &orders)))
            }
            Library::GrpcJs => {
                let call = if method == "Events/Subscribe" { "subscribe" } else { "Publish" };
                let orders = json!({
                    "address": address.to_string(), "token": token, "call": call, "protos": protos(),
                    "request": request,
                });
                Peer::Script(Box::new(Script::node("grpc.mjs", &orders)))
            }
            Library::GrpcWeb => {
                let mut browser = self.browser.take().expect("one call at a time");
                browser.grpc_web(&format!("http://{address}"), &protos(), method, token, request).await;
                Peer::Browser(Box::new(browser))
            }
        }
    }
}

/// Where the files are that an application generates its client from.
fn protos() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../crates/proto/proto")
}

/// The next message; `open` is passed over.
async fn message(peer: &mut Peer) -> Value {
    loop {
        match peer.next().await {
            Observed::Frame(text) => break serde_json::from_str(&text).expect("messages are shown as JSON"),
            Observed::Open => {}
            other => panic!("expected a message, got {other:?}"),
        }
    }
}

/// The next event of a stream, passing over what is not one.
async fn event(peer: &mut Peer) -> Value {
    loop {
        let frame = message(peer).await;
        if frame.get("event").is_some_and(Value::is_object) {
            return frame["event"].clone();
        }
    }
}

/// Bytes as the JSON form of protobuf shows them.
fn base64(text: &str) -> String {
    use ::base64::Engine as _;
    ::base64::engine::general_purpose::STANDARD.encode(text)
}

/// Events of every kind of payload arrive; resuming continues after the position.
async fn it_subscribes_and_resumes(library: Library) {
    let mut stage = library.stage(Config::new()).await;
    let topic = fresh_topic("matrix");
    let api = stage.server.api();
    api.publish(&topic, Message::json(json!({"n": 1}))).await;
    api.publish_text(&topic, "grüße 漢字 🎺").await;
    api.publish(&topic, Message::binary(&[0, 255, 1])).await;
    let token = Token::client().mint();
    let ask = |from: &str| json!({"topics": [{"topic": topic}], "from": {"text": from}});
    let mut peer = stage.call("Events/Subscribe", &token, &ask("start")).await;
    let first = event(&mut peer).await;
    assert_eq!(first["json"], base64("{\"n\":1}"), "{library:?}: {first}");
    let second = event(&mut peer).await;
    assert_eq!(second["text"], "grüße 漢字 🎺", "{library:?}: {second}");
    let third = event(&mut peer).await;
    assert_eq!(third["binary"], "AP8B", "{library:?}: {third}");
    // Live as well.
    api.publish_text(&topic, "live").await;
    assert_eq!(event(&mut peer).await["text"], "live", "{library:?}");
    let position = second["position"].as_str().expect("a position").to_owned();
    drop(peer);

    let mut stage = library.stage_again(stage).await;
    let mut peer = stage.call("Events/Subscribe", &token, &ask(&position)).await;
    assert_eq!(event(&mut peer).await["binary"], "AP8B", "{library:?}");
    assert_eq!(event(&mut peer).await["text"], "live", "{library:?}");
}

impl Library {
    /// The same server with a fresh browser, if there is one.
    async fn stage_again(self, stage: Stage) -> Stage {
        if self != Self::GrpcWeb {
            return stage;
        }
        let page = PageServer::start().await;
        let mut server = stage.server;
        let origins = format!("allowed_origins = [\"{}\"]", page.origin());
        server.kill();
        server.restart_with(Config::new().set("grpc", &origins)).await;
        Stage { library: self, server, browser: Some(Browser::start(page).await) }
    }
}

/// A refusal has its status and its sentence.
async fn it_hears_why_it_is_refused(library: Library) {
    let mut stage = library.stage(Config::new()).await;
    let ask = json!({"topics": [{"topic": fresh_topic("refused")}]});
    let mut peer = stage.call("Events/Subscribe", "nonsense", &ask).await;
    loop {
        match peer.next().await {
            Observed::Open | Observed::End => {}
            Observed::Error(text) => {
                // UNAUTHENTICATED is 16.
                assert!(text.starts_with("16 "), "{library:?}: {text}");
                break;
            }
            other => panic!("{library:?}: {other:?}"),
        }
    }
}

/// A batch is published, and the answer says where.
async fn it_publishes(library: Library) {
    let mut stage = library.stage(Config::new()).await;
    let topic = fresh_topic("matrix");
    let items =
        json!({"items": [{"topic": topic, "message": {"text": "a"}}, {"topic": topic, "message": {"text": "b"}}]});
    let mut peer = stage.call("Events/Publish", &Token::server().mint(), &items).await;
    let answer = message(&mut peer).await;
    assert_eq!(answer["results"].as_array().map(Vec::len), Some(2), "{library:?}: {answer}");
    let log = stage.server.api().log_of(&topic).await;
    let data: Vec<_> = log.iter().map(|event| event["data"].clone()).collect();
    assert_eq!(data, [json!("a"), json!("b")], "{library:?}");
}

/// Both ways over one stream: connect, subscribe, publish, hear it.
async fn it_holds_a_session(library: Library) {
    let server = Server::start(Config::new()).await;
    let topic = fresh_topic("session");
    let orders = json!({
        "address": server.public().to_string(), "method": "Session/Open", "call": "session", "protos": protos(),
    });
    let (mut peer, data) = match library {
        Library::Grpcio => (Script::python("grpc_client.py", &orders), base64("{\"n\":1}")),
        _ => (Script::node("grpc.mjs", &orders), "{\"n\":1}".to_owned()),
    };
    assert_eq!(peer.next().await, Observed::Open);
    peer.send(&json!({"id": 1, "connect": {"token": Token::client().user("alice").mint()}}).to_string()).await;
    peer.send(&json!({"id": 2, "subscribe": {"topic": topic}}).to_string()).await;
    peer.send(&json!({"id": 3, "publish": {"topic": topic, "message": {"json": data}}}).to_string()).await;
    let mut peer = Peer::Script(Box::new(peer));
    let mut seen = Vec::new();
    while !["connected", "subscribed", "published", "event"].iter().all(|name| seen.contains(&(*name).to_owned())) {
        let frame = message(&mut peer).await;
        if frame["event"].is_object() {
            assert_eq!(
                (&frame["event"]["json"], &frame["event"]["user"]),
                (&json!(base64("{\"n\":1}")), &json!("alice"))
            );
        }
        assert!(frame.get("error").is_none_or(Value::is_null), "{library:?}: {frame}");
        seen.extend(frame.as_object().expect("a frame").keys().cloned());
    }
}

/// Runs every behaviour with one library.
macro_rules! matrix {
    ($module:ident, $library:expr, $($name:ident: $behaviour:ident),+) => {
        mod $module {
            use super::*;

            $(#[tokio::test]
            async fn $name() {
                $behaviour($library).await;
            })+
        }
    };
}

matrix!(grpcio, Library::Grpcio, subscribe: it_subscribes_and_resumes, refused: it_hears_why_it_is_refused,
    publish: it_publishes, session: it_holds_a_session);
matrix!(grpc_js, Library::GrpcJs, subscribe: it_subscribes_and_resumes, refused: it_hears_why_it_is_refused,
    publish: it_publishes, session: it_holds_a_session);
matrix!(grpc_web, Library::GrpcWeb, subscribe: it_subscribes_and_resumes, refused: it_hears_why_it_is_refused);
