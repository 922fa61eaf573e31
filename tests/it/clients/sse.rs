//! SSE clients: native `EventSource` in Chromium, npm `eventsource`, npm `@microsoft/fetch-event-source`,
//! Python `httpx-sse`.

use fanfare_tests::sse::subscribe;
use fanfare_tests::token::Token;
use fanfare_tests::{
    Browser, Config, Cut, Message, Observed, PATIENCE, PageServer, Proxy, Script, Server, eventually, fresh_topic,
};
use serde_json::json;

use super::Peer;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Library {
    Chromium,
    EventSource,
    FetchEventSource,
    HttpxSse,
}

/// The names that clients listen for: a browser gives a handler only what it asked for by name.
const NAMES: [&str; 5] = ["message", "greeting", "fanfare.stream", "fanfare.gap", "fanfare.disconnect"];

impl Library {
    /// Opens a stream of `topics` at `via`, a server or a proxy before it, and waits until it is open.
    async fn open(self, config: Config, topics: &[&str]) -> Stage {
        let page = PageServer::start().await;
        let config = config
            .sse(&format!("allowed_origins = [\"{}\"]", page.origin()))
            .sse("retry = \"200ms\"")
            // A native EventSource can show no token.
            .anonymous(&["*"], &["subscribe", "history"]);
        let server = Server::start(config).await;
        let proxy = Proxy::start(server.public()).await;
        let url = subscribe(proxy.address(), topics).url();
        let token = Token::client().mint();
        let orders = json!({
            "url": url, "names": NAMES, "headers": {"Authorization": format!("Bearer {token}")}, "reconnect_after_end": true,
        });
        let peer = match self {
            Self::Chromium => {
                let mut browser = Browser::start(page).await;
                browser.event_source(&url, &NAMES, false).await;
                Peer::Browser(Box::new(browser))
            }
            Self::EventSource => Peer::Script(Box::new(Script::node("eventsource.mjs", &orders))),
            Self::FetchEventSource => Peer::Script(Box::new(Script::node("fetch-event-source.mjs", &orders))),
            Self::HttpxSse => Peer::Script(Box::new(Script::python("httpx_sse_client.py", &orders))),
        };
        let mut stage = Stage { peer, server, proxy };
        assert_eq!(stage.peer.next().await, Observed::Open);
        stage
    }
}

/// A server, a client of it, and what stands between them.
struct Stage {
    peer: Peer,
    server: Server,
    proxy: Proxy,
}

impl Stage {
    /// The next event of a publisher: name, data, id. Errors are passed over: that is how a reconnect shows.
    async fn event(&mut self) -> (String, String, String) {
        loop {
            match self.peer.next().await {
                Observed::Event { name, data, id } if !name.starts_with("fanfare.") => return (name, data, id),
                Observed::Event { name, data, .. } => {
                    assert_eq!((name.as_str(), data.contains("\"continue\"")), ("fanfare.stream", true), "{data}");
                }
                Observed::Open | Observed::Error(_) => {}
                other => panic!("expected an event, got {other:?}"),
            }
        }
    }
}

/// Every payload arrives as it was sent, with lines ended by LF as the format has it.
async fn payloads_arrive_as_they_were_sent(library: Library) {
    let topic = fresh_topic("matrix");
    let mut stage = library.open(Config::new(), &[&topic]).await;
    let api = stage.server.api();
    for (text, expected) in [
        ("plain", "plain"),
        ("", ""),
        (" leading and trailing ", " leading and trailing "),
        ("a\r\nb\rc\nd", "a\nb\nc\nd"),
        ("x\n\n", "x\n\n"),
        ("\n", "\n"),
        ("x\revent: evil\rid: 9\r\rdata: y", "x\nevent: evil\nid: 9\n\ndata: y"),
        (":comment", ":comment"),
        ("\u{feff}bom", "\u{feff}bom"),
        ("grüße 漢字 🎺", "grüße 漢字 🎺"),
        ("a\u{2028}b\u{2029}c\u{85}d", "a\u{2028}b\u{2029}c\u{85}d"),
        ("tab\tand nul\0", "tab\tand nul\0"),
    ] {
        api.publish_text(&topic, text).await;
        let (name, data, _) = stage.event().await;
        // Its parser takes an empty first line for no line at all, and a mark anywhere for one at the start.
        let expected = match library {
            Library::FetchEventSource => expected.trim_start_matches(['\n', '\u{feff}']),
            _ => expected,
        };
        assert_eq!((name.as_str(), data.as_str()), ("message", expected), "{library:?} of {text:?}");
    }
    let long = "0123456789".repeat(30_000);
    api.publish_text(&topic, &long).await;
    assert!(stage.event().await.1 == long, "{library:?}: 300 KB in one event");

    api.publish(&topic, Message::json(json!({"a": [1, null]})).with("name", "greeting")).await;
    let (name, data, id) = stage.event().await;
    assert_eq!((name.as_str(), data.as_str()), ("greeting", r#"{"a":[1,null]}"#), "{library:?}");
    assert!(id.parse::<fanfare_model::Position>().is_ok(), "{library:?}: {id}");
}

/// Connect, three events, the connection dies, three events meanwhile, and it goes on by itself without loss.
async fn it_resumes_by_itself(library: Library) {
    let (a, b) = (fresh_topic("matrix"), fresh_topic("matrix"));
    let mut stage = library.open(Config::new(), &[&a, &b]).await;
    let api = stage.server.api();
    for (round, how) in [Cut::Fin, Cut::Reset, Cut::Fin].into_iter().enumerate() {
        for n in 1..=3 {
            let topic = if n == 2 { &b } else { &a };
            api.publish_text(topic, &format!("{round}.{n}")).await;
            assert_eq!(stage.event().await.1, format!("{round}.{n}"), "{library:?}");
        }
        let before = stage.proxy.accepted();
        stage.proxy.cut(how);
        // Each client waits a moment before it comes back.
        for n in 4..=6 {
            let topic = if n == 5 { &b } else { &a };
            api.publish_text(topic, &format!("{round}.{n}")).await;
        }
        let mut seen = Vec::new();
        for _ in 4..=6 {
            seen.push(stage.event().await.1);
        }
        // Each topic is in order; which topic comes first in a replay is not promised.
        seen.sort();
        assert_eq!(seen, (4..=6).map(|n| format!("{round}.{n}")).collect::<Vec<_>>(), "{library:?}");
        assert!(stage.proxy.accepted() > before, "{library:?} came back");
    }
}

/// Case 34: heartbeats reach no handler.
async fn heartbeats_are_not_seen(library: Library) {
    let topic = fresh_topic("matrix");
    let config = Config::new().session("ping_interval = \"1s\"");
    let mut stage = library.open(config, &[&topic]).await;
    // Another stream of the same server shows when heartbeats are due.
    let mut clock = subscribe(stage.server.public(), &[&topic]).open().await;
    clock.read_until("four heartbeats", |parser| parser.comments >= 5).await;
    stage.server.api().publish_text(&topic, "the first").await;
    match stage.peer.next().await {
        Observed::Event { data, .. } => assert_eq!(data, "the first", "{library:?}"),
        other => panic!("{library:?} saw {other:?}"),
    }
}

/// A restart of the server in the middle is a reconnect like any other.
async fn it_survives_a_restart(library: Library) {
    let topic = fresh_topic("matrix");
    let mut stage = library.open(Config::new().drain_over(1), &[&topic]).await;
    stage.server.api().publish_text(&topic, "before").await;
    assert_eq!(stage.event().await.1, "before");
    stage.server.kill();
    stage.server.restart().await;
    stage.server.api().publish_text(&topic, "after").await;
    assert_eq!(stage.event().await.1, "after", "{library:?}");
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
            async fn case_40_resume() {
                it_resumes_by_itself($library).await;
            }

            #[tokio::test]
            async fn case_34_heartbeats() {
                heartbeats_are_not_seen($library).await;
            }

            #[tokio::test]
            async fn restart() {
                it_survives_a_restart($library).await;
            }
        }
    };
}

