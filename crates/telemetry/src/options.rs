//! The `telemetry` section of the configuration.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tracing_subscriber::EnvFilter;

/// What a node says about itself.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Options {
    /// Log lines, on standard error.
    pub log: LogOptions,
    /// OpenTelemetry traces.
    pub traces: TraceOptions,
}

/// Log lines.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct LogOptions {
    /// `text` (default: for people), `json` (one flat object a line) or `ecs` (Elastic Common Schema 8.11).
    pub format: LogFormat,
    /// Which lines are written: a level (`error`, `warn`, `info`, `debug`, `trace`), or levels by target such as
    /// `info,fanfare_auth=debug`. Default `info`: what an operator acts on, and nothing per event.
    pub filter: String,
    /// Colours in `text`: `auto` (default: when standard error is a terminal), `always` or `never`.
    pub color: Color,
}

/// How a log line is written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One flat JSON object a line.
    Json,
    /// One JSON object a line, in the Elastic Common Schema 8.11.
    Ecs,
}

/// When log lines have colours.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Color {
    /// When standard error is a terminal.
    #[default]
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

/// OpenTelemetry traces.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct TraceOptions {
    /// Where spans are sent by OTLP over gRPC, e.g. `http://localhost:4317`. Default: none, traces are off.
    pub otlp_endpoint: Option<String>,
    /// The share of new traces that are kept, 0.0 to 1.0. A trace that came from a publisher keeps the
    /// publisher's decision. Default 0.01: a busy node makes a trace per publish.
    pub sample_ratio: f64,
    /// `service.name` of log lines and spans. Default `fanfare`; change it to tell deployments apart.
    pub service_name: String,
}

impl Default for LogOptions {
    fn default() -> Self {
        Self {
            format: LogFormat::default(),
            filter: "info,fjall=warn,lsm_tree=warn".to_owned(),
            color: Color::default(),
        }
    }
}

impl Default for TraceOptions {
    fn default() -> Self {
        Self { otlp_endpoint: None, sample_ratio: 0.01, service_name: "fanfare".to_owned() }
    }
}

impl Options {
    /// Checks what types cannot. The error names the key (within this section) and the fix.
    pub fn validate(&self) -> Result<(), String> {
        self.log.env_filter()?;
        if !(0.0..=1.0).contains(&self.traces.sample_ratio) {
            return Err(format!(
                "traces.sample_ratio: {} is not a share; write a number from 0.0 (none) to 1.0 (all)",
                self.traces.sample_ratio
            ));
        }
        if self.traces.service_name.is_empty() {
            return Err("traces.service_name: is empty; leave it out for `fanfare`".to_owned());
        }
        match &self.traces.otlp_endpoint {
            Some(endpoint) if !endpoint.starts_with("http://") && !endpoint.starts_with("https://") => {
                Err(format!("traces.otlp_endpoint: {endpoint:?} is not a URL; write it like \"http://localhost:4317\""))
            }
            _ => Ok(()),
        }
    }
}

impl LogOptions {
    /// The filter, parsed.
    pub(crate) fn env_filter(&self) -> Result<EnvFilter, String> {
        EnvFilter::builder().parse(&self.filter).map_err(|error| {
            format!(
                "log.filter: {:?} is not a filter ({error}); write it like \"info\" or \"info,fanfare_auth=debug\"",
                self.filter
            )
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wrong_options_name_the_key() {
        let with = |change: fn(&mut Options)| {
            let mut options = Options::default();
            change(&mut options);
            options.validate()
        };
        assert_eq!(with(|_| ()), Ok(()));
        for (key, result) in [
            ("log.filter", with(|o| o.log.filter = "info,fanfare=loud".to_owned())),
            ("traces.sample_ratio", with(|o| o.traces.sample_ratio = 1.5)),
            ("traces.sample_ratio", with(|o| o.traces.sample_ratio = f64::NAN)),
            ("traces.service_name", with(|o| o.traces.service_name = String::new())),
            ("traces.otlp_endpoint", with(|o| o.traces.otlp_endpoint = Some("localhost:4317".to_owned()))),
        ] {
            let text = result.expect_err(key);
            assert!(text.starts_with(key), "{key}: {text}");
        }
    }
}
