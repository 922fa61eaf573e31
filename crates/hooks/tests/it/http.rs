//! Questions and answers over HTTP.

use fanfare_model::{Data, Topic};
use fanfare_session::{Hook, Hooks as _, Verdict};
use serde_json::json;

use crate::asking::{Asking, allowed, ask, draft, is_unavailable, set_up, url};
use crate::server::Server;

#[tokio::test]
async fn a_question_says_who_wants_what() {
    let server = Server::answering("{\"allow\":{}}").await;
    for hook in Hook::ALL {
        let asking =
            Asking::at(hook, &url(server.address, "/fanfare"), "headers = { authorization = \"Bearer x\" }", "");
        allowed(asking.ask(ask(hook)).await);
        assert_eq!(asking.counted(hook, "allowed"), 1);
    }
    let received = server.received();
    let base = json!({
        "tenant": "default", "session": "s1", "user": "alice", "protocol": "websocket", "address": "192.0.2.7",
        "client": "web/1.2", "info": { "role": "guest" },
    });
    let message = json!({ "id": "event-1", "name": "message", "headers": { "lang": "en" }, "data": { "text": "hi" } });
    for (question, hook) in received.iter().zip(Hook::ALL) {
        let mut expected = base.clone();
        expected["hook"] = hook.as_str().into();
        if matches!(hook, Hook::Subscribe | Hook::Publish) {
            expected["topic"] = "chat:42".into();
        }
        if hook == Hook::Publish {
            expected["message"] = message.clone();
        }
        assert_eq!(question.json(), expected);
        assert_eq!(question.path, "/fanfare");
        assert_eq!(question.header("content-type"), "application/json");
        assert_eq!(question.header("authorization"), "Bearer x");
        assert!(question.headers.get("webhook-signature").is_none(), "there is no secret");
    }
}

#[tokio::test]
async fn text_and_bytes_are_told_apart() {
    let server = Server::answering("{\"allow\":{}}").await;
    let asking = Asking::at(Hook::Publish, &url(server.address, "/"), "", "");
    for data in [Data::text("a\"b"), Data::binary(&[0, 255][..])] {
        let mut question = ask(Hook::Publish);
        question.draft.as_mut().unwrap().data = data;
        allowed(asking.ask(question).await);
    }
    let received: Vec<_> = server.received().iter().map(|question| question.json()["message"].clone()).collect();
    assert_eq!((&received[0]["encoding"], &received[0]["data"]), (&json!("text"), &json!("a\"b")));
    assert_eq!((&received[1]["encoding"], &received[1]["data"]), (&json!("base64"), &json!("AP8=")));
}

#[tokio::test]
async fn an_application_may_name_topics_and_change_an_event() {
    let server = Server::answering("{\"allow\":{\"subscribe\":[\"inbox:alice\",\"news\"]}}").await;
    let asking = Asking::at(Hook::Connect, &url(server.address, "/"), "", "");
    let topics = allowed(asking.ask(ask(Hook::Connect)).await).subscribe;
    assert_eq!(topics, [Topic::new("inbox:alice").unwrap(), Topic::new("news").unwrap()]);

    let server = Server::answering("{\"allow\":{\"message\":{\"data\":\"x\",\"encoding\":\"text\"}}}").await;
    let asking = Asking::at(Hook::Publish, &url(server.address, "/"), "", "");
    let changed = allowed(asking.ask(ask(Hook::Publish)).await).draft.unwrap();
    let asked = draft();
    assert_eq!((changed.id, changed.user, changed.source), (asked.id, asked.user, asked.source));
    assert_eq!((changed.data, changed.name), (Data::text("x"), None));
    assert!(changed.headers.is_empty());

    let server = Server::answering("{\"allow\":{\"message\":{\"id\":\"mine\",\"data\":null}}}").await;
    let asking = Asking::at(Hook::Publish, &url(server.address, "/"), "", "");
    assert_eq!(allowed(asking.ask(ask(Hook::Publish)).await).draft.unwrap().id.as_str(), "mine");
}

