//! A worker says what it did with a lease.

use fanfare_model::{Position, TopicKey};

use crate::handle::key;
use crate::{Act, Error, Handle, LeaseId, Name};

/// What became of a lease, or of a part of it.
#[derive(Debug, Clone)]
pub struct Ack {
    /// Which topic.
    pub topic: TopicKey,
    /// Which consumer.
    pub consumer: Name,
    /// Which lease.
    pub lease: LeaseId,
    /// What is to be done with it.
    pub act: Act,
}

impl Handle {
    /// Acknowledges events of a lease, gives them back, or asks for more time. Returns the position up to which
    /// everything is done with, over all leases of the consumer.
    ///
    /// Answered when it is kept ([`crate::Options::durability`]). Fails with [`Error::LeaseEnded`] if the lease is over;
    /// then nothing was changed, and what was left of it is or will be given out again.
    pub async fn ack(&self, ack: Ack) -> Result<Position, Error> {
        let options = &self.shared.options;
        let act = match ack.act {
            Act::Release { retry_after } => {
                Act::Release { retry_after: retry_after.min(options.retry_after_max.get()) }
            }
            Act::Extend(time) => Act::Extend(time.min(options.lease_max.get())),
            done => done,
        };
        let key = key(&ack.topic, &ack.consumer);
        // More time, and giving back, may be lost in a power cut: the lease ends by itself then.
        let commit = matches!(act, Act::UpTo(_) | Act::All);
        let (position, ended) = self
            .change(&key, commit, |found| {
                let mut progress = found.ok_or(Error::NotFound)?;
                let leases = progress.leases.len();
                progress.settle(ack.lease, act, self.shared.clock.now()).ok_or(Error::LeaseEnded)?;
                let told = (progress.done(), progress.leases.len() < leases);
                Ok((Some(progress), told))
            })
            .await?;
        if ended {
            let metrics = &self.shared.metrics;
            if commit { &metrics.acknowledged } else { &metrics.released }.increment(1);
        }
        Ok(position)
    }
}
