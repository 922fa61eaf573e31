//! Tests of the engines from outside.

#![expect(clippy::unwrap_used, reason = "this is a test; clippy knows only its functions marked as such")]

mod crash;
mod disk;
mod engines;
mod model;
mod refusal;

use tempfile::TempDir;

/// A directory for an engine; in memory where there is such a place, because these cases are about what the engine does,
/// and a disk that is shared with others takes most of their time.
fn directory() -> TempDir {
    tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap()
}
