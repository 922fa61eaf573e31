//! What the bus counts.

use std::sync::OnceLock;

use fanfare_model::GapReason;
use metrics::{Counter, Gauge, counter, describe_counter, describe_gauge, gauge};

use crate::entry::Form;

/// Events accepted by the broker, by outcome `stored` or `duplicate`.
pub const PUBLISHED: &str = "fanfare_events_published_total";
/// Events refused or failed, by error code.
pub const PUBLISH_FAILED: &str = "fanfare_events_publish_failed_total";
/// Letters to dead-letter topics, by outcome `kept` or `lost` (they did not fit there, or could not be stored).
pub const DEAD_LETTERS: &str = "fanfare_dead_letters_total";
/// How often an event was encoded, by form. Does not grow with the number of readers.
pub const ENCODED: &str = "fanfare_events_encoded_total";
/// Signals announced on companions of topics; they are not stored.
pub const SIGNALS: &str = "fanfare_signals_total";
/// Subscriptions opened, by where they began: `now`, `continued`, `history`, `gap`.
pub const SUBSCRIBED: &str = "fanfare_subscriptions_opened_total";
/// Subscriptions now.
pub const SUBSCRIPTIONS: &str = "fanfare_subscriptions";
/// Topics with readers now.
pub const TAILS: &str = "fanfare_tails";
/// Bytes in the rings of all tails now.
pub const RING_BYTES: &str = "fanfare_ring_bytes";
/// Gaps told to readers, by reason.
pub const GAPS: &str = "fanfare_gaps_total";
/// Live readers that fell behind their topic's ring, by what their policy did.
pub const SLOW: &str = "fanfare_slow_readers_total";
/// Pages of history given to readers that were behind. One that many asked for at once is read once and counts for each.
pub const REPLAY_PAGES: &str = "fanfare_replay_pages_total";
/// Heads of topics compared with the engine's, because announcements may have been lost.
pub const HEAD_CHECKS: &str = "fanfare_head_checks_total";
/// Holes in what the engine announced, filled from the log.
pub const HOLES: &str = "fanfare_holes_filled_total";

/// Describes them to the recorder. Called once at start.
pub fn describe() {
    describe_counter!(PUBLISHED, "events accepted, by outcome");
    describe_counter!(PUBLISH_FAILED, "events refused or failed, by error code");
    describe_counter!(DEAD_LETTERS, "letters to dead-letter topics, by outcome");
    describe_counter!(ENCODED, "encodings of events, by form; independent of the number of readers");
    describe_counter!(SIGNALS, "signals announced about topics, never stored");
    describe_counter!(SUBSCRIBED, "subscriptions opened, by where they began");
    describe_gauge!(SUBSCRIPTIONS, "subscriptions now");
    describe_gauge!(TAILS, "topics with readers now");
    describe_gauge!(RING_BYTES, "bytes in the rings of all tails now");
    describe_counter!(GAPS, "gaps told to readers, by reason");
    describe_counter!(SLOW, "live readers that fell behind, by what their policy did");
    describe_counter!(REPLAY_PAGES, "pages of history given to readers that were behind");
    describe_counter!(HEAD_CHECKS, "heads of topics compared with the engine's");
    describe_counter!(HOLES, "holes in announcements that were filled from the log");
}

pub(crate) fn encoded(form: Form) {
    // Once per event and form; still kept as handles, because this is on the way of every event.
    static HANDLES: OnceLock<[Counter; Form::ALL.len()]> = OnceLock::new();
    HANDLES.get_or_init(|| Form::ALL.map(|form| counter!(ENCODED, "form" => form.as_str())))[form as usize]
        .increment(1);
}

pub(crate) fn gap(reason: GapReason) {
    counter!(GAPS, "reason" => reason.as_str()).increment(1);
}

/// Handles of one hub.
pub(crate) struct Handles {
    pub(crate) subscriptions: Gauge,
    pub(crate) tails: Gauge,
    pub(crate) ring_bytes: Gauge,
    pub(crate) replay_pages: Counter,
    pub(crate) holes: Counter,
    pub(crate) head_checks: Counter,
    pub(crate) stored: Counter,
    pub(crate) duplicate: Counter,
    pub(crate) signals: Counter,
}

impl Handles {
    pub(crate) fn new() -> Self {
        Self {
            subscriptions: gauge!(SUBSCRIPTIONS),
            tails: gauge!(TAILS),
            ring_bytes: gauge!(RING_BYTES),
            replay_pages: counter!(REPLAY_PAGES),
            holes: counter!(HOLES),
            head_checks: counter!(HEAD_CHECKS),
            stored: counter!(PUBLISHED, "outcome" => "stored"),
            duplicate: counter!(PUBLISHED, "outcome" => "duplicate"),
            signals: counter!(SIGNALS),
        }
    }
}
