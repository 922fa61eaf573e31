//! The node: binds, opens, serves, drains.
//!
//! One thread (the main one) holds what the node does as a whole: signals, accepting, upkeep. One thread a core
//! serves connections; a connection lives and dies on the worker that it was handed to.

mod acceptor;
mod arrival;
mod bind;
mod connection;
mod head;
mod metrics;
mod open_files;
mod ports;
mod renewal;
mod roles;
mod signals;
mod stop;
mod tls;
mod welcome;
mod worker;

pub(crate) mod dev;
pub(crate) mod engine;
pub(crate) mod files;
pub(crate) mod kept;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use fanfare_lifecycle::{Lifecycle, TaskKind};
use fanfare_model::SystemClock;
use fanfare_telemetry::{Metrics, Telemetry};
use tokio::sync::Semaphore;

use crate::config::Config;
use crate::failure::{Code, Failure};
use acceptor::Acceptor;
use bind::Bound;
use renewal::Renewal;
use roles::Roles;
use signals::Signals;
use worker::Workers;

/// How often samples are folded into histograms: well before a scrape would find many.
const UPKEEP: Duration = Duration::from_secs(5);

/// What `fanfare serve` was asked to do.
#[derive(Debug)]
pub(crate) struct Serve {
    pub config: Config,
    pub dev: bool,
    /// Where to write which ports were bound, when the node is ready.
    pub ports_file: Option<PathBuf>,
}

impl Serve {
    /// Runs until the process is told to stop. Blocks.
    pub(crate) fn run(self) -> Result<(), Failure> {
        let telemetry = Telemetry::start(&self.config.telemetry, env!("CARGO_PKG_VERSION"))
            .map_err(|error| Failure::because(Code::TelemetryUnstarted, "telemetry cannot be started", error))?;
        log_panics();
        let result = self.serve(telemetry.metrics().clone());
        if let Err(failure) = &result {
            tracing::error!(code = failure.code().as_str(), error = %failure, "the node ends with a failure");
        }
        telemetry.shutdown();
        result
    }

    fn serve(self, telemetry: Metrics) -> Result<(), Failure> {
        // Ports first: most mistakes show here, before anything on the disk was touched.
        let bound = bind::all(&self.config.listeners, &self.config.http)?;
        let runtime = worker::runtime()?;
        runtime.block_on(self.serve_on(bound, telemetry))
    }

    async fn serve_on(self, bound: Vec<Bound>, telemetry: Metrics) -> Result<(), Failure> {
        let life = Lifecycle::new();
        let mut signals = Signals::install()?;
        let connections = open_files::connections_max(self.config.http.max_connections)?;
        let permits = Arc::new(Semaphore::new(connections as usize));
        let opened = async {
            let roles = Roles::create(&self.config, self.dev, &life, telemetry.clone()).await?;
            roles.learn().await?;
            Ok::<_, Failure>(roles)
        };
        let roles = tokio::select! {
            roles = opened => roles?,
            // An engine that is not there yet may be waited for.
            signal = signals.next() => {
                tracing::info!(signal, "stopped before it was ready");
                return Ok(());
            }
        };
        roles.start();
        let (workers, hands) = Workers::start(&self.config, &bound, &roles, &life)?;
        upkeep(telemetry, &life);
        roles.joined().await;

        let listening = ports::Listening::of(&bound);
        let encrypted = bound.iter().filter_map(|bound| bound.tls.clone());
        Renewal::of(encrypted, Arc::new(SystemClock)).start(signals.renew(), &life);
        for (at, bound) in bound.into_iter().enumerate() {
            Acceptor::new(at, bound, Arc::clone(&permits), hands.clone())?.start(&life);
        }
        // Only the acceptors hand out sockets now: when they end, the workers see the end of their queues.
        drop(hands);
        if let Some(path) = &self.ports_file {
            listening.write(path)?;
        }
        life.started();
        tracing::info!(listeners = %listening, workers = workers.count(), connections_max = connections, "ready");
        if self.dev {
            welcome::print(&listening, &self.config);
        }

        let ended = stop::drain(
            signals,
            &life,
            stop::Open { permits: &permits, connections, roles: &roles },
            &self.config.drain,
        )
        .await;
        life.stop();
        workers.joined().await;
        roles.close().await;
        tracing::info!("stopped");
        ended
    }
}

fn upkeep(telemetry: Metrics, life: &Lifecycle) {
    let stop = life.hard().clone();
    life.spawn(TaskKind::Background, "metrics upkeep", async move {
        while tokio::time::timeout(UPKEEP, stop.cancelled()).await.is_err() {
            telemetry.upkeep();
        }
    });
}

/// Panics go to the log like everything else, so that they keep the log's format.
fn log_panics() {
    std::panic::set_hook(Box::new(|panic| {
        let text = panic.payload_as_str().unwrap_or("not text");
        let at = panic.location().map(ToString::to_string).unwrap_or_default();
        let backtrace = std::backtrace::Backtrace::capture();
        tracing::error!(error = text, at, backtrace = %backtrace, "panic");
    }));
}
