//! From a request to an answer, the same at both doors.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::ConnectInfo;
use bytes::Bytes;
use fanfare_auth::Principal;
use fanfare_bus::{Subscribe, Subscribed};
use fanfare_model::{Invalid, Kind, SessionId};
use fanfare_session::problem::Problem;
use fanfare_session::{Goodbye, Protocol, Session, SessionInfo, TooMany};
use http::header::{AUTHORIZATION, CONTENT_TYPE, USER_AGENT};
use http::request::Parts;
use http::{HeaderMap, Method, Request, Response};
use http_body_util::{BodyExt as _, LengthLimitError, Limited};

use crate::accept::Shape;
use crate::cors::Cors;
use crate::encode::Wire;
use crate::gateway::{Gateway, LONG_POLL, protocol};
use crate::live::{Live, write_farewell};
use crate::opened::Opened;
use crate::positions::Positions;
use crate::resume::{Plan, StreamState};
use crate::wanted::Wanted;
use crate::{answer, credential, form, long_poll, metrics};

/// The most bytes of a `User-Agent` that are kept with a session.
const CLIENT_BYTES_MAX: usize = 200;

/// What an answer holds besides its head.
pub(crate) enum Content {
    /// All of it.
    Whole(Bytes),
    /// A stream.
    Stream(Begun),
}

/// A stream that is to be written.
pub(crate) struct Begun {
    pub(crate) live: Box<Live>,
    /// What it says before anything else.
    pub(crate) beginning: Vec<u8>,
}

/// Answers a request.
pub(crate) async fn answer(gateway: &Arc<Gateway>, request: Request<Body>) -> Response<Content> {
    let cors = Cors::of(request.headers(), &gateway.options.allowed_origins);
    let mut response = match request.method().as_str() {
        "OPTIONS" => {
            let mut response = answer::no_content();
            cors.add_to_preflight(response.headers_mut());
            response
        }
        "GET" | "HEAD" | "POST" | "QUERY" => {
            Box::pin(respond(gateway, request)).await.unwrap_or_else(|problem| answer::refused(&problem))
        }
        _ => answer::refused(&method_not_allowed()),
    };
    cors.add_to(response.headers_mut());
    response
}

/// Everything is refused before the head of a stream is sent, and in this order: who are you, what do you want,
/// may you, is there room.
async fn respond(gateway: &Gateway, request: Request<Body>) -> Result<Response<Content>, Problem> {
    let (parts, body) = request.into_parts();
    let query = form::pairs(parts.uri.query().unwrap_or_default().as_bytes())?;
    let principal = credential::authenticate(&gateway.node, &parts.headers, &query, gateway.options.token_in_query)?;
    let wanted = read(gateway, &parts, &query, body).await?;
    if wanted.is_over() {
        return Ok(answer::no_content());
    }
    let caller = Caller::new(&parts, &wanted)?;
    let session = caller.session(gateway, &parts, &principal);
    let is_head = parts.method == Method::HEAD;
    // Headers and extensions hold on to the connection's read buffer: they go before the stream begins.
    drop((parts, query));

    let plan = Plan::new(wanted, &principal)?;
    let subscribe = plan.authorize(&principal)?;
    if is_head {
        return Ok(answer::ok(caller.media_type(), Content::Whole(Bytes::new())));
    }
    let session = match gateway.node.sessions.register(session, Arc::new(principal)) {
        Ok(session) => session,
        Err(limit) => return caller.no_room(gateway, limit),
    };
    match open(gateway, session, plan, subscribe).await {
        Ok(opened) => Ok(caller.deliver(gateway, opened).await),
        Err(error) => caller.turned_away(gateway, Goodbye::Unavailable, error.into()),
    }
}

/// What must be known of a request when its head is gone.
struct Caller {
    wire: Wire,
    poll: bool,
    checkpoint: bool,
    /// Whether errors that pass must be told in a stream: a native `EventSource` that sees a status gives up for
    /// ever, and shows it to nobody. A client that can set headers can read a status.
    needs_stream: bool,
}

