//! Clocks are wrong.

use fanfare_tests::faults::{Cast, On, Play, SteppedClock};
use fanfare_tests::token::{Token, issued_long_ago};
use fanfare_tests::{Api, PATIENCE, Server, eventually};

use super::scenario;

/// Whether a node's clock is so many seconds from ours: a token that was issued just now is of the future for a clock
/// that is behind, and one that is good for two minutes has ended for one that is ahead.
async fn is_felt(server: &Server, seconds: i32) -> Option<()> {
    let token =
        if seconds > 0 { Token::server().claim("iat", issued_long_ago()).expires_in(120) } else { Token::server() };
    let api = Api::with_token(server.admin(), Some(token.mint()));
    let answer = api.send(api.request(http::Method::GET, "/v1/topics")).await.ok()?;
    let expected = if seconds == 0 { 200 } else { 401 };
    (answer.status == expected).then_some(())
}

/// The wall clock of every node goes back by minutes and forth again: order, positions and what is kept do not depend on
/// it, and the times of events never go back.
async fn the_clock_is_stepped(name: &'static str, on: On) {
    let clock = SteppedClock::new();
    let cast = Cast::default();
    let config = clock.rule(cast.config.clone());
    let play = Play::begin(name, on, Cast { config, ..cast }).await;
    for _ in 0..play.scale.choose(1, 2) {
        for seconds in [-600, -60, 300, 0] {
            play.carry_on(50).await;
            play.breaks("the clock is stepped");
            clock.step(seconds);
            for server in &play.stage.apis {
                eventually("the node to have the other time", PATIENCE, || is_felt(server, seconds)).await;
            }
            play.until_whole().await;
        }
    }
    play.finish().await;
}
scenario!(the_clock_is_stepped on Embedded, Remote, Redis, Postgres);
