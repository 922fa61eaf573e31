//! Who is in a topic, for a client that wants to know now, or the next page of it.

use axum::body::Body;
use fanfare_model::{Invalid, Topic, TopicKey};
use fanfare_presence::json;
use fanfare_session::access;
use fanfare_session::problem::Problem;
use http::header::CACHE_CONTROL;
use http::{HeaderValue, Method, Request, Response};

use crate::gateway::Gateway;
use crate::request::Content;
use crate::{answer, credential, form};

/// How it is asked for.
pub(crate) const METHODS: HeaderValue = HeaderValue::from_static("GET, HEAD, OPTIONS");

/// The most members of a page, if the client does not say how many: what a person wants to see.
const LIMIT: usize = 100;

/// A page of the members of the topic in the query.
pub(crate) async fn read(gateway: &Gateway, request: Request<Body>) -> Result<Response<Content>, Problem> {
    let (head, _) = request.into_parts();
    let query = form::pairs(head.uri.query().unwrap_or_default().as_bytes())?;
    let principal = credential::admit(gateway, &head, &query).await?;
    let find = |wanted: &str| query.iter().find(|(name, _)| name == wanted).map(|(_, value)| value.as_str());
    let topic = Topic::new(find("topic").unwrap_or_default())?;
    // A page has at most `presence.page_members_max`, whatever is asked for.
    let limit = match find("limit").map(str::parse) {
        None => LIMIT,
        Some(Ok(limit @ 1..)) => limit,
        Some(_) => return Err(Invalid::new("limit", "is not a whole number from 1").into()),
    };
    access::presence(&principal, &topic).map_err(|refusal| Problem::from(refusal).with("topic", topic.as_str()))?;
    let key = TopicKey::new(principal.tenant, topic);
    let members = gateway.node.presence.members(&key, find("after"), limit).await;
    let members = members.map_err(|error| Problem::new(error.kind(), error))?;
    let mut out = Vec::new();
    if head.method != Method::HEAD {
        json::write_members(&key.topic, &members, &mut out);
    }
    let mut response = answer::ok("application/json", Content::Whole(out.into()));
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(response)
}
