//! Who may call: whoever shows the secret.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::Response;
use fanfare_auth::Secret;
use http::header::AUTHORIZATION;
use subtle::ConstantTimeEq as _;
use tonic::Status;

/// What the header `authorization` must be.
pub(crate) struct Gate(Vec<u8>);

/// The header that shows `secret`.
pub(crate) fn shown(secret: &Secret) -> String {
    format!("Bearer {}", secret.reveal())
}

impl Gate {
    pub(super) fn new(secret: &Secret) -> Self {
        Self(shown(secret).into_bytes())
    }

    fn lets_in(&self, request: &Request) -> bool {
        let shown = request.headers().get(AUTHORIZATION).map_or(&[][..], |value| value.as_bytes());
        // Takes the same time wherever the first wrong byte is. That the length is told by time is no secret.
        shown.ct_eq(&self.0).into()
    }
}

/// Answers those who may not call, before anything of their message is read.
pub(super) async fn check(State(gate): State<Arc<Gate>>, request: Request, next: Next) -> Response {
    if gate.lets_in(&request) {
        return next.run(request).await;
    }
    tracing::warn!("a call to this hub does not have its secret (engine.remote.secret)");
    Status::unauthenticated("the secret of this hub is needed").into_http()
}
