//! From a request to an answer, the same at both doors.

use std::sync::Arc;

use axum::body::Body;
use bytes::Bytes;
use fanfare_auth::Principal;
use fanfare_model::{Invalid, Kind};
use fanfare_session::problem::Problem;
use fanfare_session::{Goodbye, Hook, Node, access};
use http::header::{ALLOW, CONTENT_TYPE};
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Method, Request, Response};
use http_body_util::{BodyExt as _, LengthLimitError, Limited};

use crate::caller::Caller;
use crate::cors::Cors;
use crate::gateway::Gateway;
use crate::live::Live;
use crate::open::{self, Extras, NotOpened};
use crate::resume::Plan;
use crate::wanted::Wanted;
use crate::{answer, credential, form};

/// The methods that streams are opened with.
pub(crate) const STREAM_METHODS: HeaderValue = HeaderValue::from_static("GET, HEAD, POST, QUERY, OPTIONS");

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

/// Answers a request for a stream.
pub(crate) async fn answer(gateway: &Arc<Gateway>, request: Request<Body>) -> Response<Content> {
    let respond = async |request| Box::pin(respond(gateway, request)).await;
    with_cors(gateway, STREAM_METHODS, request, respond).await
}

/// Answers a request of one of these methods with `respond`, and preflights and other methods by itself.
pub(crate) async fn with_cors(
    gateway: &Gateway,
    methods: HeaderValue,
    request: Request<Body>,
    respond: impl AsyncFnOnce(Request<Body>) -> Result<Response<Content>, Problem>,
) -> Response<Content> {
    let cors = Cors::of(request.headers(), &gateway.options.allowed_origins);
    let method = request.method();
    let mut response = if method == Method::OPTIONS {
        let mut response = answer::no_content();
        cors.add_to_preflight(response.headers_mut(), methods);
        response
    } else if methods.to_str().is_ok_and(|known| known.split(", ").any(|known| known == method.as_str())) {
        respond(request).await.unwrap_or_else(|problem| answer::refused(&problem))
    } else {
        let mut response = answer::refused(&method_not_allowed());
        response.headers_mut().insert(ALLOW, methods);
        response
    };
    cors.add_to(response.headers_mut());
    response
}

/// Everything is refused before the head of a stream is sent, and in this order: who are you, what do you want,
/// may you, is there room.
async fn respond(gateway: &Gateway, request: Request<Body>) -> Result<Response<Content>, Problem> {
    let node = &gateway.node;
    let (parts, body) = request.into_parts();
    let query = form::pairs(parts.uri.query().unwrap_or_default().as_bytes())?;
    let principal = match credential::admit(gateway, &parts, &query).await {
        Ok(principal) => principal,
        Err(problem) => return turned_away_unknown(gateway, &parts, &query, problem),
    };
    let wanted = read(gateway, &parts, &query, body).await?;
    if wanted.is_over() {
        return Ok(answer::no_content());
    }
    if wanted.topics.is_empty() && !receives_without_asking(node, &principal) {
        return Err(Invalid::new("request", "names no topic; add ?topic=…, once for each").into());
    }
    let caller = Caller::new(&parts, &wanted)?;
    let visitor = caller.visitor(&parts);
    let is_head = parts.method == Method::HEAD;
    // Headers and extensions hold on to the connection's read buffer: they go before the stream begins.
    drop((parts, query));

    let (presence, resumable, checkpoint) = (wanted.presence, wanted.resumable, wanted.checkpoint);
    // Who comes with a resume token wants the next one.
    let resumable = resumable || principal.resumes.is_some();
    let plan = Plan::new(wanted, &principal)?;
    plan.authorize(&principal)?;
    let watched = if presence { Extras::watched(node, &plan, &principal)? } else { Vec::new() };
    if is_head {
        return Ok(caller.head());
    }
    let entered = match access::enter(node, principal, visitor).await {
        Ok(entered) => entered,
        Err(denied) => return caller.turned_away(gateway, denied.into()),
    };
    match open::open(node, entered, plan, Extras { watched, resumable, checkpoint }).await {
        Ok(opened) => Ok(caller.deliver(gateway, opened).await),
        Err(why) => caller.turned_away(gateway, why),
    }
}

/// The answer to a client of whom it cannot be known now who it is, or must not be: the issuer's keys may be on their way.
fn turned_away_unknown(
    gateway: &Gateway,
    head: &Parts,
    query: &[(String, String)],
    problem: Problem,
) -> Result<Response<Content>, Problem> {
    let mut wanted = Wanted::default();
    // What else is wrong with the request is told when it is known who asks.
    let read = wanted.add_form(query).is_ok();
    match Caller::new(head, &wanted).ok().filter(|_| read && problem.kind().retryable()) {
        Some(caller) => caller.turned_away(gateway, NotOpened { problem, goodbye: Goodbye::Unavailable }),
        None => Err(problem),
    }
}

/// Whether a session of `principal` may receive something that its request does not name.
fn receives_without_asking(node: &Node, principal: &Principal) -> bool {
    let personal = || principal.user.as_ref().is_some_and(|user| node.options.personal_topic_of(user).is_some());
    let asked = || node.hooks.as_ref().is_some_and(|hooks| hooks.wants(Hook::Connect, None));
    !principal.subscribe.is_empty() || personal() || asked()
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
pub(crate) async fn collect(gateway: &Gateway, body: Body) -> Result<Bytes, Problem> {
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
pub(crate) fn content_type(headers: &HeaderMap) -> Option<&'static str> {
    let value = headers.get(CONTENT_TYPE)?.to_str().ok()?;
    let media_type = value.split(';').next()?.trim();
    ["application/json", "application/x-www-form-urlencoded"]
        .into_iter()
        .find(|known| media_type.eq_ignore_ascii_case(known))
}

fn method_not_allowed() -> Problem {
    Problem::new(Kind::Invalid, "this path does not have this method; the header `Allow` lists those it has")
        .with_status(405, "Method not allowed")
        .with_code("method_not_allowed")
}

pub(crate) fn unsupported_media_type() -> Problem {
    Problem::new(Kind::Invalid, "the body must be `application/json` or `application/x-www-form-urlencoded`")
        .with_status(415, "Content type not supported")
        .with_code("unsupported_media_type")
}
