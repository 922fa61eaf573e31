//! The parts of the node and how they are joined: this file reads as a table.

use std::sync::Arc;

use axum::Router;
use fanfare_auth::Auth;
use fanfare_bus::Bus;
use fanfare_gateway_grpc::Doors;
use fanfare_hooks::Application;
use fanfare_lifecycle::{Lifecycle, TaskKind};
use fanfare_model::{Clock, SystemClock};
use fanfare_session::quota::Quotas;
use fanfare_session::{Hooks, Node, Registry};
use fanfare_telemetry::Metrics;

use super::connection::Answers;
use super::engine::Engines;
use super::{dev, engine, metrics};
use crate::config::{Config, Role, Serves};
use crate::failure::{Code, Failure};

/// How often the files of API keys and of revocations are looked at: what `fanfare key revoke` and `fanfare token revoke`
/// take back ends within a second.
const KEYS: std::time::Duration = std::time::Duration::from_millis(500);

/// What this node runs.
pub(super) struct Roles {
    node: Node,
    telemetry: Metrics,
    /// What is lent to other nodes.
    #[cfg(feature = "remote")]
    lent: Option<fanfare_engine_remote::hub::Hub>,
    active: Vec<Role>,
    api: Arc<fanfare_api::Options>,
    document: fanfare_api::Document,
    sse: Arc<fanfare_gateway_sse::Options>,
    ws: Arc<fanfare_gateway_ws::Options>,
    grpc: Arc<fanfare_gateway_grpc::Options>,
}

impl Roles {
    /// Opens the engine and makes every part. Nothing runs yet.
    pub(super) async fn create(
        config: &Config,
        dev: bool,
        life: &Lifecycle,
        telemetry: Metrics,
    ) -> Result<Arc<Self>, Failure> {
        describe_metrics();
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        // First, because the embedded engine makes the node's directory and keeps other nodes out of it.
        let engines = Box::pin(Engines::open(config, &clock, life)).await?;
        let auth = dev::node_auth(config, dev, Arc::clone(&clock))?;
        let bus = Bus::new(engines.hub, engines.broker);
        let this = engine::this_node(config, &*clock)?;
        let cluster = fanfare_cluster::Handle::new(engines.leases, bus.clone(), this, config.cluster.clone());
        let presence = fanfare_presence::Handle::new(
            engines.presence,
            bus.clone(),
            &cluster,
            Arc::clone(&clock),
            engine::presence(config),
        );
        let consumers =
            fanfare_consumer::Handle::new(engines.cursors, bus.clone(), Arc::clone(&clock), config.consumers.clone());
        let node = Node {
            auth,
            bus,
            presence,
            cluster,
            consumers,
            sessions: Registry::new(config.session.clone(), Arc::clone(&clock)),
            quotas: Quotas::new(config.limits.clone(), Arc::clone(&clock)),
            hooks: hooks(config, &clock)?,
            options: Arc::new(config.session.clone()),
            clock,
            life: life.clone(),
        };
        Ok(Arc::new(Self {
            node,
            telemetry,
            #[cfg(feature = "remote")]
            lent: engines.lent,
            active: config.roles.clone(),
            api: Arc::new(config.api.clone()),
            document: fanfare_api::Document::with(&[fanfare_gateway_sse::OPENAPI]),
            sse: Arc::new(config.sse.clone()),
            ws: Arc::new(config.ws.clone()),
            grpc: Arc::new(config.grpc.clone()),
        }))
    }

    /// Learns what was revoked, before anybody is let in.
    pub(super) async fn learn(&self) -> Result<(), Failure> {
        self.node.learn_revocations().await.map_err(|error| {
            Failure::because(Code::EngineUnusable, "what was revoked cannot be read from the log", error)
        })
    }

    /// Starts what the node does as a whole. Call it on the main runtime.
    pub(super) fn start(&self) {
        let Node { auth, bus, presence, cluster, consumers, sessions, clock, life, .. } = &self.node;
        bus.start_upkeep(life, Arc::clone(clock));
        auth.start(life);
        cluster.start(life);
        presence.start(life);
        consumers.start(life);
        sessions.start(life, auth);
        reload_keys(auth.clone(), life);
    }

    /// Waits until other nodes can reach this one, but not for ever: clients are more important.
    pub(super) async fn joined(&self) {
        let cluster = &self.node.cluster;
        let patience = cluster.options().patience.get();
        if tokio::time::timeout(patience, cluster.joined()).await.is_err() {
            tracing::warn!("the other nodes cannot be reached yet; starting without them");
        }
    }

