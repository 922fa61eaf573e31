//! A client of the SSE gateway.

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;

use bytes::Bytes;
use serde_json::Value;

use crate::token::Token;
use crate::{H2Client, H2Response, Request, Response, SseEvent, SseParser, percent_encode, within};

/// The path of the gateway.
pub const PATH: &str = "/v1/sse";

/// A subscription in the making.
#[derive(Debug, Clone)]
pub struct Subscribe {
    to: SocketAddr,
    query: Vec<(String, String)>,
    headers: Vec<(String, Vec<u8>)>,
    token: Option<String>,
}

/// Subscribes at `to` with a token that may do everything.
pub fn subscribe(to: SocketAddr, topics: &[&str]) -> Subscribe {
    let query = topics.iter().map(|topic| ("topic".to_owned(), (*topic).to_owned())).collect();
    Subscribe { to, query, headers: Vec::new(), token: Some(Token::client().mint()) }
}

impl Subscribe {
    /// Adds a parameter to the query.
    #[must_use]
    pub fn query(mut self, name: &str, value: impl Into<String>) -> Self {
        self.query.push((name.to_owned(), value.into()));
        self
    }

    /// Where to begin, if there is no cursor.
    #[must_use]
    pub fn from(self, from: &str) -> Self {
        self.query("from", from)
    }

    /// Puts topic, offset, id, name, time and data into `data`.
    #[must_use]
    pub fn envelope(self) -> Self {
        self.query("envelope", "1")
    }

    /// Resumes as a browser does.
    #[must_use]
    pub fn last_event_id(self, id: impl Into<Vec<u8>>) -> Self {
        self.header("Last-Event-ID", id)
    }

    /// Adds a header.
    #[must_use]
    pub fn header(mut self, name: &str, value: impl Into<Vec<u8>>) -> Self {
        self.headers.push((name.to_owned(), value.into()));
        self
    }

    /// With a certain token, or none.
    #[must_use]
    pub fn token(mut self, token: Option<String>) -> Self {
        self.token = token;
        self
    }

    /// Path and query.
    pub fn target(&self) -> String {
        let pairs: Vec<String> = self
            .query
            .iter()
            .map(|(name, value)| format!("{}={}", percent_encode(name), percent_encode(value)))
            .collect();
        if pairs.is_empty() { PATH.to_owned() } else { format!("{PATH}?{}", pairs.join("&")) }
    }

    /// The whole URL, for other people's clients.
    pub fn url(&self) -> String {
        format!("http://{}{}", self.to, self.target())
    }

    /// The request, to be changed.
    pub fn request(&self, method: &str) -> Request {
        let mut request = Request::new(method, self.target());
        if let Some(token) = &self.token {
            request = request.bearer(token);
        }
        self.headers.iter().fold(request, |request, (name, value)| request.header(name, value.clone()))
    }

    /// Sends it and reads the head of the answer, whatever it is.
    pub async fn send(&self) -> io::Result<Response> {
        self.request("GET").header("Accept", "text/event-stream").send(self.to).await
    }

    /// Opens the stream; an error if the connection fails or the answer is not 200.
    pub async fn try_open(&self) -> io::Result<EventStream> {
        let response = self.send().await?;
        if response.status != 200 {
            return Err(io::Error::other(format!("status {}", response.status)));
        }
        Ok(EventStream::new(Source::Http1(response)))
    }

    /// Opens the stream; panics with the answer if it is not 200.
    pub async fn open(&self) -> EventStream {
        let response = within("the head of a stream", self.send()).await.expect("the server answers");
        if response.status != 200 {
            let status = response.status;
            panic!("{}: {status}: {}", self.target(), within("a body", response.text()).await.unwrap_or_default());
        }
        EventStream::new(Source::Http1(response))
    }

    /// Opens the stream over an HTTP/2 connection.
    pub async fn open_h2(&self, client: &mut H2Client) -> EventStream {
        let token = self.token.clone().unwrap_or_default();
        let response = within("the head of a stream", client.get(&self.target(), &token)).await.expect("an answer");
        assert_eq!(response.status, 200, "{}", self.target());
        EventStream::new(Source::Http2(response))
    }
}

enum Source {
    Http1(Response),
    Http2(H2Response),
}

