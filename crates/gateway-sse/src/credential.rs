//! Where a client shows its credential.

use fanfare_auth::{Door, Principal};
use fanfare_model::Kind;
use fanfare_session::problem::Problem;
use fanfare_session::{Node, access};
use http::HeaderMap;
use http::header::AUTHORIZATION;

/// The name of the parameter that holds a token, where that is allowed.
const PARAMETER: &str = "token";

/// Who makes a request with these headers and parameters.
pub(crate) fn authenticate(
    node: &Node,
    headers: &HeaderMap,
    query: &[(String, String)],
    token_in_query: bool,
) -> Result<Principal, Problem> {
    let credential = match headers.get(AUTHORIZATION) {
        Some(value) => Some(value.to_str().ok().and_then(bearer).ok_or_else(no_bearer)?),
        None => in_query(query, token_in_query)?,
    };
    Ok(access::authenticate(node, Door::Client, credential)?)
}

/// The credential of an `Authorization: Bearer …`; the name of the scheme is in any case (RFC 9110).
fn bearer(value: &str) -> Option<&str> {
    let (scheme, credential) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| credential.trim())
}

fn no_bearer() -> Problem {
    Problem::new(Kind::Unauthenticated, "the header `Authorization` is not of the form `Bearer <token>`")
        .with_code("malformed_token")
}

fn in_query(query: &[(String, String)], allowed: bool) -> Result<Option<&str>, Problem> {
    match query.iter().find(|(name, value)| name == PARAMETER && !value.is_empty()) {
        None => Ok(None),
        Some((_, token)) if allowed => Ok(Some(token)),
        Some(_) => Err(Problem::new(
            Kind::Invalid,
            "tokens in the URL are not taken here, because URLs are logged; use the header `Authorization: Bearer`, \
             or have the operator set `sse.token_in_query`",
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bearers() {
        assert_eq!(bearer("Bearer abc"), Some("abc"));
        assert_eq!(bearer("bearer  abc "), Some("abc"));
        assert_eq!(bearer("Basic abc"), None);
        assert_eq!(bearer("abc"), None);
    }

    #[test]
    fn a_token_in_the_url_only_where_it_is_allowed() {
        let query = [("token".to_owned(), "secret".to_owned())];
        assert_eq!(in_query(&query, true), Ok(Some("secret")));
        let refused = in_query(&query, false).unwrap_err();
        assert_eq!(refused.status(), 400);
        assert!(!String::from_utf8(refused.to_json()).unwrap().contains("secret"));
        assert_eq!(in_query(&[], false), Ok(None));
    }
}
