//! Why telemetry could not start.

/// Errors of starting telemetry. All of them are for the operator: the configuration or the program is wrong.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// An option is wrong; the text names the key and the fix.
    #[error("{0}")]
    Options(String),
    /// The trace exporter could not be made.
    #[error("the trace exporter for {endpoint} could not be started")]
    Exporter {
        /// Where it was to send to.
        endpoint: String,
        /// Why not.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The process has a log subscriber or a metrics recorder already.
    #[error("telemetry was already started in this process")]
    AlreadyStarted,
}
