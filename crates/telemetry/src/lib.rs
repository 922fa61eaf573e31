//! What a node says about itself: logs, traces and metrics.
//!
//! [`Telemetry::start`] installs all three for the process, once, from [`Options`]; [`Metrics`] is the cheap
//! handle that renders the Prometheus page; [`trace`] carries W3C trace context into and out of events.
//!
//! What this crate is not: it names no metric (each crate names its own in its `metrics.rs`) and serves no
//! page (`api` does).

mod error;
mod log;
mod metrics;
mod options;
mod otlp;
pub mod trace;

use tracing_subscriber::Registry;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

pub use error::Error;
pub use metrics::Metrics;
pub use options::{Color, LogFormat, LogOptions, Options, TraceOptions};

/// The telemetry of this process. Keep it until the end and then call [`Telemetry::shutdown`].
#[derive(Debug)]
pub struct Telemetry {
    metrics: Metrics,
    exporter: Option<otlp::Exporter>,
}

impl Telemetry {
    /// Installs the log writer (to standard error), the metrics recorder and, if an endpoint is set, the
    /// trace exporter. `version` is this program's, for log lines and trace resources.
    ///
    /// Fails if an option is wrong or if the process has telemetry already.
    pub fn start(options: &Options, version: &'static str) -> Result<Self, Error> {
        options.validate().map_err(Error::Options)?;
        let exporter = options
            .traces
            .otlp_endpoint
            .as_deref()
            .map(|endpoint| otlp::Exporter::start(endpoint, &options.traces, version))
            .transpose()?;
        let mut layers = vec![log::layer(options, version)?];
        layers.extend(exporter.as_ref().map(otlp::Exporter::layer));
        Registry::default().with(layers).try_init().map_err(|_| Error::AlreadyStarted)?;
        Ok(Self { metrics: Metrics::install()?, exporter })
    }

    /// The metrics of this process.
    pub fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    /// Sends the spans that still wait, for at most five seconds. Blocks; call it when everything else has ended.
    pub fn shutdown(self) {
        if let Some(exporter) = self.exporter {
            exporter.shutdown();
        }
    }
}
