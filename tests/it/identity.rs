//! Who somebody is: published keys that change, tickets, cookies, other systems' claims.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use fanfare_tests::sse::subscribe;
use fanfare_tests::token::{self, Token};
use fanfare_tests::{Browser, Config, Heard, Listen, Observed, PageServer, Server, Transport, fresh_topic, ws};
use serde_json::{Value, json};

/// The last bytes of a public key in PEM, which are the key itself.
fn tail(pem: &str, bytes: usize) -> Vec<u8> {
    let body: String = pem.lines().filter(|line| !line.starts_with('-')).collect();
    let der = STANDARD.decode(body).expect("PEM is base64");
    der[der.len() - bytes..].to_vec()
}

pub(crate) fn p256(kid: &str) -> Value {
    let point = tail(include_str!("../keys/p256.public.pem"), 64);
    let encode = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
    json!({
        "kty": "EC", "crv": "P-256", "alg": "ES256", "use": "sig", "kid": kid,
        "x": encode(&point[..32]), "y": encode(&point[32..]),
    })
}

pub(crate) fn ed25519(kid: &str) -> Value {
    let key = tail(include_str!("../keys/ed25519.public.pem"), 32);
    json!({"kty": "OKP", "crv": "Ed25519", "alg": "EdDSA", "use": "sig", "kid": kid, "x": URL_SAFE_NO_PAD.encode(key)})
}

fn put(site: &PageServer, keys: &[Value]) {
    site.put("/jwks.json", "application/json", &json!({"keys": keys}).to_string());
}

fn config(site: &PageServer) -> Config {
    Config::new().set(
        "auth.issuers.published",
        &format!("jwks = {{ url = \"{}/jwks.json\", timeout = \"30s\" }}", site.origin()),
    )
}

pub(crate) fn signed(kid: &str, by: fn(Token) -> Token) -> String {
    let kid = kid.to_owned();
    by(Token::client().user("alice").claim("iss", "published".into())).header(|header| header.kid = Some(kid)).mint()
}

#[tokio::test]
async fn an_issuer_changes_its_keys_without_a_restart() {
    let site = PageServer::start().await;
    put(&site, &[p256("k1")]);
    let server = Server::start(config(&site)).await;
    let topic = fresh_topic("jwks");
    let mut before = Transport::WsJson.listen(server.public(), &Listen::to(&topic, signed("k1", Token::p256))).await;
    put(&site, &[p256("k1"), ed25519("k2")]);
    // The first token that names the new key waits for it, at whichever door it comes.
    for transport in Transport::ALL {
        transport.listen(server.public(), &Listen::to(&topic, signed("k2", Token::ed25519))).await;
    }
    // Tokens with made-up names do not make it fetch again and again.
    let fetched = site.fetched();
    for n in 0..50 {
        let made_up = signed(&format!("made-up-{n}"), Token::ed25519);
        let refused = Transport::Sse.try_listen(server.public(), &Listen::to(&topic, made_up)).await;
        assert!(refused.is_err());
    }
    assert!(site.fetched() <= fetched + 1, "{} fetches for 50 names", site.fetched() - fetched);
    // Whoever is in stays in.
    server.api().publish_text(&topic, "still here").await;
    assert_eq!(before.event().await["data"], "still here");
}

/// A page that can send no header opens a stream with a ticket; a second time the ticket is of no use.
#[tokio::test]
async fn a_ticket_opens_one_stream_of_a_native_event_source() {
    let page = PageServer::start().await;
    let server = Server::start(Config::new().sse(&format!("allowed_origins = [\"{}\"]", page.origin()))).await;
    let topic = fresh_topic("ticket");
    let ask = json!({"user": "alice", "topics": [topic], "origin": page.origin()});
    let mut browser = Browser::start(page).await;

    // From a page of another origin it is of no use.
    let of = |ticket: &str| subscribe(server.public(), &[&topic]).token(None).query("ticket", ticket);
    let stolen = server.api().post("/v1/tickets", &ask).await.ok();
    let stolen = of(stolen["ticket"].as_str().expect("a ticket")).header("Origin", "https://elsewhere.example");
    let refused = stolen.send().await.expect("an answer");
    assert!((400..500).contains(&refused.status), "{}", refused.status);

    let made = server.api().post("/v1/tickets", &ask).await.ok();
    let ticket = made["ticket"].as_str().expect("a ticket").to_owned();
    let url = format!("http://{}/v1/sse?topic={topic}&ticket={ticket}", server.public());
    browser.event_source(&url, &["message"], false).await;
    assert_eq!(browser.next().await, Observed::Open);
    server.api().publish_text(&topic, "hello").await;
    match browser.next().await {
        Observed::Event { data, .. } => assert_eq!(data, "hello"),
        other => panic!("{other:?}"),
    }
    let again = of(&ticket).send().await.expect("an answer");
    assert_eq!(again.status, 401);
    assert!(!server.log().contains(&ticket), "tickets are kept out of the log");
}

