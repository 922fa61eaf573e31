//! The trace that a request belongs to.

use fanfare_telemetry::trace;
use http::HeaderMap;
use tracing::Span;

pub(super) use fanfare_telemetry::trace::TRACEPARENT;

/// The span of one publish request, and the `traceparent` it came with.
pub(super) struct Trace {
    pub(super) span: Span,
    incoming: Option<String>,
}

impl Trace {
    /// Opens the span, under the one that the header `traceparent` names. A malformed header is as none, which is
    /// what W3C asks for.
    pub(super) fn begin(headers: &HeaderMap, topics: usize, messages: usize) -> Self {
        let span = tracing::debug_span!("publish", topics, messages);
        let incoming = headers.get(TRACEPARENT).and_then(|value| value.to_str().ok()).filter(|text| is_valid(text));
        if let Some(parent) = incoming {
            trace::set_parent(&span, parent);
        }
        Self { span, incoming: incoming.map(str::to_owned) }
    }

    /// What the events carry: this span if traces are on, else what came in. Called within the span.
    pub(super) fn to_carry(&self) -> Option<String> {
        trace::current_traceparent().or_else(|| self.incoming.clone())
    }
}

/// Whether `text` is a `traceparent` of version 00, or has its form and a later version.
fn is_valid(text: &str) -> bool {
    let mut parts = text.split('-');
    let mut hex = |digits: usize| {
        parts.next().filter(|part| {
            part.len() == digits && part.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
        })
    };
    let (Some(version), Some(trace), Some(parent), Some(_flags)) = (hex(2), hex(32), hex(16), hex(2)) else {
        return false;
    };
    let is_zero = |part: &str| part.bytes().all(|b| b == b'0');
    let more = parts.next().is_some();
    // 00 has four parts; a later version may have more, of which nothing is known; it still fits an event's header.
    let is_version = version != "ff" && (version != "00" || !more);
    is_version && !is_zero(trace) && !is_zero(parent) && text.len() <= 256
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_form_of_w3c() {
        let trace = "0af7651916cd43dd8448eb211c80319c";
        let parent = "b7ad6b7169203331";
        for (text, valid) in [
            (format!("00-{trace}-{parent}-01"), true),
            (format!("cc-{trace}-{parent}-01-what-the-future-holds"), true),
            (format!("00-{trace}-{parent}-01-x"), false),
            (format!("ff-{trace}-{parent}-01"), false),
            (format!("00-{}-{parent}-01", "0".repeat(32)), false),
            (format!("00-{trace}-{}-01", "0".repeat(16)), false),
            (format!("00-{}-{parent}-01", trace.to_uppercase()), false),
            (format!("00-{trace}-{parent}"), false),
            (format!("00-{trace}-{parent}-1"), false),
            (String::new(), false),
        ] {
            assert_eq!(is_valid(&text), valid, "{text}");
        }
    }
}
