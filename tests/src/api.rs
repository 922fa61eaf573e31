//! The HTTP API, as a backend uses it.

use std::net::SocketAddr;

use http::StatusCode;
use reqwest::header::HeaderMap;
use serde_json::{Value, json};

use crate::token::Token;
use crate::{PATIENCE, within};

/// A client of one server's API with one token.
#[derive(Clone)]
pub struct Api {
    http: reqwest::Client,
    base: String,
    token: Option<String>,
}

/// What the API answered.
#[derive(Debug, Clone)]
pub struct Answer {
    /// The status.
    pub status: StatusCode,
    /// The headers.
    pub headers: HeaderMap,
    /// The body, as text.
    pub text: String,
}

impl Answer {
    /// The body as JSON; `Null` if it is none.
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or(Value::Null)
    }

    /// Checks that this is `application/problem+json` with this status and code, complete.
    pub fn assert_problem(&self, status: u16, code: &str) -> Value {
        let body = self.json();
        assert_eq!(self.status.as_u16(), status, "{}", self.text);
        assert_eq!(
            self.headers.get("content-type").map(reqwest::header::HeaderValue::as_bytes),
            Some(&b"application/problem+json"[..]),
            "{}",
            self.text
        );
        assert_eq!(body["code"], code, "{}", self.text);
        assert_eq!(body["status"], status, "{}", self.text);
        for member in ["type", "title", "detail"] {
            assert!(body[member].as_str().is_some_and(|text| !text.is_empty()), "{member} in {}", self.text);
        }
        body
    }

    /// Checks that the status is 2xx and gives the body.
    pub fn ok(self) -> Value {
        assert!(self.status.is_success(), "{}: {}", self.status, self.text);
        self.json()
    }
}

/// One message to publish.
#[derive(Debug, Clone)]
pub struct Message(pub Value);

impl Message {
    /// Of JSON data.
    pub fn json(data: impl Into<Value>) -> Self {
        Self(json!({"data": data.into()}))
    }

    /// Of text.
    pub fn text(text: &str) -> Self {
        Self(json!({"data": text, "encoding": "text"}))
    }

    /// Of any bytes.
    pub fn binary(bytes: &[u8]) -> Self {
        use base64::Engine as _;
        let data = base64::engine::general_purpose::STANDARD.encode(bytes);
        Self(json!({"data": data, "encoding": "base64"}))
    }

    /// With another member set.
    #[must_use]
    pub fn with(mut self, member: &str, value: impl Into<Value>) -> Self {
        self.0[member] = value.into();
        self
    }
}

impl Api {
    /// With a token that may do everything.
    pub fn new(admin: SocketAddr) -> Self {
        Self::with_token(admin, Some(Token::server().mint()))
    }

    /// With a certain token, or none.
    pub fn with_token(admin: SocketAddr, token: Option<String>) -> Self {
        // No pool: a test that kills the server must not be handed a connection to its former life.
        let http = client().pool_max_idle_per_host(0).build().expect("a client without TLS files");
        Self { http, base: format!("http://{admin}"), token }
    }

    /// Keeps connections open between requests, for tests that send many.
    #[must_use]
    pub fn pooled(mut self) -> Self {
        self.http = client().build().expect("a client without TLS files");
        self
    }

    /// The same server, another token.
    #[must_use]
    pub fn token(mut self, token: Option<String>) -> Self {
        self.token = token;
        self
    }

    /// Sends a request; the connection's own failures come as errors.
    pub async fn send(&self, request: reqwest::RequestBuilder) -> Result<Answer, reqwest::Error> {
        let request = match &self.token {
            Some(token) => request.bearer_auth(token),
            None => request,
        };
        let response = request.send().await?;
        let (status, headers) = (response.status(), response.headers().clone());
        Ok(Answer { status, headers, text: response.text().await? })
    }

    /// A request to `path`, to be completed and given to [`Api::send`].
    pub fn request(&self, method: http::Method, path: &str) -> reqwest::RequestBuilder {
        self.http.request(method, format!("{}{path}", self.base))
    }

    /// GET.
    pub async fn get(&self, path: &str) -> Answer {
        self.must(self.request(http::Method::GET, path)).await
    }

