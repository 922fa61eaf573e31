//! What is kept of the topics of each kind that the cases use.

use std::sync::Arc;
use std::time::Duration;

use crate::{Durability, Keep};

/// At most five events.
pub(super) const FIVE: &str = "five";
/// At most fifty.
pub(super) const FIFTY: &str = "fifty";
/// As many bytes as three events of the suite have.
pub(super) const BYTES: &str = "bytes";
/// Nothing older than a minute.
pub(super) const MINUTE: &str = "minute";
/// Nothing older than a second.
pub(super) const SECOND: &str = "second";
/// Ids for a minute.
pub(super) const WINDOW: &str = "window";
/// The kind of a durability.
pub(super) const DURABILITIES: [(&str, Durability); 3] =
    [("committed", Durability::Committed), ("buffered", Durability::Buffered), ("unsure", Durability::None)];

/// The kinds that keep less than everything; of any other kind everything is kept ([`everything`]). For engines that
/// must know when they start ([`crate::Retention::PerKind`]).
pub fn kinds() -> Vec<(&'static str, Keep)> {
    let events = |max| Keep { events_max: Some(max), ..everything() };
    let age = |seconds| Keep { age_max: Some(Duration::from_secs(seconds)), ..everything() };
    let size = super::numbered(10).size() as u64;
    let mut kinds = vec![
        (FIVE, events(5)),
        (FIFTY, events(50)),
        (BYTES, Keep { bytes_max: Some(3 * size), ..everything() }),
        (MINUTE, age(60)),
        (SECOND, age(1)),
        (WINDOW, Keep { idempotency_window: Duration::from_secs(60), ..everything() }),
    ];
    kinds.extend(DURABILITIES.map(|(kind, durability)| (kind, Keep { durability, ..everything() })));
    kinds
}

/// What keeps everything.
pub fn everything() -> Keep {
    Keep { events_max: None, bytes_max: None, age_max: None, ..Keep::default() }
}

/// What is kept of a kind.
pub(super) fn keep_of(kind: &str) -> Arc<Keep> {
    Arc::new(kinds().into_iter().find(|(name, _)| *name == kind).map_or_else(everything, |(_, keep)| keep))
}
