//! Many clients at once.

use std::time::Duration;

use fanfare_tests::faults::{Cast, On, Play, Scale};
use fanfare_tests::{Config, PATIENCE, Server, Transport};
use futures_util::future::join_all;

use super::scenario;

/// Readers of one topic each, over a connection that costs the test little.
fn crowd(readers: u32, gateways: usize) -> Cast {
    Cast {
        publishers: 2,
        pause: Duration::from_millis(50),
        readers,
        transports: vec![Transport::WsJson],
        topics: 40,
        topics_each: 1,
        gateways,
        config: Config::new()
            .drain_over(Scale::of_this_run().choose(1, 5))
            .session("sessions_per_user_max = 10000")
            .ws("unconnected_max = 10000"),
    }
}

/// Every gateway is restarted, one after the other, as a deployment does; clients are sent away over the drain window
/// and go to the others.
async fn gateways_are_restarted_in_turn(name: &'static str, on: On) {
    let readers = Scale::of_this_run().choose(200, 2_000);
    let mut play = Play::begin(name, on, crowd(readers, 3)).await;
    for gateway in 0..play.stage.gateways.len() {
        play.carry_on(20).await;
        play.breaks("a gateway is restarted");
        play.stage.gateways[gateway].terminate();
        play.stage.gateways[gateway].ended(PATIENCE * 2).await;
        play.stage.gateways[gateway].restart().await;
        play.until_whole().await;
    }
    play.finish().await;
}
scenario!(gateways_are_restarted_in_turn on Remote, Redis);

/// The gateways die, all clients come back at once.
async fn everybody_comes_back_at_once(name: &'static str, on: On) {
    let readers = Scale::of_this_run().choose(400, 5_000);
    let mut play = Play::begin(name, on, crowd(readers, 2)).await;
    play.carry_on(20).await;
    play.breaks("every gateway is killed");
    for gateway in &mut play.stage.gateways {
        gateway.kill();
    }
    join_all(play.stage.gateways.iter_mut().map(Server::restart)).await;
    play.mended();
    play.until_whole().await;
    play.finish().await;
}
scenario!(everybody_comes_back_at_once on Remote, Redis);
