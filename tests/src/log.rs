//! What a child process printed.

use std::io::{BufRead, BufReader, Read};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use parking_lot::Mutex;

/// The most lines that are shown when a test fails.
const SHOWN_LINES_MAX: usize = 120;

/// Every line that a process wrote to its standard output and error.
#[derive(Clone, Default)]
pub struct LogCapture {
    lines: Arc<Mutex<Vec<String>>>,
    /// How many streams are still read.
    streams: Arc<AtomicUsize>,
}

impl LogCapture {
    /// Reads `stream` to its end on a thread of its own.
    pub fn follow(&self, stream: impl Read + Send + 'static) {
        let (lines, streams) = (Arc::clone(&self.lines), Arc::clone(&self.streams));
        streams.fetch_add(1, Ordering::Release);
        std::thread::spawn(move || {
            let mut reader = BufReader::new(stream);
            let mut line = Vec::new();
            while reader.read_until(b'\n', &mut line).is_ok_and(|n| n > 0) {
                lines.lock().push(String::from_utf8_lossy(&line).trim_end().to_owned());
                line.clear();
            }
            streams.fetch_sub(1, Ordering::Release);
        });
    }

    /// Whether everything is here: every stream has ended, which may be a moment after the process has.
    pub fn is_whole(&self) -> bool {
        self.streams.load(Ordering::Acquire) == 0
    }

    /// Whether a line contains `text`.
    pub fn contains(&self, text: &str) -> bool {
        self.lines.lock().iter().any(|line| line.contains(text))
    }

    /// Everything so far.
    pub fn text(&self) -> String {
        self.lines.lock().join("\n")
    }

    /// Prints the end of it, for a test that is failing.
    pub fn show(&self, whose: &str) {
        let lines = self.lines.lock();
        let skipped = lines.len().saturating_sub(SHOWN_LINES_MAX);
        eprintln!("--- {whose}: last {} of {} lines", lines.len() - skipped, lines.len());
        for line in &lines[skipped..] {
            eprintln!("{line}");
        }
        eprintln!("--- end of {whose}");
    }
}
