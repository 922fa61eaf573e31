//! Tickets: how a client that can send no headers comes in. A page asks for one with its token, and opens a native
//! `EventSource` with it.

use axum::body::Body;
use fanfare_auth::{Credential, Pattern, TicketRequest};
use fanfare_model::{Invalid, Kind, json};
use fanfare_session::problem::Problem;
use http::header::CACHE_CONTROL;
use http::{HeaderValue, Request, Response};
use serde::{Deserialize, Serialize};

use crate::gateway::Gateway;
use crate::request::{Content, collect, content_type, unsupported_media_type};
use crate::{answer, credential, form, origin};

/// How one is asked for.
pub(crate) const METHODS: HeaderValue = HeaderValue::from_static("POST, OPTIONS");

/// What the ticket is for. Without a body: all that the client may do.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Asked {
    /// The only topics, of those that the client may see: exact, or with `*` as the last segment.
    topics: Option<Vec<String>>,
}

#[derive(Serialize)]
struct Made<'a> {
    ticket: &'a str,
    expires_in: u64,
}

/// Makes a ticket for whoever asks. If a page of another host does, it is good for that page's origin only.
pub(crate) async fn make(gateway: &Gateway, request: Request<Body>) -> Result<Response<Content>, Problem> {
    let (head, body) = request.into_parts();
    let query = form::pairs(head.uri.query().unwrap_or_default().as_bytes())?;
    let principal = credential::admit(gateway, &head, &query).await?;
    if principal.credential == Credential::Anonymous {
        // It would open no door that is not open, and take the room of one that does.
        let detail = "a ticket stands for a credential, and none was shown";
        return Err(Problem::new(Kind::Unauthenticated, detail).with_code("missing_credential"));
    }
    let body = collect(gateway, body).await?;
    let asked: Asked = match content_type(&head.headers) {
        _ if body.is_empty() => Asked::default(),
        Some("application/json") => serde_json::from_slice(&body).map_err(|error| json::complaint("body", &error))?,
        _ => return Err(unsupported_media_type()),
    };
    let topics = asked.topics.map(|texts| patterns(&texts, gateway.options.topics_max)).transpose()?;
    let origin = origin::foreign(&head).map(str::to_owned);
    let ticket = gateway.node.auth.ticket(TicketRequest { principal, origin, topics });
    let ticket = ticket.map_err(|error| Problem::new(error.kind(), error))?;
    let made = Made { ticket: &ticket.text, expires_in: ticket.expires_in.as_secs() };
    let made = serde_json::to_vec(&made).expect("strings and numbers are JSON");
    let mut response = answer::ok("application/json", Content::Whole(made.into()));
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(response)
}

fn patterns(texts: &[String], topics_max: usize) -> Result<Vec<Pattern>, Invalid> {
    if texts.len() > topics_max {
        let count = texts.len();
        return Err(Invalid::new("body", format_args!("names {count} topics; at most {topics_max} are allowed")));
    }
    texts.iter().map(Pattern::parse).collect()
}
