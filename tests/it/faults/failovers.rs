//! Another server takes over.

use fanfare_test_engines::FaultProxy;
use fanfare_tests::faults::{Cast, On, Play};

use super::scenario;

/// The master is killed, and Sentinel promotes a replica that lacks the end of the log: what was acknowledged in that
/// end is lost, as Redis has it, and whoever saw it is told.
async fn sentinel_promotes_a_stale_replica(name: &'static str, on: On) {
    let play = Play::begin(name, on, Cast::default()).await;
    for _ in 0..play.scale.choose(1, 3) {
        play.carry_on(100).await;
        let sentinel = play.stage.engine.sentinel.as_ref().expect("this engine has it");
        let master = sentinel.master().await;
        play.recorder.may_lose();
        master.until_replicated().await;
        master.refuse_replicas().await;
        play.carry_on(60).await;
        play.breaks("the master is killed and a stale replica promoted");
        master.kill();
        let promoted = sentinel.until_promoted(master).await;
        play.mended();
        play.recorder.must_keep();
        play.until_whole().await;
        sentinel.restart_as_replica_of(promoted).await;
    }
    play.finish().await;
}
scenario!(sentinel_promotes_a_stale_replica on RedisSentinel);

/// The master is killed when its replica has everything.
async fn sentinel_promotes_a_replica(name: &'static str, on: On) {
    let play = Play::begin(name, on, Cast::default()).await;
    play.carry_on(100).await;
    let sentinel = play.stage.engine.sentinel.as_ref().expect("this engine has it");
    let master = sentinel.master().await;
    // Replication is asynchronous: what is acknowledged last may not have left the master.
    play.recorder.may_lose();
    master.until_replicated().await;
    play.breaks("the master is killed");
    master.kill();
    sentinel.until_promoted(master).await;
    play.mended();
    play.recorder.must_keep();
    play.until_whole().await;
    play.finish().await;
}
scenario!(sentinel_promotes_a_replica on RedisSentinel);

/// A master of a Cluster is killed, and its replica, which lacks the end of the log, takes over.
async fn a_cluster_promotes_a_stale_replica(name: &'static str, on: On) {
    let play = Play::begin(name, on, Cast { topics: 12, topics_each: 6, ..Cast::default() }).await;
    play.carry_on(100).await;
    let cluster = play.stage.engine.redis_cluster.as_ref().expect("this engine has it");
    let key = format!("{}", play.seed());
    let master = cluster.owner_of(&key).await;
    play.recorder.may_lose();
    master.until_replicated().await;
    master.refuse_replicas().await;
    play.carry_on(100).await;
    play.breaks("a master is killed and its stale replica promoted");
    master.kill();
    cluster.until_promoted(master, &key).await;
    play.mended();
    play.recorder.must_keep();
    play.until_whole().await;
    play.finish().await;
}
scenario!(a_cluster_promotes_a_stale_replica on RedisCluster);

/// The server that leads the streams is killed; the other two have everything.
async fn a_leader_is_killed(name: &'static str, on: On) {
    let play = Play::begin(name, on, Cast::default()).await;
    for _ in 0..play.scale.choose(1, 4) {
        play.carry_on(100).await;
        let cluster = play.stage.engine.nats_cluster.as_ref().expect("this engine has it");
        let leader = cluster.leader_of_the_fullest().await;
        play.breaks("the leader is killed");
        leader.kill();
        cluster.until_led_without(leader).await;
        play.mended();
        play.until_whole().await;
        cluster.restart_all().await;
    }
    play.finish().await;
}
scenario!(a_leader_is_killed on NatsCluster);

/// The primary is killed; a standby that every commit waited for takes over.
async fn a_synchronous_standby_takes_over(name: &'static str, on: On) {
    let play = Play::begin(name, on, Cast::default()).await;
    let primary = play.stage.engine.postgres.as_ref().expect("this engine has it");
    let standby = primary.standby().await;
    primary.wait_for_standbys().await;
    play.carry_on(100).await;
    play.breaks("the primary is killed and a synchronous standby promoted");
    primary.kill();
    standby.promote().await;
    play.stage.engine.fail_over_to(standby.address());
    play.mended();
    play.until_whole().await;
    play.finish().await;
}
scenario!(a_synchronous_standby_takes_over on Postgres, PostgresRedis);

/// The primary is killed; a standby that lacks the end of the log takes over: that end is lost, and whoever saw it is
/// told.
async fn a_stale_standby_takes_over(name: &'static str, on: On) {
    let play = Play::begin(name, on, Cast::default()).await;
    let primary = play.stage.engine.postgres.as_ref().expect("this engine has it");
    let wire = FaultProxy::start(primary.address()).await;
    let standby = primary.standby_via(wire.address()).await;
    play.carry_on(50).await;
    play.recorder.may_lose();
    primary.until_replicated().await;
    wire.part(true);
    play.carry_on(60).await;
    play.breaks("the primary is killed and a stale standby promoted");
    primary.kill();
    standby.promote().await;
    play.stage.engine.fail_over_to(standby.address());
    play.mended();
    play.recorder.must_keep();
    play.until_whole().await;
    play.finish().await;
}
scenario!(a_stale_standby_takes_over on Postgres);
