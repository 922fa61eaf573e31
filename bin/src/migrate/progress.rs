//! How far it is, for whoever watches.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

/// A bar on a terminal; nothing elsewhere.
pub(super) struct Progress(ProgressBar);

impl Progress {
    /// Of so many topics.
    pub(super) fn new(topics: usize) -> Self {
        let bar = ProgressBar::new(0);
        let style = ProgressStyle::with_template("{msg:>9} {bar:40} {pos}/{len} topics, {elapsed}, {eta} left");
        // An error: the template is wrong, and it is ours.
        bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
        let progress = Self(bar);
        progress.begin("moved", topics);
        progress.0.enable_steady_tick(Duration::from_millis(200));
        progress
    }

    /// Begins the next part.
    pub(super) fn begin(&self, what: &'static str, topics: usize) {
        self.0.reset();
        self.0.set_length(u64::try_from(topics).unwrap_or(u64::MAX));
        self.0.set_message(what);
    }

    /// Another topic is done.
    pub(super) fn topic(&self) {
        self.0.inc(1);
    }

    pub(super) fn end(&self) {
        self.0.finish_and_clear();
    }
}