/// An open stream.
pub struct EventStream {
    source: Source,
    parser: SseParser,
    ready: VecDeque<SseEvent>,
    bytes: Vec<u8>,
    control: Vec<SseEvent>,
}

impl EventStream {
    /// Reads an answer as a stream.
    pub fn of(response: Response) -> Self {
        Self::new(Source::Http1(response))
    }

    fn new(source: Source) -> Self {
        let (parser, ready) = (SseParser::default(), VecDeque::new());
        Self { source, parser, ready, bytes: Vec::new(), control: Vec::new() }
    }

    /// A header of the answer.
    pub fn header(&self, name: &str) -> Option<&str> {
        let headers = match &self.source {
            Source::Http1(response) => &response.headers,
            Source::Http2(response) => &response.headers,
        };
        headers.get(name).and_then(|value| value.to_str().ok())
    }

    /// Every byte of the body so far.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// What the parser counts: comments, retry, idle blank lines.
    pub fn parser(&self) -> &SseParser {
        &self.parser
    }

    /// The server's own events so far that [`EventStream::data_event`] passed over.
    pub fn control(&self) -> &[SseEvent] {
        &self.control
    }

    /// The answer under it, if it came over HTTP/1.
    pub fn http1(&mut self) -> &mut Response {
        match &mut self.source {
            Source::Http1(response) => response,
            Source::Http2(_) => panic!("this stream came over HTTP/2"),
        }
    }

    async fn chunk(&mut self) -> io::Result<Option<Bytes>> {
        match &mut self.source {
            Source::Http1(response) => response.chunk().await,
            Source::Http2(response) => response.chunk().await,
        }
    }

    /// Reads the next bytes; `false` at the clean end of the body.
    pub async fn read(&mut self) -> io::Result<bool> {
        let Some(chunk) = self.chunk().await? else { return Ok(false) };
        self.bytes.extend_from_slice(&chunk);
        self.ready.extend(self.parser.push(&chunk));
        Ok(true)
    }

    /// The next event of any kind; `None` at the clean end of the body, an error if it was cut off.
    pub async fn next(&mut self) -> io::Result<Option<SseEvent>> {
        loop {
            if let Some(event) = self.ready.pop_front() {
                return Ok(Some(event));
            }
            if !self.read().await? {
                return Ok(None);
            }
        }
    }

    /// The next event of any kind, which must come.
    pub async fn event(&mut self) -> SseEvent {
        let event = within("an event", self.next()).await.expect("the stream is not cut");
        event.unwrap_or_else(|| panic!("the stream ended; its bytes: {}", String::from_utf8_lossy(&self.bytes)))
    }

    /// The next event that a publisher sent, which must come; the server's own are kept in [`EventStream::control`].
    pub async fn data_event(&mut self) -> SseEvent {
        loop {
            let event = self.event().await;
            if !event.is_control() {
                return event;
            }
            self.control.push(event);
        }
    }

    /// The data of the next `n` events that publishers sent.
    pub async fn take(&mut self, n: usize) -> Vec<String> {
        let mut data = Vec::with_capacity(n);
        while data.len() < n {
            data.push(self.data_event().await.data);
        }
        data
    }

    /// The next event of the server's own named `name`, which must come before any other; its data.
    pub async fn control_event(&mut self, name: &str) -> Value {
        let event = self.event().await;
        assert_eq!(event.name, name, "{event:?}");
        event.json()
    }

    /// Reads on until `done` of the parser; panics if it takes too long.
    pub async fn read_until(&mut self, what: &str, mut done: impl FnMut(&SseParser) -> bool) {
        within(what, async {
            while !done(&self.parser) {
                assert!(self.read().await.expect("the stream is not cut"), "the stream ended before {what}");
            }
        })
        .await;
    }

    /// Everything that still comes up to the clean end, which must come.
    pub async fn to_end(&mut self) -> Vec<SseEvent> {
        let mut events = Vec::new();
        while let Some(event) = within("the end of the stream", self.next()).await.expect("a clean end") {
            events.push(event);
        }
        events
    }

    /// The cursor to resume from.
    pub fn last_id(&self) -> &str {
        self.parser.last_id()
    }
}
