//! Nodes come and go.

use std::time::Duration;

use fanfare_tests::PATIENCE;
use fanfare_tests::faults::{Cast, On, Play};
use rand::Rng as _;
use rustix::process::Signal;

use super::scenario;

/// The only node is killed and started again.
async fn the_node_is_killed(name: &'static str, on: On) {
    let mut play = Play::begin(name, on, Cast::default()).await;
    for _ in 0..play.scale.choose(2, 10) {
        play.carry_on(100).await;
        play.breaks("the node is killed");
        play.stage.apis[0].kill();
        play.stage.apis[0].restart().await;
        play.mended();
        play.until_whole().await;
    }
    play.finish().await;
}
scenario!(the_node_is_killed on Embedded);

/// The only node is asked to end, and started again.
async fn the_node_is_restarted(name: &'static str, on: On) {
    let mut play = Play::begin(name, on, Cast::default()).await;
    for _ in 0..play.scale.choose(1, 5) {
        play.carry_on(100).await;
        play.breaks("the node is restarted");
        play.stage.apis[0].terminate();
        play.stage.apis[0].ended(PATIENCE).await;
        play.stage.apis[0].restart().await;
        play.mended();
        play.until_whole().await;
    }
    play.finish().await;
}
scenario!(the_node_is_restarted on Embedded);

/// A node for clients is killed; its clients go to another, with their positions.
async fn a_gateway_is_killed(name: &'static str, on: On) {
    let mut play = Play::begin(name, on, Cast::default()).await;
    for _ in 0..play.scale.choose(1, 4) {
        play.carry_on(100).await;
        let victim = play.random.random_range(0..play.stage.gateways.len());
        play.breaks("a gateway is killed");
        play.stage.gateways[victim].kill();
        play.until_whole().await;
        play.stage.gateways[victim].restart().await;
    }
    play.finish().await;
}
scenario!(a_gateway_is_killed on Remote, Redis, Nats, Postgres, PostgresRedis, PostgresNats);

/// A node for backends, which also does what only one node may do at a time, is killed; publishers go to another.
async fn a_worker_is_killed(name: &'static str, on: On) {
    let mut play = Play::begin(name, on, Cast::default()).await;
    for _ in 0..play.scale.choose(1, 4) {
        play.carry_on(100).await;
        let victim = play.random.random_range(0..play.stage.apis.len());
        play.breaks("a worker is killed");
        play.stage.apis[victim].kill();
        play.until_whole().await;
        play.carry_on(50).await;
        play.stage.apis[victim].restart().await;
    }
    play.finish().await;
}
scenario!(a_worker_is_killed on Remote, Redis, Nats, Postgres);

/// A node for clients stands still for longer than its engine's patience, and goes on as if nothing had been.
async fn a_gateway_is_frozen(name: &'static str, on: On) {
    let mut play = Play::begin(name, on, Cast::default()).await;
    let victim = play.random.random_range(0..play.stage.gateways.len());
    play.carry_on(100).await;
    play.breaks("a gateway is frozen");
    play.stage.gateways[victim].signal(Signal::STOP);
    play.endure(play.scale.choose(Duration::from_secs(3), Duration::from_secs(20))).await;
    play.stage.gateways[victim].signal(Signal::CONT);
    play.mended();
    play.until_whole().await;
    play.finish().await;
}
scenario!(a_gateway_is_frozen on Remote, Redis, Nats, Postgres);
