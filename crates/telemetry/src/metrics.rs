//! The Prometheus recorder.

use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle, PrometheusRecorder};

use crate::Error;

/// Time histograms (`…_seconds`): exponential from 100 µs, below which the clock and the scheduler speak, to
/// 10 s, beyond which a client has gone.
const SECONDS: [f64; 16] =
    [0.0001, 0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0];
/// Size histograms (`…_bytes`): powers of four from 64 B to 16 MiB.
const BYTES: [f64; 10] =
    [64.0, 256.0, 1024.0, 4096.0, 16384.0, 65536.0, 262_144.0, 1_048_576.0, 4_194_304.0, 16_777_216.0];
/// Everything else that has a distribution (batch lengths, readers of a topic): powers of four from 1 to 262,144.
const COUNTS: [f64; 10] = [1.0, 4.0, 16.0, 64.0, 256.0, 1024.0, 4096.0, 16384.0, 65536.0, 262_144.0];

/// A handle to the metrics of this process. Clones are the same metrics.
#[derive(Clone)]
pub struct Metrics(PrometheusHandle);

impl Metrics {
    pub(crate) fn install() -> Result<Self, Error> {
        let recorder = recorder()?;
        let handle = Self(recorder.handle());
        metrics::set_global_recorder(recorder).map_err(|_| Error::AlreadyStarted)?;
        Ok(handle)
    }

    /// Every metric in the Prometheus text format, version 0.0.4.
    pub fn render(&self) -> String {
        self.0.render()
    }

    /// Folds the latest samples into the histograms. Whoever owns the node calls it every few seconds: without
    /// it samples pile up between scrapes.
    pub fn upkeep(&self) {
        self.0.run_upkeep();
    }
}

impl std::fmt::Debug for Metrics {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Metrics")
    }
}

/// With buckets for every histogram: a histogram without them becomes a summary, whose samples grow and
/// which cannot be added up over nodes.
fn recorder() -> Result<PrometheusRecorder, Error> {
    let builder = PrometheusBuilder::new()
        .set_buckets_for_metric(Matcher::Suffix("_seconds".to_owned()), &SECONDS)
        .and_then(|builder| builder.set_buckets_for_metric(Matcher::Suffix("_bytes".to_owned()), &BYTES))
        .and_then(|builder| builder.set_buckets(&COUNTS));
    builder.map(PrometheusBuilder::build_recorder).map_err(|error| Error::Options(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn histograms_have_buckets_by_the_end_of_their_name() {
        let recorder = recorder().unwrap();
        let metrics = Metrics(recorder.handle());
        metrics::with_local_recorder(&recorder, || {
            metrics::histogram!("fanfare_test_seconds").record(0.0003);
            metrics::histogram!("fanfare_test_bytes").record(100.0);
            metrics::histogram!("fanfare_test_batch").record(3.0);
        });
        metrics.upkeep();
        let page = metrics.render();
        for line in [
            "fanfare_test_seconds_bucket{le=\"0.0002\"} 0",
            "fanfare_test_seconds_bucket{le=\"0.0005\"} 1",
            "fanfare_test_bytes_bucket{le=\"64\"} 0",
            "fanfare_test_bytes_bucket{le=\"256\"} 1",
            "fanfare_test_batch_bucket{le=\"1\"} 0",
            "fanfare_test_batch_bucket{le=\"4\"} 1",
        ] {
            assert!(page.contains(line), "{line} is missing in\n{page}");
        }
    }
}
