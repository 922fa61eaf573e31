//! Log lines in the Elastic Common Schema.
//!
//! What has a place in ECS goes there: `message`, `error` (to `error.message`), the trace, and every field
//! whose own name has a dot, because that is an ECS name already (`client.ip`, `event.category`). Every other
//! field of the event and of the spans around it is a label.

use std::collections::BTreeMap;
use std::fmt;

use opentelemetry::trace::TraceContextExt as _;
use serde::ser::{SerializeMap as _, Serializer as _};
use serde_json::Value;
use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_subscriber::fmt::format::{JsonFields, Writer};
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormattedFields};
use tracing_subscriber::registry::LookupSpan;

/// The version of the schema that these lines follow.
const ECS_VERSION: &str = "8.11.0";
/// Names that this format writes itself; a field cannot take their place.
const OWN: [&str; 10] = [
    "@timestamp",
    "log.level",
    "message",
    "ecs.version",
    "service.name",
    "service.version",
    "log.logger",
    "trace.id",
    "span.id",
    "error.message",
];

/// Writes events as ECS documents.
pub(super) struct Ecs {
    pub(super) service: String,
    pub(super) version: &'static str,
}

impl<S> FormatEvent<S, JsonFields> for Ecs
where
    S: Subscriber + for<'a> LookupSpan<'a>,
{
    fn format_event(
        &self,
        ctx: &FmtContext<'_, S, JsonFields>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let mut fields = Fields::default();
        // Outer spans first, the event last: the nearest value of a name stands.
        for span in ctx.event_scope().into_iter().flat_map(tracing_subscriber::registry::Scope::from_root) {
            let extensions = span.extensions();
            let formatted = extensions.get::<FormattedFields<JsonFields>>();
            let values = formatted.and_then(|f| serde_json::from_str::<BTreeMap<String, Value>>(f).ok());
            for (name, value) in values.into_iter().flatten() {
                fields.add(&name, value);
            }
        }
        // A span's `message` or `error` says nothing about this event.
        fields.message = None;
        fields.error = None;
        event.record(&mut fields);
        let line = self.document(event, &fields).map_err(|_| fmt::Error)?;
        writeln!(writer, "{line}")
    }
}

impl Ecs {
    fn document(&self, event: &Event<'_>, fields: &Fields) -> serde_json::Result<String> {
        let meta = event.metadata();
        let mut line = Vec::with_capacity(512);
        let mut json = serde_json::Serializer::new(&mut line);
        let mut map = json.serialize_map(None)?;
        // ECS asks that a line begins with these, so that it can be read by eye.
        map.serialize_entry("@timestamp", &format_args!("{:.3}", jiff::Timestamp::now()))?;
        map.serialize_entry("log.level", &meta.level().as_str().to_ascii_lowercase())?;
        map.serialize_entry("message", fields.message.as_deref().unwrap_or(meta.name()))?;
        map.serialize_entry("ecs.version", ECS_VERSION)?;
        map.serialize_entry("service.name", &self.service)?;
        map.serialize_entry("service.version", self.version)?;
        map.serialize_entry("log.logger", meta.target())?;
        let trace = opentelemetry::Context::map_current(|context| context.span().span_context().clone());
        if trace.is_valid() {
            map.serialize_entry("trace.id", &trace.trace_id().to_string())?;
            map.serialize_entry("span.id", &trace.span_id().to_string())?;
        }
        if let Some(error) = &fields.error {
            map.serialize_entry("error.message", error)?;
        }
        for (name, value) in &fields.ecs {
            map.serialize_entry(name, value)?;
        }
        if !fields.labels.is_empty() {
            map.serialize_entry("labels", &fields.labels)?;
        }
        map.end()?;
        Ok(String::from_utf8_lossy(&line).into_owned())
    }
}

/// The fields of an event and its spans, by where they go.
#[derive(Default)]
struct Fields {
    message: Option<String>,
    error: Option<String>,
    ecs: BTreeMap<String, Value>,
    /// ECS stores labels as keywords, so every value is text.
    labels: BTreeMap<String, String>,
}

