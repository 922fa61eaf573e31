//! Sending spans to a collector by OTLP over gRPC.

use std::time::Duration;

use opentelemetry::KeyValue;
use opentelemetry::trace::TracerProvider as _;
use opentelemetry_otlp::{SpanExporter, WithExportConfig as _};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{Sampler, SdkTracerProvider};
use tokio::sync::oneshot;
use tracing::Level;
use tracing_subscriber::filter::filter_fn;
use tracing_subscriber::layer::Layer;
use tracing_subscriber::registry::Registry;

use crate::{Error, TraceOptions};

/// How long one export may take, and how long the last one may at the end: a collector that is away must not
/// hold up the stop of the node.
const TIMEOUT: Duration = Duration::from_secs(5);

/// Collects spans in batches and sends them from threads of its own, so that no worker ever waits for the
/// collector and the last batch can be sent when the workers have ended.
#[derive(Debug)]
pub(crate) struct Exporter {
    provider: SdkTracerProvider,
    /// Ends the thread that drives the gRPC connection, by being dropped.
    stop: oneshot::Sender<()>,
    thread: std::thread::JoinHandle<()>,
}

impl Exporter {
    pub(crate) fn start(endpoint: &str, options: &TraceOptions, version: &'static str) -> Result<Self, Error> {
        let failed = |source: Box<dyn std::error::Error + Send + Sync>| Error::Exporter {
            endpoint: endpoint.to_owned(),
            source,
        };
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(|e| failed(Box::new(e)))?;
        let exporter = {
            // The connection belongs to the runtime that is current when it is made.
            let _entered = runtime.enter();
            SpanExporter::builder()
                .with_tonic()
                .with_endpoint(endpoint)
                .with_timeout(TIMEOUT)
                .build()
                .map_err(|e| failed(Box::new(e)))?
        };
        let (stop, stopped) = oneshot::channel();
        let thread = std::thread::Builder::new()
            .name("otlp".to_owned())
            .spawn(move || drop(runtime.block_on(stopped)))
            .map_err(|e| failed(Box::new(e)))?;
        let resource = Resource::builder_empty()
            .with_service_name(options.service_name.clone())
            .with_attribute(KeyValue::new("service.version", version))
            .build();
        let provider = SdkTracerProvider::builder()
            .with_batch_exporter(exporter)
            .with_sampler(Sampler::ParentBased(Box::new(Sampler::TraceIdRatioBased(options.sample_ratio))))
            .with_resource(resource)
            .build();
        Ok(Self { provider, stop, thread })
    }

    /// Turns this program's own spans into trace spans, those as well that the log leaves out: a span that is only
    /// for traces has level DEBUG, so that it costs nothing without them. Spans of libraries stay out.
    pub(crate) fn layer(&self) -> Box<dyn Layer<Registry> + Send + Sync> {
        tracing_opentelemetry::layer()
            .with_tracer(self.provider.tracer("fanfare"))
            .with_threads(false)
            .with_filter(filter_fn(|metadata| {
                let most = if metadata.is_span() { Level::DEBUG } else { Level::INFO };
                metadata.target().starts_with("fanfare") && *metadata.level() <= most
            }))
            .boxed()
    }

    pub(crate) fn shutdown(self) {
        if let Err(error) = self.provider.shutdown_with_timeout(TIMEOUT) {
            tracing::warn!(error = %error, "the last spans could not be sent");
        }
        drop(self.stop);
        if self.thread.join().is_err() {
            tracing::warn!("the trace exporter's thread panicked");
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;
    use std::net::TcpListener;

    use opentelemetry::trace::Tracer as _;

    use super::*;

    #[test]
    fn spans_that_wait_are_sent_at_the_shutdown() {
        let collector = TcpListener::bind("127.0.0.1:0").unwrap();
        let endpoint = format!("http://{}", collector.local_addr().unwrap());
        let heard = std::thread::spawn(move || {
            let mut first = [0; 14];
            collector.accept().unwrap().0.read_exact(&mut first).unwrap();
            first
        });
        let options = TraceOptions { sample_ratio: 1.0, ..TraceOptions::default() };
        let exporter = Exporter::start(&endpoint, &options, "0").unwrap();
        exporter.provider.tracer("test").in_span("publish", |_| ());
        exporter.shutdown();
        assert_eq!(&heard.join().unwrap(), b"PRI * HTTP/2.0", "gRPC was spoken to the collector");
    }
}
