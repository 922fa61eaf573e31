//! Whether `docs/engines.md` says of each engine what it offers and promises.

use std::sync::Arc;

use axum::serve;
use fanfare_bus::Policies;
use fanfare_history::{Failover, Window};
use fanfare_lifecycle::{Lifecycle, TaskKind};
use fanfare_model::{Clock, SystemClock};
use fanfare_test_engines::{Nats, Postgres, Redis};
use tokio::net::TcpListener;

use super::backend::{Backend, Opening};
use super::kept::Deaf;
use super::{Backends, Engines};
use crate::config::{Config, Engine, Sources};
use crate::failure::Code;

const PAGE: &str = include_str!("../../../../docs/engines.md");
const SECRET: &str = "engine.remote.secret=0123456789abcdef0123456789abcdef";
const KEYS: &str = "auth.resume.keys=['0123456789abcdef0123456789abcdef']";

/// The cells of an engine's row in the table below a headline.
fn row(headline: &str, engine: Engine) -> Vec<&'static str> {
    let (_, table) = PAGE.split_once(headline).unwrap();
    let begins = format!("| `{}`", engine.as_str());
    let line = table.lines().find(|line| line.starts_with(&begins)).unwrap();
    line.trim_matches('|').split('|').map(str::trim).collect()
}

fn config(settings: &[&str]) -> Config {
    let set = settings.iter().map(|setting| (*setting).to_owned()).chain([SECRET.to_owned(), KEYS.to_owned()]);
    Sources { file: None, set: set.collect(), dev: true }.load_file().unwrap().config
}

/// Whether the engine has such a part, be it that this one cannot be opened twice.
async fn has<T: ?Sized>(part: Opening<'_, T>) -> bool {
    !matches!(part.await, Err(failure) if failure.code() == Code::EngineCannot)
}

async fn offers(backend: &dyn Backend, policies: Arc<Policies>) -> [bool; 7] {
    [
        has(backend.broker(Arc::clone(&policies), Arc::new(Deaf))).await,
        has(backend.log(Arc::clone(&policies), Arc::new(Deaf))).await,
        has(backend.fanout(Arc::clone(&policies), Arc::new(Deaf))).await,
        has(backend.presence()).await,
        has(backend.leases()).await,
        has(backend.cursors()).await,
        has(backend.restore(policies)).await,
    ]
}

/// A node that lends its engine; where it does.
async fn hub(clock: &Arc<dyn Clock>, life: &Lifecycle) -> String {
    let lent = config(&["engine.kind=memory", "listeners.admin.serves=['api', 'engine']"]);
    let router = Box::pin(Engines::open(&lent, clock, life)).await.unwrap().lent.unwrap().router();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    life.spawn(TaskKind::Background, "serve the hub", async move { serve(listener, router).await.unwrap() });
    format!("engine.remote.url=http://{address}")
}

#[tokio::test]
async fn every_engine_offers_what_the_page_says() {
    let (redis, nats, postgres) = (Redis::start().await, Nats::start().await, Postgres::start().await);
    let (clock, life): (Arc<dyn Clock>, _) = (Arc::new(SystemClock), Lifecycle::new());
    let dir = tempfile::tempdir().unwrap();
    let shared = [
        format!("engine.path={}", dir.path().display()),
        format!("engine.redis.urls=['{}']", redis.url()),
        format!("engine.nats.urls=['{}']", nats.url()),
        format!("engine.postgres.url={}", postgres.url()),
        hub(&clock, &life).await,
    ];
    for engine in [Engine::Memory, Engine::Embedded, Engine::Remote, Engine::Redis, Engine::Nats, Engine::Postgres] {
        let kind = format!("engine.kind={}", engine.as_str());
        let config = config(&shared.iter().chain([&kind]).map(String::as_str).collect::<Vec<_>>());
        let backends = Box::pin(Backends::connect(&config, &clock, &life)).await.unwrap();
        let backend = backends.of(engine).unwrap();
        let told: Vec<_> = row("## What each offers", engine)[1..].iter().map(|cell| !cell.starts_with("no")).collect();
        assert_eq!(offers(backend, backends.policies(&config).unwrap()).await[..], told, "{}", engine.as_str());
        let Some(capabilities) = backend.capabilities() else { continue };
        let promises = row("## What each promises", engine).join(" | ");
        let says = |words: &str| promises.contains(words);
        assert_eq!(matches!(capabilities.window, Window::Fixed(_)), says("idempotency_window"), "{promises}");
        assert_eq!(capabilities.failover == Failover::Tail, says("`fork`"), "{promises}");
        assert_eq!(capabilities.dense, !says("with holes") && !says("jumps by"), "{promises}");
    }
    life.stop();
}
