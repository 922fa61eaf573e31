//! Rights end, whatever is broken.

use fanfare_test_engines::Cut;
use fanfare_tests::faults::{Cast, On, Play};

use super::scenario;

/// Readers are blocked while the connections to the engine break, and the nodes that put them out are killed and started
/// again: they come back all the time, and are given nothing more. The others miss nothing.
async fn a_revocation_holds(name: &'static str, on: On) {
    let mut play = Play::begin(name, on, Cast::default()).await;
    for round in 0..play.scale.choose(1, 3) {
        play.carry_on(50).await;
        play.breaks("the connections to the engine are cut while readers are blocked");
        play.stage.engine.network().cut(Cut::Reset);
        play.revoke(2 * round + 1).await;
        play.revoke(2 * round + 2).await;
        play.until_whole().await;
        let gateway = usize::try_from(round).expect("a small number") % play.stage.gateways.len();
        play.breaks("a gateway is killed");
        play.stage.gateways[gateway].kill();
        play.stage.gateways[gateway].restart().await;
        play.until_whole().await;
        play.carry_on(100).await;
    }
    play.finish().await;
}
scenario!(a_revocation_holds on Remote, Redis, Nats, Postgres);
