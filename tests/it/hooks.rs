//! Hooks: the application in `docs/hooks.md` decides, as it stands there.

use std::process::Stdio;

use fanfare_tests::token::Token;
use fanfare_tests::{Config, Listen, PATIENCE, Server, Transport, docs, eventually, fresh_topic, within, ws};
use serde_json::json;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};

const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

/// The application of the page, running.
struct Application {
    port: u16,
    _child: Child,
}

impl Application {
    async fn start(secret: &str) -> Self {
        let program = docs::examples("hooks.md", "python").remove(0);
        let mut child = Command::new("python3")
            .args(["-c", &program, "0"])
            .env("HOOKS_SECRET", secret)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .expect("python3 is there");
        let mut lines = BufReader::new(child.stdout.take().expect("stdout is piped")).lines();
        let line = within("the application", lines.next_line()).await.expect("text").expect("a line");
        let port = line.rsplit(' ').next().and_then(|port| port.parse().ok()).expect("it says its port");
        Self { port, _child: child }
    }

    /// A server that asks it everything.
    fn config(&self) -> Config {
        let mut config = Config::new().set("hooks", &format!("secrets = [\"{SECRET}\"]"));
        for hook in ["connect", "subscribe", "publish", "refresh"] {
            let section = format!("hooks.{hook}");
            config = config.set(&section, &format!("url = \"http://127.0.0.1:{}/\"", self.port));
            config = config.set(&section, "timeout = \"30s\"");
        }
        config
    }
}

#[tokio::test]
async fn the_application_of_the_page_decides() {
    let application = Application::start(SECRET).await;
    let server = Server::start(application.config()).await;
    let mut alice = ws::connect(server.public(), &Token::client().user("alice").mint()).await;
    // `connect` names a topic for her.
    let frame = alice.frame().await;
    assert_eq!(frame["subscribed"]["topic"], "inbox:alice", "{frame}");
    // `subscribe` keeps her out.
    let guest = Token::client()
        .user("guest")
        .claim("fanfare", json!({"grants": [{"topics": ["*"], "allow": ["subscribe"]}], "info": {"role": "guest"}}));
    for transport in Transport::ALL {
        let refused = transport.try_listen(server.public(), &Listen::to("chat:staff", guest.clone().mint())).await;
        assert_eq!(refused.err().as_deref(), Some("denied_by_application"), "{transport}");
    }
    // `publish` changes her words.
    let topic = fresh_topic("chat");
    alice.subscribe(&topic, "now").await;
    let published = json!({"publish": {"topic": topic, "data": {"text": "darn it"}}});
    assert!(alice.request(published).await.get("published").is_some());
    assert_eq!(alice.event().await["data"], json!({"text": "**** it"}));
}

#[tokio::test]
async fn nobody_gets_in_when_the_application_does_not_answer() {
    // It has another secret, so that it takes no question for genuine.
    let application = Application::start("whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA").await;
    let server = Server::start(application.config()).await;
    for transport in Transport::ALL {
        let refused = transport.try_listen(server.public(), &Listen::to("chat:1", Token::client().mint())).await;
        assert_eq!(refused.err().as_deref(), Some("unavailable"), "{transport}");
    }
    eventually("the operator to be told", PATIENCE, async || server.log().contains("hook").then_some(())).await;
    // The server door asks nobody.
    server.api().publish_text("chat:1", "still here").await;
}