    /// Starts what each worker does. Call it on that worker's runtime.
    pub(super) fn start_worker(&self, worker: usize) {
        self.node.on_worker(worker).start_worker();
    }

    /// What a listener that serves `serves` answers on this worker.
    pub(super) fn answers(&self, worker: usize, serves: &[Serves]) -> Answers {
        let node = self.node.on_worker(worker);
        let (mut router, mut streams) = (Router::new(), None);
        for part in serves {
            let part = match part {
                Serves::Api if self.runs(Role::Api) => {
                    fanfare_api::router(node.clone(), Arc::clone(&self.api), self.document.clone())
                }
                Serves::Sse if self.runs(Role::Sse) => {
                    streams.insert(fanfare_gateway_sse::Door::open(node.clone(), Arc::clone(&self.sse))).router()
                }
                Serves::Ws if self.runs(Role::Ws) => fanfare_gateway_ws::router(node.clone(), Arc::clone(&self.ws)),
                Serves::Grpc if self.runs(Role::Grpc) => {
                    // Backends come in where their API is served, and nowhere else.
                    let doors = if serves.contains(&Serves::Api) { Doors::All } else { Doors::Clients };
                    fanfare_gateway_grpc::router(node.clone(), Arc::clone(&self.grpc), doors)
                }
                #[cfg(feature = "remote")]
                Serves::Engine => match &self.lent {
                    Some(hub) => hub.router(),
                    None => continue,
                },
                #[cfg(not(feature = "remote"))]
                Serves::Engine => continue,
                Serves::Health => fanfare_api::health_router(node.clone()),
                Serves::Metrics => fanfare_api::metrics_router(self.render()),
                Serves::Demo => fanfare_console::router(dev::demo_tokens(self.node.auth.clone())),
                // Its role runs in another process.
                Serves::Api | Serves::Sse | Serves::Ws | Serves::Grpc => continue,
            };
            router = router.merge(part);
        }
        Answers { router: fanfare_api::with_fallbacks(router), streams }
    }

    fn runs(&self, role: Role) -> bool {
        self.active.contains(&role)
    }

    fn render(&self) -> Arc<dyn Fn() -> String + Send + Sync> {
        let telemetry = self.telemetry.clone();
        Arc::new(move || telemetry.render())
    }

    /// Waits until no session is left.
    pub(super) async fn sessions_ended(&self) {
        self.node.sessions.emptied().await;
    }

    /// Stores what waits and closes what is kept. Call it when everything else has ended.
    pub(super) async fn close(&self) {
        if let Err(error) = self.node.consumers.close().await {
            tracing::error!(error = %error, "the store of consumers could not be closed; it is repaired at the next start");
        }
        if let Err(error) = self.node.bus.close().await {
            tracing::error!(error = %error, "the log could not be closed; it is repaired at the next start");
        }
    }
}

/// Who decides elsewhere.
fn hooks(config: &Config, clock: &Arc<dyn Clock>) -> Result<Option<Arc<dyn Hooks>>, Failure> {
    let application = Application::new(&config.hooks, Arc::clone(clock))
        .map_err(|error| Failure::because(Code::ConfigWrong, "the application cannot be asked (hooks)", error))?;
    Ok(application.map(|application| Arc::new(application) as _))
}

fn describe_metrics() {
    metrics::describe();
    fanfare_auth::metrics::describe();
    fanfare_bus::metrics::describe();
    fanfare_history::metrics::describe();
    fanfare_session::metrics::describe();
    fanfare_cluster::metrics::describe();
    fanfare_presence::metrics::describe();
    fanfare_consumer::metrics::describe();
    fanfare_hooks::metrics::describe();
    fanfare_api::metrics::describe();
    fanfare_gateway_sse::metrics::describe();
    fanfare_gateway_ws::metrics::describe();
    fanfare_gateway_grpc::metrics::describe();
    engine::describe_metrics();
}

fn reload_keys(auth: Auth, life: &Lifecycle) {
    let stop = life.soft().clone();
    life.spawn(TaskKind::Background, "watch the files of API keys and revocations", async move {
        while tokio::time::timeout(KEYS, stop.cancelled()).await.is_err() {
            let auth = auth.clone();
            let looked = tokio::task::spawn_blocking(move || auth.reload_keys()).await;
            if let Ok(Err(error)) = looked {
                tracing::warn!(error = %error, "a file of API keys or revocations cannot be read, keeping what was known");
            }
        }
    });
}
