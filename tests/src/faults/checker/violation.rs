//! What a history must not show.

use std::fmt;

/// A promise that was broken, one kind a promise: C1–C11 of the reliability reference.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Broken {
    /// C1: an acknowledged event is not in the log, or not where it was said to be.
    AckLost,
    /// C1, C2: a reader lacks an event that is kept, and was not told.
    Hole,
    /// C1: a reader stopped before the end of the log.
    EndMissing,
    /// C2: a reader was given an event twice.
    Duplicate,
    /// C2: a reader was given an older event after a newer.
    Backwards,
    /// C3: two events at one place.
    TwoAtOnePlace,
    /// C3: an event's data is not what was published.
    Altered,
    /// C4: one id at two places.
    TwoPlaces,
    /// C5: an event lies before another that was acknowledged before the first was sent.
    OutOfTime,
    /// Conformance case 5: an event's time is before that of an older event.
    TimeBackwards,
    /// C6: a gap that is not true: the events are there, or the log did not fork or begin anew.
    FalseGap,
    /// C6: a gap that does not join what the reader had.
    CrookedGap,
    /// C7: events of another life of the log, or of a fork, without a word.
    Untold,
    /// C8: delivered after the rights had ended.
    AfterRevocation,
    /// C9: presence does not show who is there.
    Presence,
    /// C11: an event that nobody published, or that was refused.
    Phantom,
}

/// One breach, with what shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// Which promise.
    pub broken: Broken,
    /// Who, where and what.
    pub detail: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {}", self.broken, self.detail)
    }
}

/// The breaches of a run. All are counted, the first of each kind are kept.
#[derive(Debug, Default)]
pub(super) struct Violations {
    found: Vec<Violation>,
    count: usize,
}

/// Breaches of one kind that are kept: more say nothing new.
const KEPT_MAX: usize = 20;

impl Violations {
    pub(super) fn add(&mut self, broken: Broken, detail: impl FnOnce() -> String) {
        self.count += 1;
        if self.found.iter().filter(|violation| violation.broken == broken).count() < KEPT_MAX {
            self.found.push(Violation { broken, detail: detail() });
        }
    }

    pub(super) fn all(&self) -> &[Violation] {
        &self.found
    }

    pub(super) fn count(&self) -> usize {
        self.count
    }
}
