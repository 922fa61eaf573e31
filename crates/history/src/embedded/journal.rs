//! Making the journal sure again after the disk failed to confirm it.
//!
//! When `fsync` fails, the system may have dropped what it could not write, or keep it in memory and call it
//! clean; the next `fsync` then succeeds without having written it. What was in doubt would look stored until
//! the machine goes down, and take everything behind it in the journal with it. So the journal is copied: what
//! can be read of it now is written to a new file and confirmed anew.

use std::fs::File;
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};

const BLOCK_BYTES: usize = 1 << 16;

/// Copies the journal that fjall writes to: of its files `<number>.jnl` the one with the highest number. Older
/// ones were confirmed when they were finished. The database must not be open.
pub(super) fn rewrite_active(database: &Path) -> io::Result<()> {
    let Some(journal) = active(database)? else { return Ok(()) };
    let copy = journal.with_extension("copy");
    copy_sparse(&journal, &copy)?;
    std::fs::rename(&copy, &journal)?;
    File::open(database)?.sync_all()
}

fn active(database: &Path) -> io::Result<Option<PathBuf>> {
    let mut active: Option<(u64, PathBuf)> = None;
    for entry in std::fs::read_dir(database)? {
        let path = entry?.path();
        let is_journal = path.extension().is_some_and(|extension| extension == "jnl");
        let number = path.file_stem().and_then(|stem| stem.to_str()?.parse().ok()).filter(|_| is_journal);
        if let Some(number) = number.filter(|number| active.as_ref().is_none_or(|(highest, _)| number > highest)) {
            active = Some((number, path));
        }
    }
    Ok(active.map(|(_, path)| path))
}

/// Copies a file; blocks of zeros become holes, as in the journal's unused end.
fn copy_sparse(from: &Path, to: &Path) -> io::Result<()> {
    let mut from = File::open(from)?;
    let mut to = File::create(to)?;
    let mut block = vec![0; BLOCK_BYTES];
    let mut length = 0;
    loop {
        let read = from.read(&mut block)?;
        if read == 0 {
            break;
        }
        length += read as u64;
        if block[..read].iter().all(|byte| *byte == 0) {
            to.seek(SeekFrom::Start(length))?;
        } else {
            to.write_all(&block[..read])?;
        }
    }
    to.set_len(length)?;
    to.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_active_journal_is_copied_byte_by_byte() {
        let dir = tempfile::tempdir().unwrap();
        let mut bytes = vec![7; BLOCK_BYTES + 5];
        bytes.resize(4 * BLOCK_BYTES, 0);
        bytes.extend([9; 3]);
        bytes.extend(vec![0; 2 * BLOCK_BYTES]);
        std::fs::write(dir.path().join("9.jnl"), b"older").unwrap();
        std::fs::write(dir.path().join("10.jnl"), &bytes).unwrap();
        std::fs::write(dir.path().join("version"), b"x").unwrap();
        rewrite_active(dir.path()).unwrap();
        assert!(std::fs::read(dir.path().join("10.jnl")).unwrap() == bytes);
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 3);
        assert_eq!(active(tempfile::tempdir().unwrap().path()).unwrap(), None);
    }
}
