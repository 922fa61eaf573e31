//! HTTP requests, and what a refusal says.

use std::time::Duration;

use reqwest::{Client, RequestBuilder, Response};
use rustls::ClientConfig;
use serde_json::Value;

use super::Door;
use crate::failure::{Code, Failure};

/// How long it may take to connect.
const CONNECT: Duration = Duration::from_secs(10);
/// How long nothing may come: longer than the server's heartbeats are apart.
const SILENCE: Duration = Duration::from_secs(90);

/// Sends requests to one server.
#[derive(Debug, Clone)]
pub(crate) struct Requests {
    client: Client,
    door: Door,
}

impl Requests {
    pub(crate) fn to(door: Door) -> Result<Self, Failure> {
        let mut client = Client::builder()
            .user_agent(concat!("fanfare/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(CONNECT)
            .read_timeout(SILENCE);
        if let Some(tls) = &door.tls {
            let mut tls = ClientConfig::clone(tls);
            tls.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
            client = client.tls_backend_preconfigured(tls);
        }
        let client = client
            .build()
            .map_err(|error| Failure::because(Code::SystemRefused, "an HTTP client cannot be made", error))?;
        Ok(Self { client, door })
    }

    /// A GET of `path`, with the token.
    pub(crate) fn get(&self, path: &[&str]) -> RequestBuilder {
        self.with_token(self.client.get(self.door.at(path)))
    }

    /// A POST to `path`, with the token.
    pub(crate) fn post(&self, path: &[&str]) -> RequestBuilder {
        self.with_token(self.client.post(self.door.at(path)))
    }

    fn with_token(&self, request: RequestBuilder) -> RequestBuilder {
        match &self.door.token {
            Some(token) => request.bearer_auth(token),
            None => request,
        }
    }
}

/// Sends `request`; an answer that is not a success is a failure with the server's own words.
pub(crate) async fn send(request: RequestBuilder) -> Result<Response, Failure> {
    let response = request.send().await.map_err(unreachable)?;
    if response.status().is_success() { Ok(response) } else { Err(refusal(response).await) }
}

/// The failure to reach the server at all.
pub(crate) fn unreachable(error: reqwest::Error) -> Failure {
    let url = error.url().map_or(String::new(), |url| format!(" at {}", url.origin().ascii_serialization()));
    Failure::because(Code::Unreachable, format!("no answer from the server{url}"), error.without_url())
}

/// What a refusal says: RFC 9457 `code` and `detail`, or at least the status.
pub(crate) async fn refusal(response: Response) -> Failure {
    let status = response.status();
    let body = response.bytes().await.unwrap_or_default();
    let problem: Value = serde_json::from_slice(&body).unwrap_or_default();
    let text = |name: &str| problem.get(name).and_then(Value::as_str);
    let code = text("code").map_or(String::new(), |code| format!(" {code}"));
    let words = text("detail").or_else(|| text("title")).unwrap_or("it gave no reason");
    Failure::new(Code::Refused, format!("the server refused ({}{code}): {words}", status.as_u16()))
}
