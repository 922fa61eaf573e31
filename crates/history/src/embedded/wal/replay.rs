//! Reading the write-ahead log after a crash.
//!
//! What the disk had not confirmed may be there in part. So reading ends at the first frame that is not whole, and
//! what comes after it is as if it had never been written. But if a later frame says that the disk had confirmed
//! what is damaged, the file has been damaged since then, and going on would lose events silently.

use std::io;
use std::path::Path;

use bytes::Bytes;

use super::entry::{self, Entry};
use super::frame::{self, FILE_HEAD, FRAME_MAGIC, FileHead};
use super::path;
use crate::record::codec::Damage;

/// Why the write-ahead log cannot be read.
#[derive(Debug, thiserror::Error)]
pub(in crate::embedded) enum ReplayError {
    #[error("the write-ahead log cannot be read")]
    Io(#[from] io::Error),
    #[error("its write-ahead log has no file {0}.wal")]
    Missing(u64),
    #[error("the file {0}.wal of its write-ahead log does not begin as one")]
    Head(u64),
    #[error("the file {number}.wal of its write-ahead log is damaged at byte {at}")]
    Damaged { number: u64, at: usize },
    #[error("a frame in the file {number}.wal of its write-ahead log makes no sense")]
    Entry {
        number: u64,
        #[source]
        damage: Damage,
    },
}

/// Reads the files `numbers`, which are to begin at `from`, and hands every entry with the number of its frame to
/// `each`. Returns the number of the last frame; 0 if there is none.
pub(in crate::embedded) fn replay(
    dir: &Path,
    from: u64,
    numbers: &[u64],
    mut each: impl FnMut(u64, Entry),
) -> Result<u64, ReplayError> {
    let mut last = 0;
    // Where reading had to end though the file had not. What was written after it counts for nothing.
    let mut stopped: Option<(u64, usize)> = None;
    for (expected, number) in (from..).zip(numbers) {
        if *number != expected {
            return Err(ReplayError::Missing(expected));
        }
        let bytes = Bytes::from(std::fs::read(path(dir, *number))?);
        let head = FileHead::decode(&bytes).filter(|head| head.number == *number).ok_or(ReplayError::Head(*number))?;
        let mut position = FILE_HEAD;
        let mut ended = false;
        while !ended {
            let Some((frame, payload, next)) = frame::read(head, &bytes, position) else { break };
            (position, ended) = (next, frame.ends);
            if let Some((number, at)) = stopped {
                // A file is confirmed only together with those before it.
                if frame.synced > FILE_HEAD as u64 {
                    return Err(ReplayError::Damaged { number, at });
                }
                continue;
            }
            let entries = entry::read(&bytes.slice_ref(payload))
                .map_err(|damage| ReplayError::Entry { number: *number, damage })?;
            for entry in entries {
                each(frame.number, entry);
            }
            last = frame.number;
        }
        if !ended {
            if was_confirmed(head, &bytes, position) {
                return Err(ReplayError::Damaged { number: *number, at: position });
            }
            stopped = stopped.or(Some((*number, position)));
        }
    }
    // The one after an ended file was made before its end was written.
    let next = from + numbers.len() as u64;
    match stopped {
        Some(_) => Ok(last),
        None => Err(ReplayError::Missing(next)),
    }
}

/// Whether a frame behind `position` says that the disk had confirmed what is there.
fn was_confirmed(file: FileHead, bytes: &[u8], position: usize) -> bool {
    let behind = bytes.get(position + 1..).unwrap_or_default();
    memchr::memmem::find_iter(behind, FRAME_MAGIC)
        .any(|at| frame::read(file, bytes, position + 1 + at).is_some_and(|(head, ..)| head.synced > position as u64))
}

#[cfg(test)]
mod tests {
    use super::super::{Frame, Wal, put_ceiling};
    use super::*;

    /// Writes a file of frames with the ceilings 0, 1, …, each followed by a sync where `synced` says so; returns
    /// where each frame begins.
    fn write(dir: &Path, synced: &[bool]) -> Vec<usize> {
        let mut wal = Wal::begin(dir, 1, 1, None).unwrap();
        let mut places = Vec::new();
        for (n, synced) in synced.iter().enumerate() {
            places.push(usize::try_from(wal.bytes()).unwrap());
            let mut frame = Frame::new();
            put_ceiling(frame.payload(), n as u64);
            wal.write(&mut frame).unwrap();
            if *synced {
                wal.sync().unwrap();
            }
        }
        places.push(usize::try_from(wal.bytes()).unwrap());
        places
    }

    fn ceilings(dir: &Path) -> Result<Vec<u64>, ReplayError> {
        let mut found = Vec::new();
        replay(dir, 1, &super::super::numbers(dir).unwrap(), |_, entry| {
            let Entry::Ceiling(ceiling) = entry else { panic!("only ceilings were written") };
            found.push(ceiling);
        })?;
        Ok(found)
    }

