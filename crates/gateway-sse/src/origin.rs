//! Which web page a request comes from, as far as its browser says.

use http::header::{HOST, ORIGIN, REFERER};
use http::request::Parts;
use http::uri::Authority;
use http::{HeaderMap, HeaderName, Uri};

/// How the page stands to the address that it asks, as newer browsers say.
const FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// The origin of a page of another host, as its browser wrote it. `None` if no page asks, or one of this host.
pub(crate) fn foreign(head: &Parts) -> Option<&str> {
    if !head.headers.contains_key(ORIGIN) {
        return None;
    }
    // What is there twice, or is no text, is nobody's origin.
    let origin = text(&head.headers, ORIGIN).unwrap_or("null");
    (!is_of_host(origin, host(head))).then_some(origin)
}

/// Whether a cookie may speak for its user. A browser sends it whatever page asks, so the page must be one of this host
/// or a listed one; a list that lets in every page names none.
pub(crate) fn may_use_cookie(head: &Parts, allowed: &[String]) -> bool {
    if head.headers.contains_key(ORIGIN) {
        return foreign(head).is_none_or(|origin| origin != "*" && allowed.iter().any(|one| one == origin));
    }
    // A page of this host says no `Origin` with a GET.
    match text(&head.headers, FETCH_SITE) {
        Some(site) => site == "same-origin",
        None => text(&head.headers, REFERER).is_some_and(|page| is_of_host(page, host(head))),
    }
}

/// The host that is asked, as the client wrote it.
fn host(head: &Parts) -> Option<Authority> {
    let named = head.uri.authority().cloned();
    named.or_else(|| text(&head.headers, HOST)?.parse().ok())
}

/// Whether a page is of `host`. Its scheme is not compared: behind a proxy the server does not know its own.
fn is_of_host(page: &str, host: Option<Authority>) -> bool {
    let (Ok(page), Some(host)) = (page.parse::<Uri>(), host) else { return false };
    let (Some(scheme), Some(authority)) = (page.scheme_str(), page.authority()) else { return false };
    let port = |authority: &Authority| {
        authority.port_u16().or(match scheme {
            "http" => Some(80),
            "https" => Some(443),
            _ => None,
        })
    };
    authority.host().eq_ignore_ascii_case(host.host()) && port(authority) == port(&host)
}

/// A header that is there once.
fn text(headers: &HeaderMap, name: HeaderName) -> Option<&str> {
    let mut values = headers.get_all(name).iter();
    match (values.next(), values.next()) {
        (Some(value), None) => value.to_str().ok(),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;

    fn head(headers: &[(&'static str, &str)]) -> Parts {
        let mut request = Request::get("/v1/sse").header("host", "push.example");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request.body(()).unwrap().into_parts().0
    }

    #[test]
    fn the_origin_of_another_host() {
        for ours in ["https://push.example", "https://PUSH.example:443", "http://push.example:80"] {
            assert_eq!(foreign(&head(&[("origin", ours)])), None, "{ours}");
        }
        for other in ["https://app.example", "https://push.example:8443", "https://push.example.evil.example", "null"] {
            assert_eq!(foreign(&head(&[("origin", other)])), Some(other));
        }
        assert_eq!(foreign(&head(&[])), None);
    }

    #[test]
    fn whose_cookies_are_taken() {
        let allowed = ["https://app.example".to_owned(), "*".to_owned()];
        let check = |headers: &[(&'static str, &str)]| may_use_cookie(&head(headers), &allowed);
        assert!(check(&[("origin", "https://push.example")]));
        assert!(check(&[("origin", "https://app.example")]));
        assert!(check(&[("sec-fetch-site", "same-origin")]));
        assert!(check(&[("referer", "https://push.example/page?x")]));
        for refused in [
            &[("origin", "https://evil.example")][..],
            &[("origin", "*")],
            &[("origin", "null"), ("sec-fetch-site", "same-origin")],
            &[("origin", "https://app.example"), ("origin", "https://push.example")],
            &[("sec-fetch-site", "same-site")],
            &[("sec-fetch-site", "cross-site"), ("referer", "https://push.example/")],
            &[("referer", "https://evil.example/https://push.example/")],
            &[],
        ] {
            assert!(!check(refused), "{refused:?}");
        }
    }
}