/// The same from the client door: a token in a header is exchanged for a ticket.
#[tokio::test]
async fn a_client_exchanges_its_token_for_a_ticket() {
    let server = Server::start(Config::new()).await;
    let topic = fresh_topic("ticket");
    let token = Token::client().user("alice").mint();
    let http = reqwest::Client::builder().no_proxy().tls_certs_only([]).build().expect("a client");
    let answer = http.post(format!("http://{}/v1/sse/ticket", server.public())).bearer_auth(&token).send().await;
    let made: Value = answer.expect("an answer").json().await.expect("JSON");
    let ticket = made["ticket"].as_str().unwrap_or_else(|| panic!("{made}"));
    let stream = subscribe(server.public(), &[&topic]).token(None).query("ticket", ticket);
    let mut stream = stream.open().await;
    server.api().publish_text(&topic, "hello").await;
    assert_eq!(stream.data_event().await.data, "hello");
}

/// A cookie counts only with an allowed `Origin`.
#[tokio::test]
async fn a_cookie_counts_only_from_an_allowed_origin() {
    let origin = "https://app.example";
    let config = Config::new()
        .set("auth", "cookie = \"__Host-fanfare\"")
        .sse(&format!("allowed_origins = [\"{origin}\"]"))
        .ws(&format!("allowed_origins = [\"{origin}\"]"));
    let server = Server::start(config).await;
    let topic = fresh_topic("cookie");
    let cookie = format!("a=b; __Host-fanfare={}; c=d", Token::client().user("alice").mint());
    let stream = subscribe(server.public(), &[&topic]).token(None).header("Cookie", cookie.clone());
    let mut open = stream.clone().header("Origin", origin).open().await;
    for wrong in [None, Some("https://app.example.evil"), Some("null")] {
        let asked = match wrong {
            Some(origin) => stream.clone().header("Origin", origin),
            None => stream.clone(),
        };
        let refused = asked.send().await.expect("an answer");
        assert!(matches!(refused.status, 401 | 403), "{wrong:?}: {}", refused.status);
    }
    let headers = [("cookie", cookie.as_str()), ("origin", origin)];
    let (mut socket, _) = ws::handshake(server.public(), &headers).await.expect("a handshake");
    assert_eq!(socket.frame().await["connected"]["user"], "alice");
    assert!(ws::handshake(server.public(), &[("cookie", &cookie), ("origin", "https://evil.example")]).await.is_err());
    server.api().publish_text(&topic, "hello").await;
    assert_eq!(open.data_event().await.data, "hello");
}

/// What was revoked stays revoked: over a restart, also after a kill.
#[tokio::test]
async fn a_restart_lets_nobody_in_again() {
    let mut server = Server::start(Config::new()).await;
    let topic = fresh_topic("revoked");
    let issued = token::now() - 5;
    let ask = |user: &str| {
        let token = Token::client().user(user).claim("iat", issued.into());
        Listen::to(&topic, token.mint())
    };
    let api = server.api();
    api.post("/v1/tokens/revoke", &json!({"user": "alice"})).await.ok();
    api.post("/v1/tokens/revoke", &json!({"block_user": "bob"})).await.ok();
    for _ in 0..2 {
        for (user, code) in [("alice", "revoked"), ("bob", "user_blocked")] {
            let refused = Transport::WsJson.try_listen(server.public(), &ask(user)).await;
            assert_eq!(refused.err().as_deref(), Some(code));
        }
        server.kill();
        server.restart().await;
    }
    Transport::WsJson.listen(server.public(), &ask("carol")).await;
}

/// Tokens made for another system are read by what the configuration says of their issuer.
#[tokio::test]
async fn claims_of_other_systems_are_read() {
    let config = |claims: &str| {
        Config::new().set(
            "auth.issuers.old",
            &format!("keys = [{{ secret = \"{}\" }}]\nalgorithms = [\"HS256\"]\nclaims = \"{claims}\"", token::SECRET),
        )
    };
    let token = || Token::client().user("alice").claim("iss", "old".into()).without("fanfare");
    let cases = [
        ("mercure", token().claim("mercure", json!({"subscribe": ["news:1"]}))),
        ("centrifugo", token().claim("channels", json!(["news:1"]))),
    ];
    for (claims, token) in cases {
        let server = Server::start(config(claims)).await;
        let token = token.mint();
        // Centrifugo's `channels` are subscribed to without being asked for.
        let topics = if claims == "centrifugo" { Vec::new() } else { vec!["news:1".to_owned()] };
        let ask = Listen { topics, ..Listen::to("news:1", token.clone()) };
        let mut listener = Transport::WsJson.listen(server.public(), &ask).await;
        server.api().publish_text("news:1", "hello").await;
        loop {
            match listener.next().await {
                Heard::Event(event) => break assert_eq!(event["data"], "hello", "{claims}"),
                Heard::Resume(_) => {}
                other => panic!("{claims}: {other:?}"),
            }
        }
        let refused = Transport::WsJson.try_listen(server.public(), &Listen::to("other:1", token)).await;
        assert_eq!(refused.err().as_deref(), Some("permission_denied"), "{claims}");
    }
}
