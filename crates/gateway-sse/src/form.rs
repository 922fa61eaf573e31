//! `application/x-www-form-urlencoded`, of query strings and bodies.

use fanfare_model::Invalid;

/// The names and values of `text`, in order. Unlike the WHATWG parser it refuses what is not UTF-8, because a topic
/// that was repaired is another topic.
pub(crate) fn pairs(text: &[u8]) -> Result<Vec<(String, String)>, Invalid> {
    text.split(|byte| *byte == b'&')
        .filter(|pair| !pair.is_empty())
        .map(|pair| {
            let at = memchr::memchr(b'=', pair);
            let (name, value) = at.map_or((pair, &[][..]), |at| (&pair[..at], &pair[at + 1..]));
            let name = decode(name).map_err(|()| Invalid::new("parameter", "has a name that is not UTF-8"))?;
            // A cursor that cannot be read is no reason to turn a client away (`resume.rs`).
            let value = match decode(value) {
                Ok(value) => value,
                Err(()) if is_last_event_id(&name) => char::REPLACEMENT_CHARACTER.to_string(),
                Err(()) => {
                    return Err(Invalid::new("parameter", format_args!("`{}` is not UTF-8", name.escape_debug())));
                }
            };
            Ok((name, value))
        })
        .collect()
}

/// The names under which clients send the cursor that they cannot put in a header, best known first.
pub(crate) const LAST_EVENT_ID_NAMES: [&str; 4] = ["last_event_id", "lastEventID", "lastEventId", "Last-Event-ID"];

fn is_last_event_id(name: &str) -> bool {
    LAST_EVENT_ID_NAMES.contains(&name)
}

fn decode(text: &[u8]) -> Result<String, ()> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.iter();
    while let Some(&byte) = rest.next() {
        bytes.push(match byte {
            b'+' => b' ',
            b'%' => match rest.as_slice() {
                [high, low, ..] if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() => {
                    rest.nth(1);
                    hex(*high) << 4 | hex(*low)
                }
                _ => b'%',
            },
            other => other,
        });
    }
    String::from_utf8(bytes).map_err(drop)
}

/// The value of an ASCII hex digit.
fn hex(digit: u8) -> u8 {
    match digit {
        b'0'..=b'9' => digit - b'0',
        _ => (digit | 0x20) - b'a' + 10,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn pairs_are_decoded() {
        let check = |text: &str, expected: &[(&str, &str)]| {
            let got = pairs(text.as_bytes()).unwrap();
            let got: Vec<_> = got.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
            assert_eq!(got, expected, "{text}");
        };
        check("", &[]);
        check("&topic=a%3a1&&topic=b+c&x", &[("topic", "a:1"), ("topic", "b c"), ("x", "")]);
        check("a=1=2&b=%zz%4", &[("a", "1=2"), ("b", "%zz%4")]);
        check("a=%C3%A9", &[("a", "é")]);
        check("Last-Event-ID=%ff", &[("Last-Event-ID", "\u{fffd}")]);
    }

    #[test]
    fn what_is_not_utf8_is_refused() {
        assert_eq!(pairs(b"topic=%ff").unwrap_err().to_string(), "parameter `topic` is not UTF-8");
        assert!(pairs(b"%ff=1").is_err());
    }

    proptest! {
        #[test]
        fn hostile_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..100)) {
            let _ = pairs(&bytes);
        }
    }
}
