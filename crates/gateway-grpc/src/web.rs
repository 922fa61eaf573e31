//! Which web pages may call (CORS). A page's request of gRPC-Web is translated behind this.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use http::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE, ACCESS_CONTROL_REQUEST_METHOD, ORIGIN, VARY,
};
use http::{HeaderMap, HeaderValue, Method, StatusCode};

use crate::Options;

/// What a page may send besides what browsers always let through.
const ALLOWED_HEADERS: HeaderValue = HeaderValue::from_static(
    "authorization,content-type,grpc-timeout,traceparent,x-accept-content-transfer-encoding,x-accept-response-streaming,\
     x-grpc-web,x-user-agent",
);
/// What a page may read besides what browsers always show.
const EXPOSED_HEADERS: HeaderValue =
    HeaderValue::from_static("grpc-encoding,grpc-message,grpc-status,grpc-status-details-bin");
/// How long a browser may remember a preflight, in seconds: the longest that Chromium accepts.
const MAX_AGE: HeaderValue = HeaderValue::from_static("7200");

/// Answers preflights, and lets pages of the listed origins read the answers. The credential is in a header that a page
/// must set, so cookies are not let through.
pub(crate) async fn serve(State(options): State<Arc<Options>>, request: Request, next: Next) -> Response {
    let allowed = allowed(request.headers(), &options.allowed_origins);
    let preflight =
        request.method() == Method::OPTIONS && request.headers().contains_key(ACCESS_CONTROL_REQUEST_METHOD);
    let mut response = if preflight { StatusCode::NO_CONTENT.into_response() } else { next.run(request).await };
    let headers = response.headers_mut();
    headers.append(VARY, HeaderValue::from_static("Origin"));
    let Some(origin) = allowed else { return response };
    headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin);
    if preflight {
        headers.insert(ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static("POST"));
        headers.insert(ACCESS_CONTROL_ALLOW_HEADERS, ALLOWED_HEADERS);
        headers.insert(ACCESS_CONTROL_MAX_AGE, MAX_AGE);
    } else {
        headers.insert(ACCESS_CONTROL_EXPOSE_HEADERS, EXPOSED_HEADERS);
    }
    response
}

/// The origin that may read the answer.
fn allowed(headers: &HeaderMap, origins: &[String]) -> Option<HeaderValue> {
    let origin = headers.get(ORIGIN)?;
    if origins.iter().any(|one| one != "*" && one.as_bytes() == origin.as_bytes()) {
        return Some(origin.clone());
    }
    origins.iter().any(|one| one == "*").then(|| HeaderValue::from_static("*"))
}
