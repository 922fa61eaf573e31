//! The contract of brokers, on every server and in every arrangement.

use std::sync::Arc;

use fanfare_bus::contract::{Announced, Suite};
use fanfare_bus::{Broker, Composed, composed};
use fanfare_engine_redis::{Interest, Options};
use fanfare_lifecycle::Lifecycle;
use fanfare_model::Duration;
use fanfare_test_engines::{FaultProxy, Mistreatment, Protocol, Redis, RedisCluster, RedisKind, RedisSentinel};

use crate::support::{at, brokers, cluster, engine, sentinel};

/// Runs the contract and ends what it has started.
async fn run(options: Options) {
    let life = Lifecycle::new();
    brokers(options, &life).run().await;
    life.stop();
    life.ended().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn redis_7_0_keeps_the_contract() {
    let server = Redis::start().await;
    run(at(server.url())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn redis_6_2_keeps_the_contract() {
    let server = Redis::start_with(RedisKind::Redis62, &[]).await;
    run(at(server.url())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn redis_8_2_keeps_the_contract() {
    let server = Redis::start_with(RedisKind::Redis82, &[]).await;
    run(at(server.url())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn valkey_8_1_keeps_the_contract() {
    let server = Redis::start_with(RedisKind::Valkey81, &[]).await;
    run(at(server.url())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_channel_for_each_partition_keeps_the_contract() {
    let server = Redis::start_with(RedisKind::Redis70, &[]).await;
    run(Options { interest: Interest::Partition, ..at(server.url()) }).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sentinel_keeps_the_contract_also_with_a_replica_that_must_have_it() {
    let servers = RedisSentinel::start().await;
    // Far longer than a replica needs that is there, on a busy machine as well.
    let [replicas_timeout, timeout] = [9, 20].map(Duration::from_secs);
    run(Options { replicas: 1, replicas_timeout, timeout, ..sentinel(&servers) }).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_keeps_the_contract() {
    let servers = RedisCluster::start().await;
    run(cluster(&servers)).await;
}

/// Three of ten announcements are dropped, doubled, or come out of order.
#[tokio::test(flavor = "multi_thread")]
async fn readers_stay_whole_while_announcements_are_mistreated() {
    let server = Redis::start_with(RedisKind::Redis70, &[]).await;
    let proxy = FaultProxy::start(server.address()).await;
    let mistreatment = Mistreatment { protocol: Protocol::Redis, seed: 7, dropped: 30, doubled: 30, moved: 30 };
    proxy.mistreat(Some(mistreatment));
    let life = Lifecycle::new();
    let options = at(format!("redis://{}", proxy.address()));
    brokers(options, &life).announced(Announced::Perhaps).run().await;
    assert!(proxy.mistreated() > 100, "{} announcements were mistreated", proxy.mistreated());
    life.stop();
    life.ended().await;
}

/// The log and the carrier of this engine, joined as if they were of two.
#[tokio::test(flavor = "multi_thread")]
async fn a_log_and_a_carrier_keep_the_contract() {
    let (server, life) = (Redis::start_with(RedisKind::Redis70, &[]).await, Lifecycle::new());
    let (options, inner) = (at(server.url()), life.clone());
    let suite = Suite::new(move |setting| {
        let (options, life) = (options.clone(), inner.clone());
        async move {
            let engine = engine(&options, setting.place, setting.clock, &life).await;
            let fanout = engine.fanout(Arc::clone(&setting.policies), setting.receive);
            let log = engine.log(Arc::clone(&setting.policies), composed::announcer(&fanout));
            let broker: Arc<dyn Broker> = Arc::new(Composed::new(log, fanout, setting.policies));
            broker
        }
    });
    // What two nodes tell of the same topic may cross on the way.
    suite.announced(Announced::Perhaps).run().await;
    life.stop();
    life.ended().await;
}
