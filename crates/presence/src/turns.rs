//! What is done with one session is done one after the other.

use std::hash::{BuildHasher as _, RandomState};

use fanfare_model::SessionId;
use tokio::sync::{Mutex, MutexGuard};

/// So many sessions can have their turn at once. A turn lasts a few round trips to the engine.
const TURNS: usize = 256;

/// A turn for each session; a few sessions share one.
pub(crate) struct Turns {
    turns: Vec<Mutex<()>>,
    hasher: RandomState,
}

impl Turns {
    pub(crate) fn new() -> Self {
        Self { turns: (0..TURNS).map(|_| Mutex::default()).collect(), hasher: RandomState::new() }
    }

    /// The turn of a session, until it is dropped.
    pub(crate) async fn of(&self, session: &SessionId) -> MutexGuard<'_, ()> {
        #[expect(clippy::cast_possible_truncation, reason = "only a choice of one of a few")]
        let turn = self.hasher.hash_one(session) as usize % TURNS;
        self.turns[turn].lock().await
    }
}