    /// DELETE.
    pub async fn delete(&self, path: &str) -> Answer {
        self.must(self.request(http::Method::DELETE, path)).await
    }

    /// POST of JSON.
    pub async fn post(&self, path: &str, body: &Value) -> Answer {
        self.must(self.request(http::Method::POST, path).json(body)).await
    }

    /// POST of any bytes as `content_type`.
    pub async fn post_raw(&self, path: &str, content_type: &str, body: impl Into<Vec<u8>>) -> Answer {
        let request = self.request(http::Method::POST, path).header("content-type", content_type).body(body.into());
        self.must(request).await
    }

    /// Sends a request that must be answered.
    pub async fn must(&self, request: reqwest::RequestBuilder) -> Answer {
        within("an answer of the API", self.send(request)).await.expect("the API answers")
    }

    /// Publishes one message to one topic and gives its entry of `results`.
    pub async fn publish(&self, topic: &str, message: Message) -> Value {
        let answer = self.post("/v1/publish", &json!({"topic": topic, "message": message.0})).await.ok();
        answer["results"][0].clone()
    }

    /// Publishes `data` as text.
    pub async fn publish_text(&self, topic: &str, text: &str) -> Value {
        self.publish(topic, Message::text(text)).await
    }

    /// Publishes JSON messages in one batch: their positions.
    pub async fn publish_many(&self, topic: &str, messages: Vec<Message>) -> Vec<String> {
        let messages: Vec<Value> = messages.into_iter().map(|message| message.0).collect();
        let answer = self.post("/v1/publish", &json!({"topic": topic, "messages": messages})).await.ok();
        let results = answer["results"].as_array().expect("results").iter();
        results.map(|result| result["position"].as_str().expect("a position").to_owned()).collect()
    }

    /// Publishes the numbers `range` as JSON, one event each: their positions.
    pub async fn publish_numbers(&self, topic: &str, range: std::ops::RangeInclusive<u64>) -> Vec<String> {
        let numbers: Vec<u64> = range.collect();
        let mut positions = Vec::with_capacity(numbers.len());
        for batch in numbers.chunks(500) {
            let messages = batch.iter().map(|n| Message::json(*n)).collect();
            positions.extend(self.publish_many(topic, messages).await);
        }
        positions
    }

    /// All that `/metrics` shows.
    pub async fn metrics(&self) -> String {
        let answer = self.get("/metrics").await;
        assert!(answer.status.is_success(), "{}: {}", answer.status, answer.text);
        answer.text
    }

    /// The sum over all label sets of the metric `name` for which `label` (e.g. `protocol="sse"`) is in the line.
    pub async fn metric(&self, name: &str, label: &str) -> f64 {
        let text = self.metrics().await;
        text.lines()
            .filter(|line| line.strip_prefix(name).is_some_and(|rest| rest.starts_with([' ', '{'])))
            .filter(|line| line.contains(label))
            .filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok())
            .sum()
    }

    /// A whole topic, oldest first, over as many pages as it takes.
    pub async fn log_of(&self, topic: &str) -> Vec<Value> {
        let path = format!("/v1/topics/{}/events", percent_encode(topic));
        let mut events: Vec<Value> = Vec::new();
        loop {
            let from = events.last().map_or("start".to_owned(), |event| {
                event["position"].as_str().expect("an event has a position").to_owned()
            });
            let page = self.get(&format!("{path}?from={from}&limit=500")).await.ok();
            let batch = page["events"].as_array().expect("a page has events");
            if batch.is_empty() {
                return events;
            }
            events.extend(batch.iter().cloned());
        }
    }
}

fn client() -> reqwest::ClientBuilder {
    // Nothing here speaks TLS, and reading the machine's certificates takes longer than most tests.
    reqwest::Client::builder().timeout(PATIENCE).no_proxy().tls_certs_only([])
}

/// `text` for a place in a URL.
pub fn percent_encode(text: &str) -> String {
    use std::fmt::Write as _;
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            write!(encoded, "%{byte:02X}").expect("a String takes everything");
        }
    }
    encoded
}