#[tokio::test]
async fn a_denial_has_a_reason_that_fits_a_client() {
    let long = format!("{{\"deny\":{{\"reason\":\"{}\"}}}}", "ä".repeat(2000));
    let cases: [(&str, &str, bool); 4] = [
        ("{\"deny\":{\"reason\":\"the room is full\"}}", "the room is full", false),
        ("{\"deny\":{\"reason\":\"go\",\"disconnect\":true}}", "go", true),
        ("{\"deny\":{}}", "the application does not allow it", false),
        ("{\"deny\":{\"reason\":\"a\\r\\nb\\u0000\"}}", "a  b ", false),
    ];
    for (body, expected, ends) in cases {
        let server = Server::answering(body).await;
        let asking = Asking::at(Hook::Subscribe, &url(server.address, "/"), "", "");
        let Verdict::Deny { reason, disconnect } = asking.ask(ask(Hook::Subscribe)).await else { panic!("{body}") };
        assert_eq!((reason.as_str(), disconnect), (expected, ends));
        assert_eq!(asking.counted(Hook::Subscribe, "denied"), 1);
    }
    let server = Server::answering(long.leak()).await;
    let asking = Asking::at(Hook::Subscribe, &url(server.address, "/"), "", "");
    let Verdict::Deny { reason, .. } = asking.ask(ask(Hook::Subscribe)).await else { panic!("not denied") };
    assert_eq!(reason, "ä".repeat(256));
}

#[tokio::test]
async fn what_is_not_quite_an_answer_is_none() {
    let cases = [
        (Hook::Connect, ""),
        (Hook::Connect, "{}"),
        (Hook::Connect, "true"),
        (Hook::Connect, "<html>"),
        (Hook::Connect, "{\"allow\":true}"),
        (Hook::Connect, "{\"alow\":{}}"),
        (Hook::Connect, "{\"allow\":{},\"deny\":{}}"),
        (Hook::Connect, "{\"allow\":{}} {}"),
        (Hook::Connect, "{\"allow\":{\"subscibe\":[\"a\"]}}"),
        (Hook::Connect, "{\"allow\":{\"subscribe\":[\"a\\u0000\"]}}"),
        (Hook::Connect, "{\"allow\":{\"message\":{\"data\":1}}}"),
        (Hook::Publish, "{\"allow\":{\"subscribe\":[\"a\"]}}"),
        (Hook::Publish, "{\"allow\":{\"message\":{\"dta\":1}}}"),
        (Hook::Publish, "{\"allow\":{\"message\":{\"name\":\"a\"}}}"),
        (Hook::Publish, "{\"allow\":{\"message\":{\"name\":\"fanfare.x\",\"data\":1}}}"),
        (Hook::Publish, "{\"deny\":{\"reson\":\"x\"}}"),
    ];
    for (hook, body) in cases {
        let server = Server::answering(body).await;
        let asking = Asking::at(hook, &url(server.address, "/"), "", "");
        assert!(is_unavailable(&asking.ask(ask(hook)).await), "{body}");
        assert_eq!(asking.counted(hook, "unreadable"), 1, "{body}");
    }
}

#[tokio::test]
async fn only_what_is_configured_is_asked() {
    assert!(set_up("").unwrap().is_none());
    let application = set_up("[publish]\nurl = \"http://127.0.0.1:1/\"\nkinds = [\"chat\"]").unwrap().unwrap();
    let topic = |name| Topic::new(name).unwrap();
    assert!(application.wants(Hook::Publish, Some(&topic("chat:42"))));
    assert!(application.wants(Hook::Publish, Some(&topic("chat"))));
    assert!(!application.wants(Hook::Publish, Some(&topic("chatter:42"))));
    assert!(!application.wants(Hook::Subscribe, Some(&topic("chat:42"))));
    assert!(!application.wants(Hook::Connect, None));
    // Whoever asks all the same is not in the way.
    allowed(application.ask(ask(Hook::Connect)).await);
}

#[tokio::test]
async fn secrets_may_come_from_a_file() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let set_up = || set_up(&format!("secrets_file = {:?}\n[connect]\nurl = \"http://127.0.0.1:1/\"", file.path()));
    assert!(set_up().err().unwrap().to_string().contains("holds no secret"));
    std::fs::write(file.path(), "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw\n\nnonsense\n").unwrap();
    let refused = set_up().err().unwrap().to_string();
    assert!(refused.contains("line 3") && !refused.contains("nonsense"), "{refused}");
    std::fs::write(file.path(), "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw\n").unwrap();
    assert!(set_up().unwrap().is_some());
}
