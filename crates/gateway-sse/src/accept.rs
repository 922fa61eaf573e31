//! What the client wants to read: content negotiation.

use http::HeaderMap;
use http::header::ACCEPT;

/// The shapes that a stream has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shape {
    /// `text/event-stream`
    EventStream,
    /// `application/x-ndjson`
    Lines,
}

impl Shape {
    pub(crate) const fn media_type(self) -> &'static str {
        match self {
            Self::EventStream => "text/event-stream",
            Self::Lines => "application/x-ndjson",
        }
    }

    /// The shape that `Accept` prefers, SSE if it does not mind; `None` if it takes neither.
    pub(crate) fn negotiate(headers: &HeaderMap) -> Option<Self> {
        let mut ranges = headers
            .get_all(ACCEPT)
            .iter()
            .flat_map(|value| value.as_bytes().split(|byte| *byte == b','))
            .filter(|range| !range.trim_ascii().is_empty())
            .peekable();
        if ranges.peek().is_none() {
            return Some(Self::EventStream);
        }
        let mut best = [Preference::default(); 2];
        for range in ranges {
            let Some(range) = std::str::from_utf8(range).ok().map(Range::parse) else { continue };
            for (shape, best) in [Self::EventStream, Self::Lines].into_iter().zip(&mut best) {
                if let Some(specificity) = range.matches(shape.media_type())
                    && specificity >= best.specificity
                {
                    *best = Preference { quality: range.quality, specificity };
                }
            }
        }
        let [events, lines] = best;
        match (events.quality > 0, lines.quality > 0) {
            (false, false) => None,
            (false, true) => Some(Self::Lines),
            (true, true) if lines > events => Some(Self::Lines),
            (true, _) => Some(Self::EventStream),
        }
    }
}

/// Compared by quality, then by how exactly the type was named.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
struct Preference {
    /// In thousandths.
    quality: u32,
    specificity: u8,
}

/// One media range of an `Accept` header.
struct Range<'a> {
    media_type: &'a str,
    quality: u32,
}

impl<'a> Range<'a> {
    fn parse(text: &'a str) -> Self {
        let mut parts = text.split(';').map(str::trim);
        let media_type = parts.next().unwrap_or_default();
        let quality = parts
            .filter_map(|parameter| parameter.split_once('='))
            .find(|(name, _)| name.trim().eq_ignore_ascii_case("q"))
            .map_or(1000, |(_, value)| thousandths(value.trim()));
        Self { media_type, quality }
    }

    /// How exactly this range names `media_type`, if it does.
    fn matches(&self, media_type: &str) -> Option<u8> {
        if self.media_type.eq_ignore_ascii_case(media_type) {
            return Some(3);
        }
        let prefix = self.media_type.strip_suffix('*')?;
        match prefix {
            "*/" => Some(1),
            _ if prefix.ends_with('/') && media_type.get(..prefix.len())?.eq_ignore_ascii_case(prefix) => Some(2),
            _ => None,
        }
    }
}

/// A quality value of RFC 9110 in thousandths; what is not one counts as 1.
fn thousandths(text: &str) -> u32 {
    match text.parse::<f32>() {
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "between 0 and 1000")]
        Ok(quality) if (0.0..=1.0).contains(&quality) => (quality * 1000.0) as u32,
        _ => 1000,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn negotiation() {
        let check = |accept: Option<&str>, expected: Option<Shape>| {
            let mut headers = HeaderMap::new();
            if let Some(accept) = accept {
                headers.insert(ACCEPT, accept.parse().unwrap());
            }
            assert_eq!(Shape::negotiate(&headers), expected, "{accept:?}");
        };
        check(None, Some(Shape::EventStream));
        check(Some("*/*"), Some(Shape::EventStream));
        check(Some("text/event-stream"), Some(Shape::EventStream));
        check(Some("text/*"), Some(Shape::EventStream));
        check(Some("Text/Event-Stream; charset=utf-8"), Some(Shape::EventStream));
        check(Some("application/x-ndjson"), Some(Shape::Lines));
        check(Some("application/x-ndjson, */*"), Some(Shape::Lines));
        check(Some("application/x-ndjson;q=0.5, text/event-stream"), Some(Shape::EventStream));
        check(Some("application/x-ndjson, text/event-stream"), Some(Shape::EventStream));
        check(Some("*/*, text/event-stream;q=0"), Some(Shape::Lines));
        check(Some("text/html"), None);
        check(Some("text/html, application/xhtml+xml, application/xml;q=0.9, */*;q=0.8"), Some(Shape::EventStream));
        check(Some("text/event-stream;q=0"), None);
        check(Some(""), Some(Shape::EventStream));
    }
}
