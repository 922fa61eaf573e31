//! What the registry does by the clock, and when something changes for many sessions at once.

use std::sync::Arc;
use std::time::Duration;

use fanfare_auth::Auth;
use fanfare_lifecycle::{Lifecycle, TaskKind};
use rand::seq::SliceRandom as _;

use super::{Entry, Registry};
use crate::Goodbye;

/// How often the registry looks for what is due. Expiry may come this much before the token's `exp`, never after.
/// Short, because the sessions of one tick are reminded together: of 100,000 pinged every 25 s, 400.
const TICK: Duration = Duration::from_millis(100);

impl Registry {
    /// Starts the task that ends sessions. Call once per node.
    pub fn start(&self, life: &Lifecycle, auth: &Auth) {
        let (registry, stop, mut revocations) = (self.clone(), life.hard().clone(), auth.revocations());
        let drain = life.soft().clone();
        life.spawn(TaskKind::Critical, "watch sessions", async move {
            let mut tick = tokio::time::interval(TICK);
            tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
            let mut ticks = 0_usize;
            loop {
                tokio::select! {
                    _ = tick.tick() => {
                        registry.end_expired();
                        registry.end_aged(ticks);
                        ticks += 1;
                    }
                    () = revocations.changed() => registry.end_revoked(&revocations),
                    () = drain.cancelled() => break,
                    () = stop.cancelled() => return,
                }
            }
            tokio::select! {
                () = registry.drain() => {}
                () = stop.cancelled() => {}
            }
        });
    }

    /// Starts the task that reminds the sessions of this worker to ping and to renew their resume tokens. Call once
    /// per worker, on its runtime: to wake a task of another thread costs more than the ping.
    pub fn start_worker(&self, life: &Lifecycle) {
        let ping = ticks_in(self.inner.options.ping_interval.get());
        let (renew, young) = renewal(self.inner.options.resume_window.get());
        let renew = ticks_in(renew);
        if ping == 0 && renew == 0 {
            return;
        }
        let (registry, drain) = (self.clone(), life.soft().clone());
        life.spawn(TaskKind::Critical, "remind sessions", async move {
            let mut tick = tokio::time::interval(TICK);
            tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
            for turn in 0_usize.. {
                tokio::select! {
                    _ = tick.tick() => {
                        registry.remind(turn, ping, |entry| entry.bell.ping());
                        let born = registry.inner.clock.now().minus(young);
                        registry.remind(turn, renew, |entry| {
                            if entry.details.lock().info.connected_at <= born {
                                entry.bell.renew();
                            }
                        });
                    }
                    () = drain.cancelled() => return,
                }
            }
        });
    }

    pub(super) fn end_expired(&self) {
        let due = self.inner.clock.now().plus(TICK);
        let mut table = self.inner.table.lock();
        while let Some((at, key)) = table.expiring.first().copied() {
            if at > due {
                return;
            }
            table.expiring.pop_first();
            let entry = Arc::clone(&table.sessions[key]);
            let mut details = entry.details.lock();
            let ends_at = details.info.expires_at.filter(|ends_at| *ends_at > due);
            // Warned, and due again at its end.
            details.due = ends_at;
            match ends_at {
                None => entry.bell.end(Goodbye::Expired),
                Some(ends_at) => {
                    entry.bell.expiring();
                    table.expiring.insert((ends_at, key));
                }
            }
        }
    }

    fn end_revoked(&self, revocations: &fanfare_auth::Revocations) {
        for (_, entry) in &self.inner.table.lock().sessions {
            if revocations.is_revoked(&entry.details.lock().principal) {
                entry.bell.end(Goodbye::Revoked);
            }
        }
    }

    /// Visits the slice of this worker's sessions whose turn it is: each once in `every` turns, none if that is 0.
    fn remind(&self, turn: usize, every: usize, remind: impl Fn(&Entry)) {
        if every == 0 {
            return;
        }
        // The low slots last: they are taken first, and nobody needs a ping right after the welcome.
        let first = every - 1 - turn % every;
        let table = self.inner.table.lock();
        for key in (first..table.sessions.capacity()).step_by(every) {
            if let Some(entry) = table.sessions.get(key).filter(|entry| entry.worker == self.worker) {
                remind(entry);
            }
        }
    }

    /// Ends sessions that are old enough: each at its own moment between 80 and 100 % of the age.
    fn end_aged(&self, ticks: usize) {
        /// Each session's age is looked at so often.
        const EVERY: Duration = Duration::from_secs(8);
        let age_max = self.inner.options.age_max.get();
        if age_max.is_zero() {
            return;
        }
        let now = self.inner.clock.now();
        let every = ticks_in(EVERY);
        let table = self.inner.table.lock();
        for key in (ticks % every..table.sessions.capacity()).step_by(every) {
            let Some(entry) = table.sessions.get(key) else { continue };
            let age = now.since(entry.details.lock().info.connected_at);
            // The slot stands in for a random number that would have to be kept.
            let share = 80 + u32::try_from(key.wrapping_mul(7919) % 21).unwrap_or(0);
            if age >= age_max * share / 100 {
                entry.bell.end(Goodbye::Aged);
            }
        }
    }

    /// Sends every session away, in random order, spread evenly over the drain window.
    async fn drain(&self) {
        /// How often a few are sent away.
        const STEP: Duration = Duration::from_millis(50);
        let mut waiting: Vec<_> = {
            let mut table = self.inner.table.lock();
            table.draining = true;
            table.sessions.iter().map(|(_, entry)| Arc::clone(entry)).collect()
        };
        waiting.shuffle(&mut rand::rng());
        let steps = (self.inner.options.drain_window.get().as_millis() / STEP.as_millis()).max(1);
        let per_step = waiting.len().div_ceil(usize::try_from(steps).unwrap_or(usize::MAX));
        while !waiting.is_empty() {
            let rest = waiting.len().saturating_sub(per_step);
            for entry in waiting.drain(rest..) {
                entry.bell.end(Goodbye::Draining);
            }
            tokio::time::sleep(STEP).await;
        }
    }
}

/// How often resume tokens are renewed, and how old a session is then at least: so that there is always one with
/// half of `window` left, and nobody gets a second one at once.
fn renewal(window: Duration) -> (Duration, Duration) {
    (window * 3 / 8, window / 8)
}

/// How many ticks there are in `span`; none in none.
fn ticks_in(span: Duration) -> usize {
    usize::try_from(span.as_millis().div_ceil(TICK.as_millis())).unwrap_or(usize::MAX)
}
