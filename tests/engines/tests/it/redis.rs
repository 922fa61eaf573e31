//! Redis and Valkey.

use std::net::TcpStream;

use fanfare_test_engines::{Redis, RedisCluster, RedisKind, RedisSentinel};

#[tokio::test]
async fn every_version_starts_and_says_which_it_is() {
    for kind in RedisKind::ALL {
        let redis = Redis::start_with(kind, &[]).await;
        let info = redis.cli(&["INFO", "server"]).await;
        let version = match kind {
            RedisKind::Redis62 => "redis_version:6.2",
            RedisKind::Redis70 => "redis_version:7.0",
            RedisKind::Redis82 => "redis_version:8.2",
            RedisKind::Valkey81 => "valkey_version:8.1",
        };
        assert!(info.contains(version), "{kind:?}: {info}");
    }
}

#[tokio::test]
async fn what_was_acknowledged_survives_a_kill_on_the_same_port() {
    let redis = Redis::start().await;
    assert_eq!(redis.cli(&["SET", "a", "1"]).await, "OK");
    redis.kill();
    assert!(TcpStream::connect(redis.address()).is_err());
    redis.restart().await;
    assert_eq!(redis.cli(&["GET", "a"]).await, "1");
    redis.stop().await;
    assert!(TcpStream::connect(redis.address()).is_err());
    redis.restart().await;
    assert_eq!(redis.cli(&["GET", "a"]).await, "1");
    redis.kill();
    redis.restart_empty().await;
    assert_eq!(redis.cli(&["GET", "a"]).await, "");
}

#[tokio::test]
async fn it_goes_with_its_value() {
    let redis = Redis::start_with(RedisKind::Redis70, &[]).await;
    let address = redis.address();
    drop(redis);
    assert!(TcpStream::connect(address).is_err());
}

#[tokio::test]
async fn sentinel_promotes_a_replica_that_was_kept_stale() {
    let redis = RedisSentinel::start().await;
    let master = redis.master().await;
    master.cli(&["SET", "kept", "1"]).await;
    master.until_replicated().await;
    master.refuse_replicas().await;
    assert_eq!(master.cli(&["SET", "lost", "1"]).await, "OK");
    master.kill();
    let promoted = redis.until_promoted(master).await;
    assert_eq!(promoted.cli(&["GET", "kept"]).await, "1");
    assert_eq!(promoted.cli(&["GET", "lost"]).await, "");
}

#[tokio::test]
async fn a_cluster_fails_over_to_a_replica_that_was_kept_stale() {
    let cluster = RedisCluster::start().await;
    let owner = cluster.owner_of("{a}kept").await;
    assert!(cluster.replica_of(owner).await.is_some());
    owner.cli(&["SET", "{a}kept", "1"]).await;
    owner.until_replicated().await;
    owner.refuse_replicas().await;
    assert_eq!(owner.cli(&["SET", "{a}lost", "1"]).await, "OK");
    owner.kill();
    let promoted = cluster.until_promoted(owner, "{a}kept").await;
    assert_eq!(promoted.cli(&["GET", "{a}kept"]).await, "1");
    assert_eq!(promoted.cli(&["GET", "{a}lost"]).await, "");
}
