//! Who makes a request.

use axum::extract::FromRequestParts;
use fanfare_auth::{Door, Principal};
use fanfare_model::Kind;
use fanfare_session::access;
use fanfare_session::problem::Problem;
use http::header::AUTHORIZATION;
use http::request::Parts;

use crate::Api;
use crate::fault::Fault;

/// Who makes the request, let in at [`Door::Server`] by the JWT or API key in `Authorization: Bearer …`.
///
/// Handlers take this before the body, so that nothing is read of those who are not let in.
pub(crate) struct Caller(pub(crate) Principal);

impl FromRequestParts<Api> for Caller {
    type Rejection = Fault;

    async fn from_request_parts(parts: &mut Parts, api: &Api) -> Result<Self, Fault> {
        Ok(Self(access::admit(&api.node, Door::Server, credential(parts)?).await?))
    }
}

fn credential(parts: &Parts) -> Result<Option<&str>, Fault> {
    let mut values = parts.headers.get_all(AUTHORIZATION).iter();
    let Some(value) = values.next() else { return Ok(None) };
    let bearer = |text: &'_ str| {
        let (scheme, credential) = text.split_once(' ')?;
        scheme.eq_ignore_ascii_case("bearer").then_some(credential.len())
    };
    let malformed =
        || Problem::new(Kind::Unauthenticated, "the header `Authorization` is not one `Bearer <token or API key>`");
    let text = value.to_str().ok().filter(|_| values.next().is_none());
    let credential = text.and_then(|text| bearer(text).map(|length| text[text.len() - length..].trim()));
    match credential {
        Some(credential) => Ok(Some(credential)),
        None => Err(malformed().with_code("malformed_authorization").into()),
    }
}