impl Caller {
    fn new(parts: &Parts, wanted: &Wanted) -> Result<Self, Problem> {
        // The answer to a long poll is JSON, whatever else the client would read.
        let shape =
            if wanted.poll { Shape::Lines } else { Shape::negotiate(&parts.headers).ok_or_else(not_acceptable)? };
        let wire = match shape {
            Shape::EventStream => Wire::Sse { envelope: wanted.envelope, heartbeat_event: wanted.heartbeat_event },
            Shape::Lines => Wire::Lines,
        };
        let needs_stream = shape == Shape::EventStream
            && parts.method == Method::GET
            && !wanted.reject_by_status
            && !parts.headers.contains_key(AUTHORIZATION);
        Ok(Self { wire, poll: wanted.poll, checkpoint: wanted.checkpoint, needs_stream })
    }

    fn session(&self, gateway: &Gateway, parts: &Parts, principal: &Principal) -> SessionInfo {
        let address = parts.extensions.get::<ConnectInfo<SocketAddr>>().map(|info| info.0.ip());
        let client = parts.headers.get(USER_AGENT).and_then(|value| value.to_str().ok());
        SessionInfo {
            id: SessionId::generate(),
            tenant: principal.tenant.clone(),
            user: principal.user.clone(),
            protocol: match self.wire {
                Wire::Sse { .. } => Protocol::Sse,
                Wire::Lines => Protocol::JsonLines,
            },
            connected_at: gateway.node.clock.now(),
            expires_at: principal.expires_at,
            address,
            client: client.map(|text| text[..text.floor_char_boundary(CLIENT_BYTES_MAX)].into()),
        }
    }

    const fn media_type(&self) -> &'static str {
        if self.poll { long_poll::MEDIA_TYPE } else { self.wire.shape().media_type() }
    }

    /// The answer when a limit is reached.
    fn no_room(&self, gateway: &Gateway, limit: TooMany) -> Result<Response<Content>, Problem> {
        let goodbye = match limit {
            TooMany::OnNode | TooMany::OfUser => Goodbye::Overloaded,
            TooMany::Draining => Goodbye::Draining,
        };
        self.turned_away(gateway, goodbye, limit.into())
    }

    /// The answer when a stream cannot be opened for a reason that passes.
    fn turned_away(&self, gateway: &Gateway, goodbye: Goodbye, problem: Problem) -> Result<Response<Content>, Problem> {
        if !self.needs_stream {
            return Err(problem.with_retry_after(gateway.retry_after_overload()));
        }
        let mut farewell = Vec::new();
        write_farewell(gateway, self.wire, goodbye, &mut farewell);
        Ok(answer::ok(self.media_type(), Content::Whole(farewell.into())))
    }

    /// The answer with what the client came for.
    async fn deliver(self, gateway: &Gateway, mut opened: Opened) -> Response<Content> {
        opened.checkpoint = self.checkpoint;
        let (id, state, cursor) = (opened.session.info().id, opened.state, opened.positions.text());
        if state != StreamState::New {
            let protocol = if self.poll { LONG_POLL } else { protocol(self.wire.shape()) };
            metrics::resumed(protocol, state.as_str());
        }
        let media_type = self.media_type();
        let content = if self.poll {
            Content::Whole(long_poll::answer(gateway, opened).await.into())
        } else {
            let beginning = opened.beginning(self.wire, gateway.options.retry.get());
            Content::Stream(Begun { live: Box::new(Live::new(self.wire, opened)), beginning })
        };
        let mut response = answer::ok(media_type, content);
        let headers = response.headers_mut();
        answer::set(headers, answer::SESSION, id.as_str().to_owned());
        answer::set(headers, answer::STREAM_STATE, state.as_str().to_owned());
        answer::set(headers, answer::LAST_EVENT_ID, cursor);
        response
    }
}

