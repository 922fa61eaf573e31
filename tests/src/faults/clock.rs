//! A node's clock that is stepped while it runs, by Debian's `libfaketime`.

use std::fs;
use std::path::Path;

use tempfile::TempDir;

use crate::Config;

const LIBRARY: &str = "/usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1";

/// The wall clock of every node that is started with [`SteppedClock::rule`]. What measures spans (the monotonic clock)
/// is left alone, as a stepped clock leaves it.
pub struct SteppedClock {
    folder: TempDir,
}

impl SteppedClock {
    /// A clock that is right.
    pub fn new() -> Self {
        assert!(Path::new(LIBRARY).is_file(), "there is no {LIBRARY}: run dev/setup, which installs it");
        let clock = Self { folder: tempfile::tempdir().expect("a temporary directory can be made") };
        clock.step(0);
        clock
    }

    /// The configuration of nodes whose clock this is.
    #[must_use]
    pub fn rule(&self, config: Config) -> Config {
        config
            .variable("LD_PRELOAD", LIBRARY)
            .variable("FAKETIME_TIMESTAMP_FILE", self.file())
            .variable("FAKETIME_CACHE_DURATION", "1")
            .variable("FAKETIME_DONT_FAKE_MONOTONIC", "1")
    }

    /// Sets it so many seconds from the right time; nodes see it within a second.
    pub fn step(&self, seconds: i32) {
        // Replaced and not rewritten: a node must not read half of it.
        let next = self.folder.path().join("next");
        fs::write(&next, format!("{seconds:+}")).expect("it is our own directory");
        fs::rename(next, self.file()).expect("it is our own directory");
    }

    fn file(&self) -> String {
        self.folder.path().join("now").display().to_string()
    }
}

impl Default for SteppedClock {
    fn default() -> Self {
        Self::new()
    }
}