impl Fields {
    fn add(&mut self, name: &str, value: Value) {
        let name = name.strip_prefix("r#").unwrap_or(name);
        match name {
            "message" => self.message = Some(text(value)),
            "error" => self.error = Some(text(value)),
            _ if name.contains('.') && !OWN.contains(&name) => drop(self.ecs.insert(name.to_owned(), value)),
            // A label's name has no dots: they would make it an object.
            _ => drop(self.labels.insert(name.replace('.', "_"), text(value))),
        }
    }
}

fn text(value: Value) -> String {
    match value {
        Value::String(text) => text,
        other => other.to_string(),
    }
}

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.add(field.name(), Value::String(format!("{value:?}")));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.add(field.name(), Value::from(value));
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.add(field.name(), Value::from(value));
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.add(field.name(), Value::from(value));
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.add(field.name(), Value::from(value));
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.add(field.name(), Value::from(value));
    }

    fn record_error(&mut self, field: &Field, value: &(dyn std::error::Error + 'static)) {
        let mut text = value.to_string();
        let mut source = value.source();
        while let Some(error) = source {
            text.push_str(": ");
            text.push_str(&error.to_string());
            source = error.source();
        }
        self.add(field.name(), Value::String(text));
    }
}

#[cfg(test)]
mod tests {
    use opentelemetry::trace::TracerProvider as _;
    use opentelemetry_sdk::trace::SdkTracerProvider;
    use serde_json::json;
    use tracing_subscriber::layer::SubscriberExt as _;

    use super::super::testing::Written;
    use super::*;

    fn written(test: impl FnOnce()) -> String {
        let written = Written::default();
        let sink = written.clone();
        let layer = tracing_subscriber::fmt::layer()
            .with_ansi(false)
            .fmt_fields(JsonFields::new())
            .event_format(Ecs { service: "fanfare".to_owned(), version: "1.2.3" })
            .with_writer(move || sink.clone());
        let provider = SdkTracerProvider::builder().build();
        let traces = tracing_opentelemetry::layer().with_tracer(provider.tracer("test"));
        let subscriber = tracing_subscriber::registry().with(traces).with(layer);
        tracing::subscriber::with_default(subscriber, test);
        written.text()
    }

    #[test]
    fn every_field_has_its_place() {
        let text = written(|| {
            tracing::warn!(
                target: "fanfare_auth",
                error = %"token expired",
                event.category = "authentication",
                http.response.status_code = 401,
                log.level = "forged",
                topic = "news",
                attempt = 3,
                "refused"
            );
        });
        let mut line: Value = serde_json::from_str(&text).unwrap();
        let time = line["@timestamp"].take();
        assert!(time.as_str().unwrap().parse::<jiff::Timestamp>().is_ok(), "{time}");
        assert_eq!(
            line,
            json!({
                "@timestamp": null, "log.level": "warn", "message": "refused", "ecs.version": "8.11.0",
                "service.name": "fanfare", "service.version": "1.2.3", "log.logger": "fanfare_auth",
                "error.message": "token expired", "event.category": "authentication",
                "http.response.status_code": 401,
                "labels": { "topic": "news", "attempt": "3", "log_level": "forged" },
            })
        );
        assert!(text.starts_with("{\"@timestamp\":"), "{text}");
    }

    #[test]
    fn spans_give_labels_and_the_trace() {
        let text = written(|| {
            let outer = tracing::info_span!("connection", session = "s1", topic = "outer", error = "not this one");
            let _outer = outer.enter();
            let inner = tracing::info_span!("request", topic = "inner");
            let _inner = inner.enter();
            tracing::info!("published");
        });
        let line: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(line["labels"], json!({ "session": "s1", "topic": "inner" }));
        assert_eq!(line.get("error.message"), None);
        assert_eq!(line["trace.id"].as_str().map(str::len), Some(32));
        assert_eq!(line["span.id"].as_str().map(str::len), Some(16));
    }

    #[test]
    fn values_cannot_break_a_line() {
        let text = written(|| {
            tracing::info!(topic = "a\nb", error = %"x\r\ny\u{1b}[31m", "two\nlines");
            tracing::info!("next");
        });
        let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(lines.len(), 2);
        assert_eq!(lines[0]["message"], "two\nlines");
        assert_eq!(lines[0]["error.message"], "x\r\ny\u{1b}[31m");
        assert!(!text.contains('\u{1b}'), "control characters are escaped");
    }
}