/// What the request asks for, its body included.
async fn read(gateway: &Gateway, parts: &Parts, query: &[(String, String)], body: Body) -> Result<Wanted, Problem> {
    let mut wanted = Wanted::default();
    wanted.add_form(query)?;
    if matches!(parts.method.as_str(), "POST" | "QUERY") {
        let body = collect(gateway, body).await?;
        match content_type(&parts.headers) {
            _ if body.is_empty() => {}
            Some("application/json") => wanted.add_json(&body)?,
            Some("application/x-www-form-urlencoded") => {
                let pairs = form::pairs(&body)?;
                wanted.add_form(&pairs)?;
            }
            _ => return Err(unsupported_media_type()),
        }
    }
    wanted.add_headers(&parts.headers);
    wanted.check(gateway.options.topics_max)?;
    Ok(wanted)
}

/// The whole body, within the limits of size and time.
async fn collect(gateway: &Gateway, body: Body) -> Result<Bytes, Problem> {
    let (size_max, timeout) = (gateway.options.body_bytes_max, gateway.options.body_timeout);
    let limited = Limited::new(body, size_max.as_usize());
    match tokio::time::timeout(timeout.get(), limited.collect()).await {
        Ok(Ok(body)) => Ok(body.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => {
            let detail = format_args!("the body has more than {size_max}");
            Err(Problem::new(Kind::TooLarge, detail))
        }
        Ok(Err(_)) => Err(Invalid::new("body", "ended before it was complete").into()),
        Err(_) => {
            let detail = format_args!("the body did not arrive within {timeout}");
            Err(Problem::new(Kind::Timeout, detail).with_status(408, "The request took too long"))
        }
    }
}

/// The media type of the body without its parameters; it is compared in lower case.
fn content_type(headers: &HeaderMap) -> Option<&'static str> {
    let value = headers.get(CONTENT_TYPE)?.to_str().ok()?;
    let media_type = value.split(';').next()?.trim();
    ["application/json", "application/x-www-form-urlencoded"]
        .into_iter()
        .find(|known| media_type.eq_ignore_ascii_case(known))
}

/// Subscribes to every topic of the plan.
async fn open(
    gateway: &Gateway,
    session: Session,
    plan: Plan,
    subscribe: Vec<Subscribe>,
) -> Result<Opened, fanfare_bus::Error> {
    let live_after = gateway.node.clock.now();
    let mut reader = gateway.node.bus.reader();
    let mut subscribed: Vec<Subscribed> = Vec::with_capacity(subscribe.len());
    for request in subscribe {
        subscribed.push(reader.subscribe(request).await?);
    }
    let gaps = subscribed.iter().filter_map(|one| one.gap.map(|gap| (one.id, gap, one.position))).collect();
    let state = plan.state(&subscribed);
    let positions = plan.topics.iter().zip(&subscribed).map(|(topic, one)| (topic.topic.clone(), topic.position(one)));
    let positions = Positions::new(positions);
    Ok(Opened { session, reader, positions, state, requested: plan.requested, checkpoint: false, gaps, live_after })
}

fn method_not_allowed() -> Problem {
    Problem::new(Kind::Invalid, "streams are opened with GET, POST or QUERY")
        .with_status(405, "Method not allowed")
        .with_code("method_not_allowed")
}

fn not_acceptable() -> Problem {
    Problem::new(Kind::Invalid, "there are `text/event-stream` and `application/x-ndjson`, and JSON with `?poll=1`")
        .with_status(406, "Not acceptable")
        .with_code("not_acceptable")
}

fn unsupported_media_type() -> Problem {
    Problem::new(Kind::Invalid, "the body must be `application/json` or `application/x-www-form-urlencoded`")
        .with_status(415, "Content type not supported")
        .with_code("unsupported_media_type")
}
