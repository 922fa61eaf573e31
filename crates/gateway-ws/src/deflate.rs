//! Agreeing on compression in the handshake: permessage-deflate (RFC 7692).

use http::{HeaderMap, HeaderValue, header};

use crate::frame::WINDOW_BITS;

/// The extension as it was agreed on: without context takeover, both ways.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Deflate {
    /// The window that the client has asked us to keep to, as a power of two.
    server_max_window_bits: Option<u8>,
}

impl Deflate {
    /// The first offer among the client's that we can take (RFC 7692 section 5). An offer that is malformed, or asks
    /// for what we do not know, is passed over; and so are all if the header cannot be read.
    pub(crate) fn negotiate(headers: &HeaderMap) -> Option<Self> {
        let lines = headers.get_all(header::SEC_WEBSOCKET_EXTENSIONS).iter();
        let lines: Vec<&str> = lines.map(HeaderValue::to_str).collect::<Result<_, _>>().ok()?;
        lines.iter().flat_map(|line| split(line, b',')).find_map(Self::accept)
    }

    fn accept(offer: &str) -> Option<Self> {
        let mut parts = split(offer, b';');
        if parts.next()? != "permessage-deflate" {
            return None;
        }
        let mut asked = Asked::default();
        parts.try_for_each(|parameter| asked.add(parameter))?;
        Some(Self { server_max_window_bits: asked.server_max_window_bits })
    }

    /// Whether what we compress keeps to what the client has asked for. If not it is sent plain, which is always
    /// allowed (RFC 7692 section 6).
    pub(crate) fn takes_ours(self) -> bool {
        self.server_max_window_bits.is_none_or(|bits| bits >= WINDOW_BITS)
    }

    /// The answer to the offer. What the client says of its own window is left as it is: we take any.
    pub(crate) fn answer(self) -> HeaderValue {
        let agreed = "permessage-deflate; server_no_context_takeover; client_no_context_takeover";
        match self.server_max_window_bits {
            None => HeaderValue::from_static(agreed),
            Some(bits) => HeaderValue::try_from(format!(
                "{agreed}; server_max_window_bits={}",
                // What we keep to may be less; so the client needs less memory.
                bits.min(WINDOW_BITS)
            ))
            .expect("digits and tokens are visible ASCII"),
        }
    }
}

/// The parameters of an offer (RFC 7692 section 7.1).
#[derive(Default)]
struct Asked {
    server_no_context_takeover: bool,
    client_no_context_takeover: bool,
    server_max_window_bits: Option<u8>,
    client_max_window_bits: bool,
}

impl Asked {
    /// `None` if the parameter is unknown, malformed or there already.
    fn add(&mut self, parameter: &str) -> Option<()> {
        let (name, value) = match parameter.split_once('=') {
            Some((name, value)) => (name.trim_end(), Some(unquoted(value.trim_start())?)),
            None => (parameter, None),
        };
        let was_there = match (name, value) {
            ("server_no_context_takeover", None) => std::mem::replace(&mut self.server_no_context_takeover, true),
            ("client_no_context_takeover", None) => std::mem::replace(&mut self.client_no_context_takeover, true),
            ("server_max_window_bits", Some(value)) => self.server_max_window_bits.replace(bits(value)?).is_some(),
            ("client_max_window_bits", value) => {
                if let Some(value) = value {
                    bits(value)?;
                }
                std::mem::replace(&mut self.client_max_window_bits, true)
            }
            _ => return None,
        };
        (!was_there).then_some(())
    }
}

/// A window's size: 8 to 15, in decimal, without leading zeros.
fn bits(value: &str) -> Option<u8> {
    let known = ["8", "9", "10", "11", "12", "13", "14", "15"];
    known.contains(&value).then(|| value.parse().ok())?
}

/// The value of a parameter, which may stand in quotes (RFC 6455 section 9.1). No value that means anything has a
/// character in it that would have to be escaped.
fn unquoted(value: &str) -> Option<&str> {
    match value.strip_prefix('"') {
        Some(quoted) => quoted.strip_suffix('"'),
        None => Some(value),
    }
}

