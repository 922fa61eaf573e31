//! How events are shown.

use serde_json::Value;

use crate::print;

/// For people or for programs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Show {
    /// One line an event: topic, offset, name, data; remarks go to standard error.
    Text,
    /// One JSON object a line: an event, or `{"gap":…}`.
    Json,
}

impl Show {
    /// Shows an event as the protocols give it: `{topic, position, offset, name, data, …}`.
    pub(crate) fn event(self, event: &Value) {
        match self {
            Self::Json => print::line(event),
            Self::Text => {
                let text = |name: &str| event.get(name).and_then(Value::as_str).unwrap_or("-");
                let data = match event.get("data") {
                    Some(Value::String(data)) => data.clone(),
                    Some(other) => other.to_string(),
                    None => String::new(),
                };
                let offset = event.get("offset").and_then(Value::as_u64).unwrap_or_default();
                let data = data.replace('\n', "\\n").replace('\r', "\\r");
                print::line(format_args!("{} #{offset} {} {data}", text("topic"), text("name")));
            }
        }
    }

    /// Shows that events are missing: `{topic, from, to, reason}`.
    pub(crate) fn gap(self, gap: &Value) {
        match self {
            Self::Json => print::line(serde_json::json!({ "gap": gap })),
            Self::Text => {
                let shown = |name: &str| match gap.get(name) {
                    Some(Value::String(text)) => text.clone(),
                    Some(Value::Null) | None => "?".to_owned(),
                    Some(other) => other.to_string(),
                };
                print::remark(format_args!(
                    "gap in {}: {} to {} ({})",
                    shown("topic"),
                    shown("from"),
                    shown("to"),
                    shown("reason")
                ));
            }
        }
    }
}