matrix!(chromium, Library::Chromium);
matrix!(eventsource, Library::EventSource);
matrix!(fetch_event_source, Library::FetchEventSource);
matrix!(httpx_sse, Library::HttpxSse);

/// By default this library takes the clean end of a stream for the end of its work, so the page that uses it must
/// hear why from the event before. With the documented `throw` in `onclose` it comes back.
#[tokio::test]
async fn case_41_fetch_event_source_on_drain() {
    let topic = fresh_topic("case");
    let mut server = Server::start(Config::new().drain_over(1)).await;
    let orders = |again: bool| {
        json!({
            "url": subscribe(server.public(), &[&topic]).url(),
            "names": NAMES,
            "headers": {"Authorization": format!("Bearer {}", Token::client().mint())},
            "reconnect_after_end": again,
        })
    };
    let mut by_default = Script::node("fetch-event-source.mjs", &orders(false));
    let mut comes_back = Script::node("fetch-event-source.mjs", &orders(true));
    for script in [&mut by_default, &mut comes_back] {
        assert_eq!(script.next().await, Observed::Open);
    }
    server.terminate();
    for script in [&mut by_default, &mut comes_back] {
        let Observed::Event { name, data, .. } = script.next().await else { panic!("an event before the end") };
        assert_eq!(name, "fanfare.disconnect");
        let goodbye: serde_json::Value = serde_json::from_str(&data).expect("JSON");
        assert_eq!((&goodbye["reason"], &goodbye["reconnect"]), (&"draining".into(), &true.into()));
    }
    assert_eq!(by_default.next().await, Observed::End);
    assert!(matches!(comes_back.next().await, Observed::Error(_)));
    assert!(server.ended(PATIENCE).await.success());
    server.restart().await;
    loop {
        match comes_back.next().await {
            Observed::Error(_) => {}
            Observed::Open => break,
            other => panic!("{other:?}"),
        }
    }
    server.api().publish_text(&topic, "after").await;
    let Observed::Event { data, .. } = comes_back.next().await else { panic!("an event") };
    assert_eq!(data, "after");
}

/// Case 43: a native `EventSource` knows no `reconnect: false`; 204 is what it stops at.
#[tokio::test]
async fn case_43_a_stream_that_is_over() {
    for library in [Library::Chromium, Library::EventSource] {
        let topic = fresh_topic("case");
        let mut stage = library.open(Config::new(), &[&topic]).await;
        let api = stage.server.api();
        let listed = api.get("/v1/sessions").await.ok();
        let session = listed["sessions"][0]["id"].as_str().expect("the one session").to_owned();
        api.delete(&format!("/v1/sessions/{session}")).await.ok();
        let Observed::Event { name, data, .. } = stage.peer.next().await else { panic!("{library:?}: an event first") };
        assert_eq!(name, "fanfare.disconnect");
        assert!(data.contains("\"reconnect\":false"), "{library:?}: {data}");
        // It comes back once, because it knows no better, and then never again.
        assert!(matches!(stage.peer.next().await, Observed::Error(_)));
        assert_eq!(stage.peer.next().await, Observed::End, "{library:?}");
        eventually(format!("{library:?} to have left"), PATIENCE, async || {
            (api.get("/v1/sessions/count").await.ok()["count"] == 0).then_some(())
        })
        .await;
    }
}
