//! What a session and its subscriptions hold; given back when dropped.

use std::sync::Arc;

use super::{Exceeded, Inner, Measure, Subjects};

/// A session's place. Dropped with the session.
#[must_use = "the place is free again when this is dropped"]
pub struct Permit(Option<Arc<Holder>>);

/// A subscription's place. Dropped with the subscription; it may outlive the session.
#[must_use = "the place is free again when this is dropped"]
pub struct Place(Option<Arc<Holder>>);

/// Who is charged for a session and its subscriptions.
pub(super) struct Holder {
    inner: Arc<Inner>,
    subjects: Subjects,
}

impl Permit {
    /// Of a session that has no limits.
    pub(super) fn unlimited() -> Self {
        Self(None)
    }

    pub(super) fn new(holder: Holder) -> Self {
        Self(Some(Arc::new(holder)))
    }

    /// A place for one more subscription of this session, charged to the same user, address and tenant.
    pub fn subscription(&self) -> Result<Place, Exceeded> {
        let Some(holder) = &self.0 else { return Ok(Place(None)) };
        holder.take(Measure::Subscriptions)?;
        Ok(Place(Some(Arc::clone(holder))))
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        if let Some(holder) = &self.0 {
            holder.give_back(Measure::Connections);
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if let Some(holder) = &self.0 {
            holder.give_back(Measure::Subscriptions);
        }
    }
}

impl Holder {
    /// Takes a session's place for each of `subjects`, or for none.
    pub(super) fn new(inner: Arc<Inner>, subjects: Subjects) -> Result<Self, Exceeded> {
        let holder = Self { inner, subjects };
        holder.take(Measure::Connections)?;
        Ok(holder)
    }

    fn take(&self, measure: Measure) -> Result<(), Exceeded> {
        for (at, subject) in self.subjects.iter().enumerate() {
            if let Err(exceeded) = self.inner.counts[subject.scope() as usize].take(subject, measure) {
                for taken in &self.subjects[..at] {
                    self.inner.counts[taken.scope() as usize].give_back(taken, measure);
                }
                self.inner.metrics.exceeded(exceeded.limit);
                return Err(exceeded);
            }
        }
        Ok(())
    }

    fn give_back(&self, measure: Measure) {
        for subject in &self.subjects {
            self.inner.counts[subject.scope() as usize].give_back(subject, measure);
        }
    }
}
