//! Servers and settings that do not fit are refused, with what to change.

use std::sync::Arc;

use fanfare_engine_redis::{Engine, Error, Interest, Mode, Options};
use fanfare_history::Durability;
use fanfare_lifecycle::Lifecycle;
use fanfare_model::{Duration, SystemClock};
use fanfare_test_engines::{Redis, RedisKind};

use crate::support::at;

async fn refused(options: &Options) -> Error {
    let life = Lifecycle::new();
    let connected = Engine::connect(options, Arc::new(SystemClock), &life).await;
    life.stop();
    connected.err().expect("the engine does not connect")
}

/// What the engine has heard of the server's settings.
async fn durability(server: &Redis) -> Option<Durability> {
    let life = Lifecycle::new();
    let engine = Engine::connect(&at(server.url()), Arc::new(SystemClock), &life).await.expect("it fits");
    life.stop();
    engine.durability()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_acknowledgement_is_worth_is_asked_for() {
    for kind in [RedisKind::Redis62, RedisKind::Redis70] {
        let server = Redis::start_with(kind, &[]).await;
        assert_eq!(durability(&server).await, Some(Durability::None));
        server.cli(&["CONFIG", "SET", "appendonly", "yes"]).await;
        assert_eq!(durability(&server).await, Some(Durability::Buffered), "everysec is the default");
        server.cli(&["CONFIG", "SET", "appendfsync", "always"]).await;
        assert_eq!(durability(&server).await, Some(Durability::Committed));
        // As with many who run it for others.
        server.cli(&["ACL", "SETUSER", "default", "-config"]).await;
        assert_eq!(durability(&server).await, None);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_does_not_fit_is_said() {
    let server =
        Redis::start_with(RedisKind::Redis70, &["--maxmemory", "100mb", "--maxmemory-policy", "allkeys-lru"]).await;
    let said = refused(&at(server.url())).await.to_string();
    assert!(said.contains("noeviction"), "{said}");
    server.cli(&["CONFIG", "SET", "maxmemory-policy", "noeviction"]).await;
    let said = refused(&Options { mode: Mode::Cluster, ..at(server.url()) }).await.to_string();
    assert!(said.contains("luster"), "{said}");

    let life = Lifecycle::new();
    Engine::connect(&at(server.url()), Arc::new(SystemClock), &life).await.expect("it fits now");
    life.stop();
    let other = Options { interest: Interest::Partition, ..at(server.url()) };
    let said = refused(&other).await.to_string();
    assert!(said.contains("interest = topic"), "{said}");

    server.cli(&["CONFIG", "SET", "requirepass", "secret"]).await;
    let said = refused(&at(server.url())).await.to_string();
    assert!(said.contains("password"), "{said}");
    let password = Some(fanfare_auth::Secret::new("secret"));
    let life = Lifecycle::new();
    Engine::connect(&Options { password, ..at(server.url()) }, Arc::new(SystemClock), &life)
        .await
        .expect("it is let in");
    life.stop();

    server.stop().await;
    let timeout = Duration(std::time::Duration::from_millis(300));
    assert!(matches!(refused(&Options { timeout, ..at(server.url()) }).await, Error::Unreachable(_)));
}
