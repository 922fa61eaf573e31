//! Engines on servers of their own.

use std::sync::Arc;

use fanfare_bus::{Broker, contract};
use fanfare_engine_redis::{Engine, Mode, Options};
use fanfare_lifecycle::Lifecycle;
use fanfare_model::Clock;
use fanfare_test_engines::{RedisCluster, RedisSentinel};

/// Options for a server that stands alone.
pub(crate) fn at(url: String) -> Options {
    Options { urls: vec![url.into()], ..Options::default() }
}

/// Options for a Cluster.
pub(crate) fn cluster(servers: &RedisCluster) -> Options {
    let urls = servers.urls().into_iter().map(Into::into).collect();
    Options { urls, mode: Mode::Cluster, ..Options::default() }
}

/// Options for what Sentinels watch.
pub(crate) fn sentinel(servers: &RedisSentinel) -> Options {
    let urls = servers.urls().into_iter().map(Into::into).collect();
    Options { urls, mode: Mode::Sentinel, service: servers.master_name().to_owned(), ..Options::default() }
}

/// An engine whose names begin as those of no other place.
pub(crate) async fn engine(options: &Options, place: usize, clock: Arc<dyn Clock>, life: &Lifecycle) -> Arc<Engine> {
    let options = Options { prefix: format!("{}-{place}", options.prefix), ..options.clone() };
    Engine::connect(&options, clock, life).await.expect("the engine connects")
}

/// The contract of brokers, on engines with `options`.
pub(crate) fn brokers(options: Options, life: &Lifecycle) -> contract::Suite {
    let life = life.clone();
    contract::Suite::new(move |setting| {
        let (options, life) = (options.clone(), life.clone());
        async move {
            let engine = engine(&options, setting.place, setting.clock, &life).await;
            let broker: Arc<dyn Broker> = engine.broker(setting.policies, setting.receive);
            broker
        }
    })
}
