//! The door behind a server: a route.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use http::{Request, Response, Version};

use crate::body::Stream;
use crate::gateway::Gateway;
use crate::request::{self, Content};
use crate::stall::ConnectionAbort;

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
