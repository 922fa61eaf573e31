//! The engine's server ends, comes back, forgets, is slow.

use std::time::Duration;

use fanfare_tests::faults::{Cast, On, Play};

use super::scenario;

/// The server that keeps the log is killed and started again. It keeps what it acknowledged over that.
async fn the_engine_is_killed(name: &'static str, on: On) {
    let mut play = Play::begin(name, on, Cast::default()).await;
    for _ in 0..play.scale.choose(1, 4) {
        play.carry_on(100).await;
        play.breaks("the engine is killed");
        play.stage.engine.kill();
        play.suffer(3, Duration::from_secs(3)).await;
        play.stage.engine.restart().await;
        play.mended();
        play.until_whole().await;
    }
    play.finish().await;
}
scenario!(the_engine_is_killed on Remote, Redis, Nats, Postgres, PostgresRedis, PostgresNats);

/// The server that keeps the log is asked to end and started again.
async fn the_engine_is_restarted(name: &'static str, on: On) {
    let mut play = Play::begin(name, on, Cast::default()).await;
    for _ in 0..play.scale.choose(1, 4) {
        play.carry_on(100).await;
        play.stage.engine.stop().await;
        play.breaks("the engine is restarted");
        play.stage.engine.restart().await;
        play.mended();
        play.until_whole().await;
    }
    play.finish().await;
}
scenario!(the_engine_is_restarted on Remote, Redis, Nats, Postgres);

/// A server without a disk is killed and comes back empty: every log begins anew, and every reader is told.
async fn the_engine_forgets(name: &'static str, on: On) {
    let mut play = Play::begin(name, on, Cast::default()).await;
    for _ in 0..play.scale.choose(1, 3) {
        play.carry_on(100).await;
        play.recorder.may_lose_all();
        play.breaks("the engine forgets everything");
        play.stage.engine.kill();
        play.stage.engine.restart_empty().await;
        play.mended();
        play.recorder.must_keep();
        play.until_whole().await;
        // Every topic is to have something in its new life.
        play.carry_on(100).await;
    }
    play.finish().await;
}
scenario!(the_engine_forgets on Redis, Nats);

/// Every answer of the engine is late, for a while.
async fn the_engine_is_slow(name: &'static str, on: On) {
    let play = Play::begin(name, on, Cast { publishers: 6, ..Cast::default() }).await;
    for _ in 0..play.scale.choose(1, 3) {
        for (ms, rate) in [(50, None), (250, None), (5, Some(200_000))] {
            play.carry_on(30).await;
            play.breaks("the engine is slow");
            play.stage.engine.network().latency(Duration::from_millis(ms));
            play.stage.engine.network().bytes_per_second(rate);
            play.carry_on(50).await;
            play.until_whole().await;
        }
        play.stage.engine.network().latency(Duration::ZERO);
        play.stage.engine.network().bytes_per_second(None);
    }
    play.finish().await;
}
scenario!(the_engine_is_slow on Remote, Redis, Nats, Postgres);

/// What carries events between nodes is killed and started again; the log is another server.
async fn the_carrier_is_killed(name: &'static str, on: On) {
    let play = Play::begin(name, on, Cast::default()).await;
    for _ in 0..play.scale.choose(1, 4) {
        play.carry_on(100).await;
        play.breaks("the carrier is killed");
        play.stage.engine.kill_carrier();
        // The log needs no carrier: publishing goes on.
        play.carry_on(30).await;
        play.stage.engine.restart_carrier().await;
        play.mended();
        play.until_whole().await;
    }
    play.finish().await;
}
scenario!(the_carrier_is_killed on PostgresRedis, PostgresNats);
