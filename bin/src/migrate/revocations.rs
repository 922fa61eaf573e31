//! What was revoked, where one side keeps it in the log that its nodes share, and the other in a file of its own. Between two
//! logs it moves like any topic.

use std::sync::Arc;

use fanfare_auth::{Auth, RevocationChange, Revoked};
use fanfare_model::Clock;
use fanfare_session::revocations::{change, draft, topic};

use super::copy::publish;
use super::walk::Walk;
use crate::config::Config;
use crate::failure::{Code, Failure};
use crate::serve::dev;
use crate::serve::engine::Kept;

/// One side of the move: how it is configured, and what it keeps.
pub(super) struct Side<'a>(pub &'a Config, pub &'a Kept);

/// Keeps at the new place what is in force at the old one; says how much that is.
pub(super) async fn carry(from: Side<'_>, to: Side<'_>, clock: &Arc<dyn Clock>) -> Result<u64, Failure> {
    let known = auth(from.0, clock)?;
    if from.0.is_cluster() {
        learn(from.1, &known).await?;
    }
    let revoked = known.all_revoked();
    if revoked.is_empty() {
        return Ok(0);
    }
    if to.0.is_cluster() {
        tell(to.1, &revoked).await?;
    } else {
        auth(to.0, clock)?.take_over(&revoked).map_err(|error| dev::refused(&error))?;
    }
    Ok(revoked.len() as u64)
}

/// What a node knows that is by itself, from its file.
fn auth(config: &Config, clock: &Arc<dyn Clock>) -> Result<Auth, Failure> {
    let revocations_file = config.auth_of_node().revocations_file;
    let options = fanfare_auth::Options { revocations_file, ..fanfare_auth::Options::default() };
    Auth::new(options, Arc::clone(clock)).map_err(|error| dev::refused(&error))
}

async fn learn(from: &Kept, known: &Auth) -> Result<(), Failure> {
    let topic = topic();
    let mut walk = Walk::from(from, &topic, 0);
    while let Some(event) = walk.event().await? {
        let change = change(&event).map_err(|error| {
            Failure::because(Code::MoveFailed, "something that was revoked cannot be understood", error)
        })?;
        known.learn(&change);
    }
    Ok(())
}

async fn tell(to: &Kept, revoked: &[Revoked]) -> Result<(), Failure> {
    let drafts = revoked.iter().map(|revoked| draft(&RevocationChange::Revoked(revoked.clone()), ""));
    publish(to, &topic(), drafts.collect()).await
}
