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
