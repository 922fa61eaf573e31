//! Which web pages may connect (cross-site WebSocket hijacking).

use http::{HeaderMap, Uri, header};

/// Scheme, host and port of a web page, in lower case and with the port spelled out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Origin {
    scheme: String,
    host: String,
    port: Option<u16>,
}

impl Origin {
    /// Reads `scheme://host[:port]`, as browsers send it.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let uri: Uri = text.parse().ok()?;
        let (scheme, authority) = (uri.scheme_str()?.to_ascii_lowercase(), uri.authority()?);
        let bare = !text.ends_with('/') && uri.path() == "/" && uri.query().is_none();
        if !bare || authority.as_str().contains('@') {
            return None;
        }
        let port = port_of(&scheme, authority.port_u16());
        Some(Self { host: authority.host().to_ascii_lowercase(), port, scheme })
    }

    /// Whether `host` (of a `Host` header or an `:authority`) names the host and port of this origin. The scheme
    /// is not compared: behind a proxy the server does not know its own.
    fn is_of_host(&self, host: &str) -> bool {
        host.parse::<http::uri::Authority>().is_ok_and(|authority| {
            authority.host().eq_ignore_ascii_case(&self.host)
                && port_of(&self.scheme, authority.port_u16()) == self.port
        })
    }
}

fn port_of(scheme: &str, port: Option<u16>) -> Option<u16> {
    port.or(match scheme {
        "http" | "ws" => Some(80),
        "https" | "wss" => Some(443),
        _ => None,
    })
}

/// The origins that may connect.
#[derive(Debug)]
pub(crate) enum Origins {
    /// Every one: for development.
    Any,
    /// Pages of the host that they connect to.
    SameHost,
    /// Exactly these.
    These(Vec<Origin>),
}

impl Origins {
    /// From valid options: what is not an origin allows nothing.
    pub(crate) fn of(allowed: &[String]) -> Self {
        if allowed.is_empty() {
            Self::SameHost
        } else if allowed.iter().any(|origin| origin == "*") {
            Self::Any
        } else {
            Self::These(allowed.iter().filter_map(|origin| Origin::parse(origin)).collect())
        }
    }

    /// Whether a request with these headers, for `host`, may connect. Without `Origin` it is not from a web page.
    pub(crate) fn allow(&self, headers: &HeaderMap, host: Option<&str>) -> bool {
        if !headers.contains_key(header::ORIGIN) || matches!(self, Self::Any) && only_origin(headers).is_some() {
            return true;
        }
        self.vouch_for(headers, host)
    }

    /// Whether a request with these headers, for `host`, is from a page that may use the credentials that its browser
    /// keeps: from one of the host itself, or of an origin that is listed. `"*"` says that of nobody.
    pub(crate) fn vouch_for(&self, headers: &HeaderMap, host: Option<&str>) -> bool {
        let Some(origin) = only_origin(headers).and_then(Origin::parse) else { return false };
        match self {
            Self::Any | Self::SameHost => host.is_some_and(|host| origin.is_of_host(host)),
            Self::These(origins) => origins.contains(&origin),
        }
    }
}

fn only_origin(headers: &HeaderMap) -> Option<&str> {
    let mut given = headers.get_all(header::ORIGIN).iter();
    let (Some(origin), None) = (given.next(), given.next()) else { return None };
    origin.to_str().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allowed(list: &[&str], origins: &[&str], host: &str) -> bool {
        let list: Vec<String> = list.iter().map(|&text| text.to_owned()).collect();
        let mut headers = HeaderMap::new();
        for origin in origins {
            headers.append(header::ORIGIN, origin.parse().unwrap());
        }
        Origins::of(&list).allow(&headers, Some(host))
    }

    #[test]
    fn without_a_list_only_the_same_host() {
        assert!(allowed(&[], &[], "a.example"));
        assert!(allowed(&[], &["https://a.example"], "a.example"));
        assert!(allowed(&[], &["https://A.example"], "a.EXAMPLE:443"));
        assert!(allowed(&[], &["http://localhost:8080"], "localhost:8080"));
        assert!(allowed(&[], &["http://[::1]:8080"], "[::1]:8080"));
        for other in ["https://b.example", "https://a.example:8443", "https://xa.example", "null", "a.example"] {
            assert!(!allowed(&[], &[other], "a.example"), "{other}");
        }
        assert!(!allowed(&[], &["https://a.example", "https://a.example"], "a.example"));
    }

    #[test]
    fn with_a_list_exactly_those() {
        let list = ["https://a.example", "http://localhost:3000"];
        assert!(allowed(&list, &["https://a.example"], "push.example"));
        assert!(allowed(&list, &["https://a.example:443"], "push.example"));
        assert!(allowed(&list, &["http://localhost:3000"], "push.example"));
        for other in [
            "http://a.example",
            "https://a.example.evil.example",
            "https://push.example",
            "https://a.example@evil.example",
            "https://a.example/",
            "null",
        ] {
            assert!(!allowed(&list, &[other], "push.example"), "{other}");
        }
        assert!(allowed(&["*"], &["null"], "push.example"));
        assert!(!allowed(&["*"], &["https://a.example", "https://b.example"], "push.example"));
    }

    #[test]
    fn a_cookie_needs_a_page_that_is_vouched_for() {
        let vouched = |list: &[&str], origin: Option<&str>| {
            let list: Vec<String> = list.iter().map(|&text| text.to_owned()).collect();
            let mut headers = HeaderMap::new();
            if let Some(origin) = origin {
                headers.append(header::ORIGIN, origin.parse().unwrap());
            }
            Origins::of(&list).vouch_for(&headers, Some("push.example"))
        };
        assert!(vouched(&[], Some("https://push.example")));
        assert!(vouched(&["https://a.example"], Some("https://a.example")));
        assert!(vouched(&["*"], Some("https://push.example")));
        for (list, origin) in [
            (&[][..], None),
            (&[][..], Some("https://a.example")),
            (&["https://a.example"][..], None),
            (&["https://a.example"][..], Some("https://push.example")),
            (&["*"][..], None),
            (&["*"][..], Some("null")),
            (&["*"][..], Some("https://a.example")),
        ] {
            assert!(!vouched(list, origin), "{list:?} {origin:?}");
        }
    }
}
