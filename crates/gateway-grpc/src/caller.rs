//! Who makes a call.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::extract::ConnectInfo;
use fanfare_auth::{Door, Principal};
use fanfare_model::Kind;
use fanfare_session::client::Peer;
use fanfare_session::{Node, access};
use http::HeaderMap;
use http::header::{AUTHORIZATION, USER_AGENT};
use http::request::Parts;

use crate::fault::Fault;

/// The most bytes of a `user-agent` that are kept.
const AGENT_BYTES_MAX: usize = 128;

/// A backend.
pub(crate) async fn server(node: &Node, headers: &HeaderMap) -> Result<Principal, Fault> {
    Ok(access::admit(node, Door::Server, credential(headers)?).await?)
}

/// Whoever wants to listen: a client, or a backend that shows a credential for the server door.
pub(crate) async fn listener(node: &Node, headers: &HeaderMap) -> Result<Principal, Fault> {
    Ok(match credential(headers)? {
        None => access::admit(node, Door::Client, None).await?,
        Some(credential) => node.auth.admit_at(Door::Client, Some(Door::Server), credential).await?,
    })
}

/// A client that has shown its credential with the call; `None` if it has shown none.
pub(crate) async fn client(node: &Node, headers: &HeaderMap) -> Result<Option<Principal>, Fault> {
    match credential(headers)? {
        None => Ok(None),
        shown => Ok(Some(access::admit(node, Door::Client, shown).await?)),
    }
}

/// What is known of whoever calls.
pub(crate) fn peer(head: &Parts) -> Peer {
    Peer {
        address: head.extensions.get::<ConnectInfo<SocketAddr>>().map(|info| info.0.ip()),
        agent: agent(&head.headers),
    }
}

fn agent(headers: &HeaderMap) -> Option<Arc<str>> {
    let text = headers.get(USER_AGENT)?.to_str().ok()?;
    // Visible ASCII, so that every byte is a boundary.
    Some(text[..text.len().min(AGENT_BYTES_MAX)].into())
}

/// The credential in `authorization: Bearer …`; the name of the scheme is in any case (RFC 9110).
fn credential(headers: &HeaderMap) -> Result<Option<&str>, Fault> {
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let Some(value) = values.next() else { return Ok(None) };
    let text = value.to_str().ok().filter(|_| values.next().is_none());
    let bearer = text.and_then(|text| text.split_once(' ')).filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"));
    bearer.map(|(_, credential)| Some(credential.trim())).ok_or_else(|| {
        Fault::new(Kind::Unauthenticated, "the metadata `authorization` are not one `Bearer <token or API key>`")
            .with_code("malformed_authorization")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bearers() {
        let of = |values: &[&'static str]| {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append(AUTHORIZATION, http::HeaderValue::from_static(value));
            }
            credential(&headers).map(|credential| credential.map(str::to_owned)).ok()
        };
        assert_eq!(of(&[]), Some(None));
        assert_eq!(of(&["Bearer abc"]), Some(Some("abc".to_owned())));
        assert_eq!(of(&["bearer  abc "]), Some(Some("abc".to_owned())));
        assert_eq!(of(&["Basic abc"]), None);
        assert_eq!(of(&["abc"]), None);
        assert_eq!(of(&["Bearer a", "Bearer b"]), None);
    }
}
