//! Group commit of the bare disk: records written as many at a time as are in flight, and synced.

use std::fs::File;
use std::io::Write as _;
use std::time::{Duration, Instant};

/// Bytes of a record.
const RECORD: usize = 256;

/// Records a second that a file takes with so many in flight: one `write` and one `fdatasync` for all of them.
pub(crate) fn rate(in_flight: usize, duration: Duration) -> anyhow::Result<f64> {
    let dir = tempfile::tempdir()?;
    let mut file = File::create(dir.path().join("bare"))?;
    let group = vec![b'r'; RECORD * in_flight];
    let mut records = 0_usize;
    let begin = Instant::now();
    while begin.elapsed() < duration {
        file.write_all(&group)?;
        file.sync_data()?;
        records += in_flight;
    }
    Ok(records as f64 / begin.elapsed().as_secs_f64())
}