/// The parts of a list, without the space around them. A separator within quotes is none.
fn split(list: &str, separator: u8) -> impl Iterator<Item = &str> {
    let mut rest = Some(list);
    std::iter::from_fn(move || {
        let list = rest?;
        let (mut quoted, mut escaped) = (false, false);
        let end = list.bytes().position(|byte| {
            let ends = !quoted && byte == separator;
            quoted ^= byte == b'"' && !escaped;
            escaped = quoted && byte == b'\\' && !escaped;
            ends
        });
        let part = match end {
            Some(end) => {
                rest = Some(&list[end + 1..]);
                &list[..end]
            }
            None => rest.take()?,
        };
        Some(part.trim_matches([' ', '\t']))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(lines: &[&str]) -> Option<String> {
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(header::SEC_WEBSOCKET_EXTENSIONS, line.parse().unwrap());
        }
        Deflate::negotiate(&headers).map(|agreed| agreed.answer().to_str().unwrap().to_owned())
    }

    const AGREED: &str = "permessage-deflate; server_no_context_takeover; client_no_context_takeover";

    #[test]
    fn what_clients_offer() {
        for offer in [
            "permessage-deflate",
            // Chromium, Firefox, npm `ws`.
            "permessage-deflate; client_max_window_bits",
            "permessage-deflate;client_no_context_takeover ;\tserver_no_context_takeover",
            "permessage-deflate; client_max_window_bits=8",
            "permessage-deflate; client_max_window_bits = \"10\"",
        ] {
            assert_eq!(answer(&[offer]).as_deref(), Some(AGREED), "{offer}");
        }
        for (offered, answered) in [("8", "8"), ("9", "9"), ("12", "12"), ("13", "12"), ("\"15\"", "12")] {
            let offer = format!("permessage-deflate; server_max_window_bits={offered}; client_max_window_bits=12");
            assert_eq!(answer(&[&offer]), Some(format!("{AGREED}; server_max_window_bits={answered}")), "{offer}");
        }
    }

    #[test]
    fn what_is_not_an_offer_that_we_can_take() {
        for offer in [
            "",
            "x-webkit-deflate-frame",
            "permessage-deflated",
            "permessage-deflate=1",
            "permessage-deflate; ",
            "permessage-deflate; unknown",
            "permessage-deflate; server_no_context_takeover=1",
            "permessage-deflate; client_no_context_takeover=true",
            "permessage-deflate; server_max_window_bits",
            "permessage-deflate; server_max_window_bits=",
            "permessage-deflate; server_max_window_bits=7",
            "permessage-deflate; server_max_window_bits=16",
            "permessage-deflate; server_max_window_bits=08",
            "permessage-deflate; server_max_window_bits=+9",
            "permessage-deflate; server_max_window_bits=9x",
            "permessage-deflate; server_max_window_bits=\"9",
            "permessage-deflate; client_max_window_bits=0",
            "permessage-deflate; server_no_context_takeover; server_no_context_takeover",
            "permessage-deflate; server_max_window_bits=9; server_max_window_bits=9",
            "permessage-deflate; client_max_window_bits; client_max_window_bits=9",
            "x; a=\"y, permessage-deflate\"",
            "x; a=\"\\\", permessage-deflate\"",
        ] {
            assert_eq!(answer(&[offer]), None, "{offer}");
        }
        assert_eq!(answer(&[]), None);
    }

    #[test]
    fn the_first_good_offer_is_taken() {
        let offers = "x; a=\"b, c\", permessage-deflate; unknown, permessage-deflate; server_max_window_bits=14";
        let answered = format!("{AGREED}; server_max_window_bits=12");
        assert_eq!(answer(&[offers, "permessage-deflate"]), Some(answered));
        assert_eq!(answer(&["x", "permessage-deflate"]).as_deref(), Some(AGREED));
    }

    #[test]
    fn our_window_is_only_used_if_the_client_takes_it() {
        for (bits, takes) in [(None, true), (Some(8), false), (Some(11), false), (Some(12), true), (Some(15), true)] {
            assert_eq!(Deflate { server_max_window_bits: bits }.takes_ours(), takes, "{bits:?}");
        }
    }
}
