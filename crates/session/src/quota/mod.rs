//! How much a user, a tenant and an address may have and do on this node.
//!
//! [`Quotas::session`] is asked before a session is registered and gives a [`Permit`], which the session holds;
//! [`Permit::subscription`] is asked before a subscription and gives a [`Place`], which the subscription holds; both
//! give back what they took when they are dropped. [`Quotas::publish`] is asked before events go to the bus. What is
//! not allowed is [`Exceeded`]: which [`Limit`], and when to try again.
//!
//! Rates are token buckets of 16 bytes without timers (`bucket.rs`). They live in tables of bounded size
//! (`rates.rs`), so that nobody fills memory by coming from many addresses. A limit that is not configured costs
//! nothing.

mod bucket;
mod counts;
mod exceeded;
mod limit;
mod metrics;
mod options;
mod permit;
mod rates;
mod subject;

use std::net::IpAddr;
use std::sync::Arc;

use fanfare_model::{Clock, Tenant, UserId};
use smallvec::SmallVec;

use bucket::Amount;
use counts::Counts;
use metrics::Handles;
use permit::Holder;
use rates::Rates;
use subject::Subject;

pub use exceeded::Exceeded;
pub use limit::{Limit, Measure, Scope};
pub use metrics::{EXCEEDED, FORGOTTEN, TRACKED, describe};
pub use options::{Limits, Options};
pub use permit::{Permit, Place};

/// A subject for each scope, at most.
type Subjects = SmallVec<[Subject; Scope::ALL.len()]>;

/// The limits of this node and what has been used up of them. Cheap to clone.
#[derive(Clone)]
pub struct Quotas {
    inner: Arc<Inner>,
}

struct Inner {
    options: Options,
    clock: Arc<dyn Clock>,
    /// One of each for every scope, in the order of [`Scope::ALL`].
    counts: [Counts; Scope::ALL.len()],
    rates: [Rates; Scope::ALL.len()],
    metrics: Handles,
}

impl Quotas {
    /// Nothing has been used up yet. `options` must be valid ([`Options::validate`]).
    pub fn new(options: Options, clock: Arc<dyn Clock>) -> Self {
        let counts = Scope::ALL.map(|scope| Counts::new(scope, &options.of(scope)));
        let rates = Scope::ALL.map(|scope| Rates::new(scope, &options.of(scope), options.tracked_max));
        Self { inner: Arc::new(Inner { options, clock, counts, rates, metrics: Handles::new() }) }
    }

    /// A place for one more session of this tenant, user and address. Nothing is taken if any of the three has none
    /// left.
    pub fn session(&self, tenant: &Tenant, user: Option<&UserId>, address: Option<IpAddr>) -> Result<Permit, Exceeded> {
        let limited = |scope: Scope| self.inner.counts[scope as usize].is_limited();
        let subjects = self.inner.subjects(tenant, user, address, limited);
        if subjects.is_empty() {
            return Ok(Permit::unlimited());
        }
        Holder::new(Arc::clone(&self.inner), subjects).map(Permit::new)
    }

    /// Accounts for `events` of `bytes` together that this tenant, user and address want to publish. Nothing is
    /// accounted for if any of the three may not now.
    ///
    /// A backend is nobody's user and many users' address: its doors give neither, so that only the tenant's limits
    /// hold.
    pub fn publish(
        &self,
        tenant: &Tenant,
        user: Option<&UserId>,
        address: Option<IpAddr>,
        events: u32,
        bytes: usize,
    ) -> Result<(), Exceeded> {
        let inner = &*self.inner;
        let subjects = inner.subjects(tenant, user, address, |scope| inner.rates[scope as usize].is_limited());
        if subjects.is_empty() {
            return Ok(());
        }
        let now = inner.clock.now();
        let amount = Amount { events: events.into(), bytes: bytes as u64 };
        for (at, subject) in subjects.iter().enumerate() {
            let scope = subject.scope();
            if let Err(exceeded) = inner.rates[scope as usize].spend(subject, amount, now) {
                // They who may were charged for what does not happen.
                for charged in &subjects[..at] {
                    inner.rates[charged.scope() as usize].give_back(charged, amount);
                }
                inner.metrics.exceeded(exceeded.limit);
                return Err(exceeded);
            }
        }
        Ok(())
    }
}

impl Inner {
    /// Those of the three that have limits of a sort, from the smallest to the largest: a user who has used up their
    /// own costs the tenant nothing.
    fn subjects(
        &self,
        tenant: &Tenant,
        user: Option<&UserId>,
        address: Option<IpAddr>,
        limited: impl Fn(Scope) -> bool,
    ) -> Subjects {
        let mut subjects = Subjects::new();
        if let Some(user) = user.filter(|_| limited(Scope::User)) {
            subjects.push(Subject::User(tenant.clone(), user.clone()));
        }
        if let Some(address) = address.filter(|_| limited(Scope::Address)) {
            subjects.push(Subject::address(address, self.options.ipv4_prefix, self.options.ipv6_prefix));
        }
        if limited(Scope::Tenant) {
            subjects.push(Subject::Tenant(tenant.clone()));
        }
        subjects
    }
}

#[cfg(test)]
mod tests;
