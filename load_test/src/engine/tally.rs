//! What is counted while it runs.

use hdrhistogram::Histogram;

use crate::verify::Violations;

/// The counts of one event loop since it began. Histograms are in microseconds and are taken out by whoever reads them.
#[derive(Debug)]
pub(crate) struct Tally {
    /// Readers that are subscribed now.
    pub(crate) live: u64,
    /// How often a reader became subscribed.
    pub(crate) subscribed: u64,
    /// How often a connection was refused, or failed before its reader was subscribed.
    pub(crate) refused: u64,
    /// Subscribed readers whose connection the server ended.
    pub(crate) lost: u64,
    /// Events that came, each reader's counted; repeated ones not.
    pub(crate) deliveries: u64,
    /// Bytes that readers got.
    pub(crate) bytes: u64,
    /// Gaps that the server itself told of.
    pub(crate) told_gaps: u64,
    /// Replies that a scenario counts.
    pub(crate) replies: u64,
    /// Events of other runs.
    pub(crate) foreign: u64,
    /// Events that were acknowledged to the publisher.
    pub(crate) published: u64,
    /// Events whose publishing failed.
    pub(crate) unpublished: u64,
    pub(crate) violations: Violations,
    /// From the intended time of publishing to the arrival at a reader.
    pub(crate) latency: Histogram<u64>,
    /// From the first byte of a connection to its subscription.
    pub(crate) connect: Histogram<u64>,
    /// From the intended time of publishing to the acknowledgement.
    pub(crate) acknowledge: Histogram<u64>,
    /// The first thing that went wrong, in words.
    pub(crate) complaint: Option<String>,
}

/// An empty histogram of microseconds, up to an hour, exact to three digits.
pub(crate) fn histogram() -> Histogram<u64> {
    Histogram::new_with_bounds(1, 3_600_000_000, 3).expect("the bounds are valid")
}

/// Records a time; what is longer than the histogram holds counts as its longest.
pub(crate) fn record(histogram: &mut Histogram<u64>, micros: u64) {
    histogram.saturating_record(micros.max(1));
}

impl Default for Tally {
    fn default() -> Self {
        Self {
            live: 0,
            subscribed: 0,
            refused: 0,
            lost: 0,
            deliveries: 0,
            bytes: 0,
            told_gaps: 0,
            replies: 0,
            foreign: 0,
            published: 0,
            unpublished: 0,
            violations: Violations::default(),
            latency: histogram(),
            connect: histogram(),
            acknowledge: histogram(),
            complaint: None,
        }
    }
}

impl Tally {
    /// Keeps the first complaint.
    pub(crate) fn complain(&mut self, text: impl FnOnce() -> String) {
        self.complaint.get_or_insert_with(text);
    }
}
