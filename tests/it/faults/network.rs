//! The network between the nodes and the engine.

use std::time::Duration;

use fanfare_test_engines::{Cut, Mistreatment};
use fanfare_tests::faults::{Cast, On, Play};
use rand::Rng as _;

use super::scenario;

/// Connections to the engine are broken, all at once, again and again.
async fn connections_are_cut(name: &'static str, on: On) {
    let mut play = Play::begin(name, on, Cast::default()).await;
    for _ in 0..play.scale.choose(4, 15) {
        play.carry_on(40).await;
        let how = if play.random.random() { Cut::Fin } else { Cut::Reset };
        play.breaks("the connections to the engine are cut");
        play.stage.engine.network().cut(how);
        play.until_whole().await;
    }
    play.finish().await;
}
scenario!(connections_are_cut on Remote, Redis, Nats, Postgres, PostgresRedis, PostgresNats);

/// Nothing passes between the nodes and the engine, and then everything does.
async fn the_network_parts(name: &'static str, on: On) {
    let mut play = Play::begin(name, on, Cast::default()).await;
    for _ in 0..play.scale.choose(1, 4) {
        play.carry_on(100).await;
        let outage = play.scale.choose(4_000, play.random.random_range(2_000..15_000));
        play.breaks("the network parts");
        play.stage.engine.network().part(true);
        play.endure(Duration::from_millis(outage)).await;
        // A path that was away for long mostly takes its connections with it.
        if play.random.random() {
            play.stage.engine.network().cut(Cut::Reset);
        }
        play.stage.engine.network().part(false);
        play.mended();
        play.until_whole().await;
    }
    play.finish().await;
}
scenario!(the_network_parts on Remote, Redis, Nats, Postgres);

/// Of what the engine announces, 30 % are dropped, 30 % come twice and 30 % after the next.
async fn announcements_are_lost(name: &'static str, on: On) {
    let play = Play::begin(name, on, Cast::default()).await;
    play.breaks("announcements are dropped, doubled and moved");
    let (network, protocol) = play.stage.engine.carrier();
    let seed = play.seed();
    network.mistreat(Some(Mistreatment { protocol, seed, dropped: 30, doubled: 30, moved: 30 }));
    // Connections that are there are left alone, so they are made anew.
    network.cut(Cut::Reset);
    play.carry_on(play.scale.choose(400, 2_500)).await;
    play.until_whole().await;
    let mistreated = play.stage.engine.carrier().0.mistreated();
    assert!(mistreated > 50, "only {mistreated} announcements were mistreated");
    play.finish().await;
}
scenario!(announcements_are_lost on Redis, Nats, Postgres, PostgresRedis, PostgresNats);
