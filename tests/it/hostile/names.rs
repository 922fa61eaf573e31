//! Control and format characters in every field of every door.

use fanfare_tests::sse::PATH;
use fanfare_tests::token::Token;
use fanfare_tests::{Config, Message, Request, Server, percent_encode, ws};
use serde_json::json;

use super::Undisturbed;

const BAD: [&str; 14] = [
    "\0",
    "\u{1}",
    "\t",
    "\n",
    "\r",
    "\r\n",
    "\u{1b}[31m",
    "\u{7f}",
    "\u{80}",
    "\u{85}",
    "\u{200b}",
    "\u{2028}",
    "\u{202e}",
    "\u{feff}",
];

#[tokio::test]
async fn control_characters_in_every_field() {
    let server = Server::start(Config::new()).await;
    let witness = Undisturbed::new(&server).await;
    let api = server.api().pooled();
    let mut client = ws::connect(server.public(), &Token::client().mint()).await;
    for bad in BAD {
        let text = format!("a{bad}b");
        for member in ["id", "name", "key", "source", "schema"] {
            let message = Message::json(1).with(member, text.as_str()).0;
            let answer = api.post("/v1/publish", &json!({"topic": "names", "message": message})).await;
            answer.assert_problem(400, "invalid_request");
            assert!(!answer.text.contains(bad), "{member}: the answer repeats {bad:?}");
        }
        for headers in [json!({"x": text}), json!({text.as_str(): "x"})] {
            let message = Message::json(1).with("headers", headers).0;
            let answer = api.post("/v1/publish", &json!({"topic": "names", "message": message})).await;
            answer.assert_problem(400, "invalid_request");
        }
        let topic = format!("names:{text}");
        api.post("/v1/publish", &json!({"topic": topic, "message": {"data": 1}}))
            .await
            .assert_problem(400, "invalid_request");
        for path in ["", "/events"] {
            let answer = api.get(&format!("/v1/topics/{}{path}", percent_encode(&topic))).await;
            answer.assert_problem(400, "invalid_request");
        }
        api.delete(&format!("/v1/users/{}/sessions", percent_encode(&text)))
            .await
            .assert_problem(400, "invalid_request");
        api.get(&format!("/v1/sessions?user={}", percent_encode(&text))).await.assert_problem(400, "invalid_request");

        let sse = Request::get(format!("{PATH}?topic={}", percent_encode(&topic))).bearer(&Token::client().mint());
        let response = sse.send(server.public()).await.expect("an answer");
        assert_eq!(response.status, 400, "{bad:?} over SSE");
        assert!(!response.text().await.expect("a body").contains(bad));

        client.refused(json!({"subscribe": {"topic": topic}}), "invalid_request").await;
        client.refused(json!({"publish": {"topic": topic, "data": 1}}), "invalid_request").await;
        for member in ["name", "event_id", "key", "schema"] {
            let publish = json!({"topic": "names", "data": 1, member: text});
            client.refused(json!({"publish": publish}), "invalid_request").await;
        }
        client.refused(json!({"history": {"topic": topic}}), "invalid_request").await;
    }
    assert!(api.log_of("names").await.is_empty());
    witness.check(&server).await;
}

#[tokio::test]
async fn names_that_are_only_just_allowed_and_only_just_not() {
    let server = Server::start(Config::new()).await;
    let api = server.api().pooled();
    for (topic, status) in [
        (format!("{}:x", "k".repeat(50)), 200),
        (format!("{}:x", "k".repeat(51)), 400),
        (format!("k:{}", "x".repeat(253)), 200),
        (format!("k:{}", "x".repeat(254)), 400),
        (format!("k:{}", "ü".repeat(126)), 200),
        (format!("k:{}", "ü".repeat(127)), 400),
        ("k:".to_owned(), 400),
        (":k".to_owned(), 400),
        (String::new(), 400),
        ("k:a/b?c#d%20 e+f&g=h".to_owned(), 200),
        ("k:..".to_owned(), 200),
        ("k:../../etc/passwd".to_owned(), 200),
    ] {
        let answer = api.post("/v1/publish", &json!({"topic": topic, "message": {"data": topic}})).await;
        assert_eq!(answer.status, status, "{topic:?}: {}", answer.text);
        if status == 200 {
            let log = api.log_of(&topic).await;
            assert_eq!((log.len(), &log[0]["data"]), (1, &json!(topic)), "{topic:?} read back by its path");
        }
    }
}
