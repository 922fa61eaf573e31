//! W3C trace context: how a trace travels from the publisher, in the event's headers, to the subscriber.

use opentelemetry::Context;
use opentelemetry::propagation::{Extractor, TextMapPropagator as _};
use opentelemetry::trace::{SpanContext, TraceContextExt as _};
use opentelemetry_sdk::propagation::TraceContextPropagator;
use tracing::Span;
use tracing_opentelemetry::OpenTelemetrySpanExt as _;

/// The name of the header that carries trace context.
pub const TRACEPARENT: &str = "traceparent";

/// The `traceparent` of the current span, to hand on. `None` if traces are off or there is no span.
pub fn current_traceparent() -> Option<String> {
    let context = Span::current().context();
    let span = context.span();
    let span = span.span_context();
    span.is_valid().then(|| format!("00-{}-{}-{:02x}", span.trace_id(), span.span_id(), span.trace_flags().to_u8() & 1))
}

/// Makes `span` a child of the span that `traceparent` names. Call it before the span is entered: afterwards
/// its parent cannot change. Returns whether it was done; a malformed value, or traces that are off, leave
/// the span as it is.
pub fn set_parent(span: &Span, traceparent: &str) -> bool {
    parse(traceparent).is_some_and(|parent| span.set_parent(Context::new().with_remote_span_context(parent)).is_ok())
}

/// Links `span` to the span that `traceparent` names, without becoming its child: for work on many events of
/// many traces. A malformed value is left out.
pub fn link(span: &Span, traceparent: &str) {
    if let Some(linked) = parse(traceparent) {
        span.add_link(linked);
    }
}

fn parse(traceparent: &str) -> Option<SpanContext> {
    let context = TraceContextPropagator::new().extract(&Carrier(traceparent));
    let span = context.span().span_context().clone();
    span.is_valid().then_some(span)
}

struct Carrier<'a>(&'a str);

impl Extractor for Carrier<'_> {
    fn get(&self, key: &str) -> Option<&str> {
        (key == TRACEPARENT).then_some(self.0)
    }

    fn keys(&self) -> Vec<&str> {
        vec![TRACEPARENT]
    }
}

#[cfg(test)]
mod tests {
    use opentelemetry::trace::TracerProvider as _;
    use opentelemetry_sdk::trace::SdkTracerProvider;
    use tracing_subscriber::layer::SubscriberExt as _;

    use super::*;

    const PARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    fn with_traces(test: impl FnOnce()) {
        let provider = SdkTracerProvider::builder().build();
        let layer = tracing_opentelemetry::layer().with_tracer(provider.tracer("test"));
        tracing::subscriber::with_default(tracing_subscriber::registry().with(layer), test);
    }

    #[test]
    fn a_trace_goes_on_under_its_parent() {
        with_traces(|| {
            let span = tracing::info_span!("publish");
            assert!(set_parent(&span, PARENT));
            let handed_on = span.in_scope(current_traceparent).expect("the span is in a trace");
            let parts: Vec<_> = handed_on.split('-').collect();
            assert_eq!(parts[..2], ["00", "0af7651916cd43dd8448eb211c80319c"], "the same trace");
            assert_ne!(parts[2], "b7ad6b7169203331", "another span");
            assert_eq!(parts[3], "01", "the parent's decision to sample");
        });
    }

    #[test]
    fn a_malformed_parent_changes_nothing() {
        with_traces(|| {
            for bad in ["", "00-xyz", "00-00000000000000000000000000000000-b7ad6b7169203331-01", "ff-0af7-1-01"] {
                let span = tracing::info_span!("publish");
                assert!(!set_parent(&span, bad), "{bad}");
                assert!(span.in_scope(current_traceparent).is_some(), "{bad}: the span has a trace of its own");
            }
        });
    }

    #[test]
    fn without_traces_there_is_no_traceparent() {
        assert_eq!(tracing::info_span!("publish").in_scope(current_traceparent), None);
    }
}
