//! Where a client shows its credential.

use fanfare_auth::{Door, Principal, RESUME_PREFIX};
use fanfare_model::Kind;
use fanfare_session::access;
use fanfare_session::problem::Problem;
use http::header::{AUTHORIZATION, COOKIE};
use http::request::Parts;

use crate::gateway::Gateway;
use crate::origin;

/// The name of the parameter that holds a token, where that is allowed.
const TOKEN: &str = "token";
/// The name of the parameter that holds a ticket.
const TICKET: &str = "ticket";
/// The name of the parameter that holds a resume token, or asks for one.
pub(crate) const RESUME: &str = "resume";

/// A credential, by what it takes to look at it.
#[derive(Debug, PartialEq, Eq)]
enum Shown<'a> {
    /// None at all.
    Nothing,
    /// A token of any kind, or an API key.
    Token(&'a str),
    /// Good for once.
    Ticket(&'a str),
}

/// Whether this is a resume token, not a wish for one.
pub(crate) fn is_resume(value: &str) -> bool {
    value.starts_with(RESUME_PREFIX)
}

/// Who makes a request with this head and these parameters.
pub(crate) async fn admit(gateway: &Gateway, head: &Parts, query: &[(String, String)]) -> Result<Principal, Problem> {
    let node = &gateway.node;
    let credential = match shown(gateway, head, query)? {
        Shown::Ticket(ticket) => return access::redeem(node, ticket, origin::foreign(head)).await,
        Shown::Token(token) => Some(token),
        Shown::Nothing => None,
    };
    Ok(access::admit(node, Door::Client, credential).await?)
}

/// The credential that is said most deliberately: what a header says, then what the URL says, then what a browser sends
/// by itself.
fn shown<'a>(gateway: &Gateway, head: &'a Parts, query: &'a [(String, String)]) -> Result<Shown<'a>, Problem> {
    if let Some(value) = head.headers.get(AUTHORIZATION) {
        return value.to_str().ok().and_then(bearer).map(Shown::Token).ok_or_else(no_bearer);
    }
    let in_url = in_query(query, gateway.options.token_in_query)?;
    if in_url != Shown::Nothing {
        return Ok(in_url);
    }
    let Some(cookie) = gateway.node.auth.cookie_name().and_then(|name| cookie(head, name)) else {
        return Ok(Shown::Nothing);
    };
    if origin::may_use_cookie(head, &gateway.options.allowed_origins) {
        Ok(Shown::Token(cookie))
    } else {
        Err(no_page())
    }
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

fn no_page() -> Problem {
    let detail = "a cookie is taken only from pages of this host and of `sse.allowed_origins`";
    Problem::new(Kind::Denied, detail).with_code("origin_not_allowed")
}

/// What the URL shows. Tickets and resume tokens may stand there because they are of no use soon; a token may where that
/// is allowed.
fn in_query(query: &[(String, String)], token_allowed: bool) -> Result<Shown<'_>, Problem> {
    let find = |wanted: &str| query.iter().find(|(name, value)| name == wanted && !value.is_empty());
    if let Some((_, ticket)) = find(TICKET) {
        return Ok(Shown::Ticket(ticket));
    }
    if let Some((_, resume)) = find(RESUME).filter(|(_, value)| is_resume(value)) {
        return Ok(Shown::Token(resume));
    }
    match find(TOKEN) {
        None => Ok(Shown::Nothing),
        Some((_, token)) if token_allowed => Ok(Shown::Token(token)),
        Some(_) => Err(Problem::new(
            Kind::Invalid,
            "tokens in the URL are not taken here, because URLs are logged; use the header `Authorization: Bearer`, \
             or a ticket (`POST /v1/sse/ticket`), or have the operator set `sse.token_in_query`",
        )),
    }
}

/// The value of a cookie that was sent.
fn cookie<'a>(head: &'a Parts, name: &str) -> Option<&'a str> {
    let sent = head.headers.get_all(COOKIE).iter().filter_map(|value| value.to_str().ok());
    let mut pairs = sent.flat_map(|value| value.split(';')).filter_map(|pair| pair.trim().split_once('='));
    pairs.find(|(known, value)| *known == name && !value.is_empty()).map(|(_, value)| value.trim_matches('"'))
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;

    #[test]
    fn bearers() {
        assert_eq!(bearer("Bearer abc"), Some("abc"));
        assert_eq!(bearer("bearer  abc "), Some("abc"));
        assert_eq!(bearer("Basic abc"), None);
        assert_eq!(bearer("abc"), None);
    }

    fn query(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn a_token_in_the_url_only_where_it_is_allowed() {
        let query = query(&[("token", "secret")]);
        assert_eq!(in_query(&query, true), Ok(Shown::Token("secret")));
        let refused = in_query(&query, false).unwrap_err();
        assert_eq!(refused.status(), 400);
        assert!(!String::from_utf8(refused.to_json()).unwrap().contains("secret"));
        assert_eq!(in_query(&[], false), Ok(Shown::Nothing));
    }

    #[test]
    fn what_ends_soon_may_stand_in_the_url() {
        let both = query(&[("resume", "fr1.x"), ("ticket", "ft1.y")]);
        assert_eq!(in_query(&both, false), Ok(Shown::Ticket("ft1.y")));
        assert_eq!(in_query(&both[..1], false), Ok(Shown::Token("fr1.x")));
        // A wish for one is no credential.
        assert_eq!(in_query(&query(&[("resume", "1"), ("ticket", "")]), false), Ok(Shown::Nothing));
    }

    #[test]
    fn cookies() {
        let head = Request::get("/").header("cookie", "a=b; __Host-fanfare=x.y.z").header("cookie", "c=\"d\"; e");
        let (head, ()) = head.body(()).unwrap().into_parts();
        assert_eq!(cookie(&head, "__Host-fanfare"), Some("x.y.z"));
        assert_eq!(cookie(&head, "c"), Some("d"));
        assert_eq!((cookie(&head, "fanfare"), cookie(&head, "e")), (None, None));
    }
}