    /// The power goes at every byte: what had been confirmed is there, and nothing that was not written.
    #[test]
    fn a_torn_end_is_cut_off() {
        let dir = tempfile::tempdir().unwrap();
        let places = write(dir.path(), &[false, true, false, false]);
        let whole = std::fs::read(path(dir.path(), 1)).unwrap();
        for cut in places[2]..=places[4] {
            for rest in [0, 0xa5] {
                let mut torn = whole.clone();
                torn[cut..].fill(rest);
                std::fs::write(path(dir.path(), 1), &torn).unwrap();
                // What is behind the cut may happen to be what was there.
                let intact = whole.iter().zip(&torn).take_while(|(was, is)| was == is).count();
                let expected = if intact < places[3] {
                    2
                } else if intact < places[4] {
                    3
                } else {
                    4
                };
                assert_eq!(ceilings(dir.path()).unwrap(), (0..expected).collect::<Vec<_>>(), "cut at {cut}");
            }
        }
        // The disk wrote a later block, but not an earlier one.
        let mut torn = whole;
        torn[places[2] + 5] ^= 1;
        std::fs::write(path(dir.path(), 1), &torn).unwrap();
        assert_eq!(ceilings(dir.path()).unwrap(), [0, 1]);
    }

    #[test]
    fn damage_of_what_was_confirmed_is_not_taken_for_a_torn_end() {
        let dir = tempfile::tempdir().unwrap();
        let places = write(dir.path(), &[true, false, true, false]);
        let whole = std::fs::read(path(dir.path(), 1)).unwrap();
        for at in places[0]..places[2] {
            let mut damaged = whole.clone();
            damaged[at] ^= 1;
            std::fs::write(path(dir.path(), 1), &damaged).unwrap();
            let error = ceilings(dir.path()).unwrap_err();
            assert!(matches!(error, ReplayError::Damaged { number: 1, at: found } if found <= at), "{error}");
        }
        for at in 0..FILE_HEAD {
            let mut damaged = whole.clone();
            damaged[at] ^= 1;
            std::fs::write(path(dir.path(), 1), &damaged).unwrap();
            assert!(matches!(ceilings(dir.path()), Err(ReplayError::Head(1))));
        }
    }

    /// Every entry from a file on, with the number of its frame.
    fn found(dir: &Path, from: u64) -> Result<Vec<(u64, Entry)>, ReplayError> {
        let mut found = Vec::new();
        let numbers: Vec<u64> = super::super::numbers(dir).unwrap().into_iter().filter(|n| *n >= from).collect();
        replay(dir, from, &numbers, |number, entry| found.push((number, entry)))?;
        Ok(found)
    }

    fn put(wal: &mut Wal, n: u64) {
        let mut frame = Frame::new();
        put_ceiling(frame.payload(), n);
        wal.write(&mut frame).unwrap();
    }

    #[test]
    fn files_follow_each_other() {
        let dir = tempfile::tempdir().unwrap();
        let mut first = Wal::begin(dir.path(), 1, 1, None).unwrap();
        put(&mut first, 10);
        let mut second = Wal::begin(dir.path(), 2, 0, None).unwrap();
        assert_eq!(found(dir.path(), 1).unwrap(), [(1, Entry::Ceiling(10))], "one that is ready to be used");
        second.follow(&mut first).unwrap();
        assert_eq!(found(dir.path(), 1).unwrap().len(), 1);
        put(&mut second, 20);
        assert_eq!(found(dir.path(), 1).unwrap(), [(1, Entry::Ceiling(10)), (3, Entry::Ceiling(20))]);
        // A file is used again: nothing of its former life is seen.
        let used = super::super::remove_before(dir.path(), 2, u64::MAX).unwrap();
        let mut third = Wal::begin(dir.path(), 3, 0, used.as_deref()).unwrap();
        third.follow(&mut second).unwrap();
        assert_eq!(found(dir.path(), 2).unwrap(), [(3, Entry::Ceiling(20))]);
        put(&mut third, 30);
        assert_eq!(found(dir.path(), 2).unwrap(), [(3, Entry::Ceiling(20)), (5, Entry::Ceiling(30))]);
        assert_eq!(found(dir.path(), 3).unwrap(), [(5, Entry::Ceiling(30))]);
        assert!(matches!(found(dir.path(), 1), Err(ReplayError::Missing(1))));
        std::fs::remove_file(path(dir.path(), 3)).unwrap();
        assert!(matches!(found(dir.path(), 2), Err(ReplayError::Missing(3))));
    }

    #[test]
    fn the_end_of_a_file_may_be_torn_although_the_next_one_was_begun() {
        let dir = tempfile::tempdir().unwrap();
        let mut first = Wal::begin(dir.path(), 1, 1, None).unwrap();
        put(&mut first, 10);
        put(&mut first, 11);
        let end = usize::try_from(first.bytes()).unwrap();
        let mut second = Wal::begin(dir.path(), 2, 0, None).unwrap();
        second.follow(&mut first).unwrap();
        put(&mut second, 20);
        let mut bytes = std::fs::read(path(dir.path(), 1)).unwrap();
        bytes[end - 1] ^= 1;
        std::fs::write(path(dir.path(), 1), bytes).unwrap();
        // None of it was confirmed, so the disk may have written the later file first.
        assert_eq!(found(dir.path(), 1).unwrap(), [(1, Entry::Ceiling(10))]);
        second.sync().unwrap();
        put(&mut second, 21);
        assert!(matches!(found(dir.path(), 1), Err(ReplayError::Damaged { number: 1, .. })));
    }
}
