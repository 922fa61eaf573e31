//! Leaves a hook out that does not answer.

use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

use crate::BreakerOptions;

/// Counts failures in a row. After too many, nobody may ask for a while; then one may, and what becomes of that
/// decides for all.
pub(crate) struct Breaker {
    failures_max: u32,
    pause: Duration,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    failures: u32,
    /// It is open: from then on one may try.
    opened_until: Option<Instant>,
    /// One is trying.
    is_tried: bool,
}

/// What a failure has led to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum After {
    /// It is the first one.
    First,
    /// There were others.
    More,
    /// The hook is left out from now on.
    Opened,
}

impl Breaker {
    pub(crate) fn new(options: &BreakerOptions) -> Self {
        Self { failures_max: options.failures, pause: options.pause.get(), state: Mutex::default() }
    }

    /// Leave to ask, or none.
    pub(crate) fn enter(&self, now: Instant) -> Option<Pass<'_>> {
        let mut state = self.state.lock();
        let tries = match state.opened_until {
            None => false,
            Some(until) if now >= until && !state.is_tried => true,
            Some(_) => return None,
        };
        state.is_tried |= tries;
        Some(Pass { breaker: self, tries })
    }
}

/// Leave to ask one question. Dropped without a word (the client is gone), it says nothing about the application.
pub(crate) struct Pass<'a> {
    breaker: &'a Breaker,
    /// It is the one that tries whether the application is back.
    tries: bool,
}

impl Pass<'_> {
    /// There was an answer. Says whether the hook had been left out until now.
    pub(crate) fn succeeded(self) -> bool {
        let mut state = self.breaker.state.lock();
        state.failures = 0;
        state.opened_until.take().is_some()
    }

    /// There was none.
    pub(crate) fn failed(self, now: Instant) -> After {
        let mut state = self.breaker.state.lock();
        state.failures = state.failures.saturating_add(1);
        let fails_enough = self.breaker.failures_max > 0 && state.failures >= self.breaker.failures_max;
        // What was asked before it opened does not make the pause longer.
        if self.tries || fails_enough && state.opened_until.is_none() {
            state.opened_until = Some(now + self.breaker.pause);
            return After::Opened;
        }
        if state.failures == 1 { After::First } else { After::More }
    }
}

impl Drop for Pass<'_> {
    fn drop(&mut self) {
        if self.tries {
            self.breaker.state.lock().is_tried = false;
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn breaker(failures: u32) -> Breaker {
        Breaker::new(&BreakerOptions { failures, pause: fanfare_model::Duration::from_secs(5) })
    }

    fn fail(breaker: &Breaker, now: Instant) -> Option<After> {
        breaker.enter(now).map(|pass| pass.failed(now))
    }

    #[test]
    fn it_opens_after_failures_in_a_row_and_one_tries_later() {
        let (breaker, start) = (breaker(3), Instant::now());
        assert_eq!(fail(&breaker, start), Some(After::First));
        assert_eq!(fail(&breaker, start), Some(After::More));
        assert!(!breaker.enter(start).unwrap().succeeded());
        assert_eq!(fail(&breaker, start), Some(After::First));
        assert_eq!(fail(&breaker, start), Some(After::More));
        assert_eq!(fail(&breaker, start), Some(After::Opened));
        assert!(breaker.enter(start + Duration::from_millis(4999)).is_none());
        let later = start + Duration::from_secs(5);
        let first = breaker.enter(later).unwrap();
        assert!(breaker.enter(later).is_none(), "two try at a time");
        // It goes away before it knows; the next one tries.
        drop(first);
        assert_eq!(fail(&breaker, later), Some(After::Opened));
        assert!(breaker.enter(later + Duration::from_secs(4)).is_none());
        assert!(breaker.enter(later + Duration::from_secs(5)).unwrap().succeeded());
        assert!(breaker.enter(later).is_some() && breaker.enter(later).is_some());
    }

    #[test]
    fn what_was_asked_before_it_opened_does_not_make_the_pause_longer() {
        let (breaker, start) = (breaker(1), Instant::now());
        let early = breaker.enter(start).unwrap();
        assert_eq!(fail(&breaker, start), Some(After::Opened));
        assert_eq!(early.failed(start + Duration::from_secs(4)), After::More);
        assert!(breaker.enter(start + Duration::from_secs(5)).is_some());
    }

    #[test]
    fn it_can_be_turned_off() {
        let (breaker, start) = (breaker(0), Instant::now());
        assert!((0..1000).all(|_| fail(&breaker, start).is_some_and(|after| after != After::Opened)));
    }

    proptest! {
        /// Whatever happens, it is asked again once the pause is over, and at most one tries at a time.
        #[test]
        fn nobody_is_left_out_for_ever(steps in prop::collection::vec((0..3_u8, 0..3000_u64), 1..200)) {
            let (breaker, mut now) = (breaker(2), Instant::now());
            let mut in_a_row = 0;
            let mut held = Vec::new();
            for (step, millis) in steps {
                now += Duration::from_millis(millis);
                let Some(pass) = breaker.enter(now) else {
                    prop_assert!(in_a_row >= 2);
                    held.clear();
                    continue;
                };
                match step {
                    0 => { in_a_row = 0; pass.succeeded(); }
                    1 => { in_a_row += 1; pass.failed(now); }
                    _ => held.push(pass),
                }
                prop_assert!(held.iter().filter(|pass| pass.tries).count() <= 1);
            }
            drop(held);
            prop_assert!(breaker.enter(now + Duration::from_secs(5)).is_some());
        }
    }
}
