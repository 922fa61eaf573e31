//! The bus from outside: publish, subscribe, fall behind, lose announcements.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking, also in what tests share")]

mod brokers;
mod churn;
mod composed;
mod failover;
mod far;
mod in_place;
mod lossy;
mod planted;
mod resume;
mod rules;
mod shared_reads;
mod signals;
mod slow;
mod storm;
mod support;
