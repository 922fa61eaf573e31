//! The door behind a server: its routes.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use http::{Request, Response, Version};

use crate::body::Stream;
use crate::gateway::Gateway;
use crate::request::{self, Content};
use crate::stall::ConnectionAbort;
use crate::{presence, ticket};

/// How a request is served.
pub(crate) async fn serve(State(gateway): State<Arc<Gateway>>, request: Request<Body>) -> Response<Body> {
    // Others share a connection of HTTP/2.
    let alone = request.version() < Version::HTTP_2;
    let abort = request.extensions().get::<ConnectionAbort>().filter(|_| alone).cloned();
    let response = request::answer(&gateway, request).await;
    response.map(|content| match content {
        Content::Whole(bytes) => Body::from(bytes),
        Content::Stream(begun) => Body::new(Stream::new(gateway, begun, abort)),
    })
}

/// How a request for a ticket is served.
pub(crate) async fn ticket(State(gateway): State<Arc<Gateway>>, request: Request<Body>) -> Response<Body> {
    let make = async |request| ticket::make(&gateway, request).await;
    let response = request::with_cors(&gateway, ticket::METHODS, request, make).await;
    response.map(whole)
}

/// How a request to see who is there is served.
pub(crate) async fn presence(State(gateway): State<Arc<Gateway>>, request: Request<Body>) -> Response<Body> {
    let read = async |request| presence::read(&gateway, request).await;
    let response = request::with_cors(&gateway, presence::METHODS, request, read).await;
    response.map(whole)
}

/// What is no stream.
fn whole(content: Content) -> Body {
    match content {
        Content::Whole(bytes) => Body::from(bytes),
        Content::Stream(_) => Body::empty(),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use http::HeaderValue;

    use super::*;
    use crate::{OPENAPI, PATH, PRESENCE_PATH, TICKET_PATH};

    #[test]
    fn the_openapi_document_names_every_route_and_no_other() {
        let document: serde_json::Value = serde_json::from_str(OPENAPI).unwrap();
        let described: BTreeMap<&str, Vec<String>> = document["paths"]
            .as_object()
            .unwrap()
            .iter()
            .map(|(path, item)| (path.as_str(), item.as_object().unwrap().keys().map(|m| m.to_uppercase()).collect()))
            .collect();
        // OpenAPI 3.1 knows no QUERY; HEAD goes with GET, and OPTIONS is the browsers' own.
        let served = |methods: &HeaderValue| {
            let methods = methods.to_str().unwrap().split(", ").filter(|method| ["GET", "POST"].contains(method));
            methods.map(str::to_owned).collect::<Vec<_>>()
        };
        let expected = BTreeMap::from([
            (PATH, served(&request::STREAM_METHODS)),
            (TICKET_PATH, served(&ticket::METHODS)),
            (PRESENCE_PATH, served(&presence::METHODS)),
        ]);
        assert_eq!(described, expected);
    }
}
