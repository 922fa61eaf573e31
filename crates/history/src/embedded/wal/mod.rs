//! The write-ahead log: what was appended since it was last moved to the store, in the order of writing.
//!
//! Files `<number>.wal` are written one after the other. When the recent events are moved to the store a new file
//! is begun, and the older ones are used again for later numbers: writing over blocks that a file has already is
//! several times as fast to confirm as making it longer.

mod entry;
mod frame;
mod replay;

use std::fs::File;
use std::io::{self, ErrorKind};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use frame::{FILE_HEAD, FileHead, Head};

pub(super) use entry::{Entry, put_ceiling, put_topic};
pub(super) use frame::Frame;
pub(super) use replay::{ReplayError, replay};

/// By how much a file is made longer at once, with zeros: as long as its blocks are its own already, confirming
/// a write needs no change of the file system. 1 MiB is some thousands of events and a few milliseconds.
const FILL_BYTES: u64 = 1 << 20;

/// The end of the write-ahead log, where it is written.
pub(super) struct Wal {
    head: FileHead,
    file: File,
    /// Where the next frame goes.
    position: u64,
    /// Up to where the file is on the disk for sure.
    synced: u64,
    /// Up to where the file has blocks.
    filled: u64,
    /// The number of the next frame.
    next_frame: u64,
    /// The file before this one, while it may not be on the disk.
    previous: Option<File>,
    #[cfg(test)]
    pub(super) fail_sync: std::sync::Arc<std::sync::atomic::AtomicBool>,
}

impl Wal {
    /// Begins the file of this number, with what is left of `used`, a file that is not needed any more. When it
    /// returns the file is found after a crash.
    pub(super) fn begin(dir: &Path, number: u64, next_frame: u64, used: Option<&Path>) -> io::Result<Self> {
        let new = dir.join(format!("{number}.new"));
        match used {
            Some(used) => std::fs::rename(used, &new)?,
            None => drop(File::create(&new)?),
        }
        let file = File::options().write(true).open(&new)?;
        let head = FileHead { number, secret: rand::random() };
        file.write_all_at(&head.encode(), 0)?;
        file.sync_all()?;
        std::fs::rename(&new, path(dir, number))?;
        File::open(dir)?.sync_all()?;
        let filled = file.metadata()?.len();
        let position = FILE_HEAD as u64;
        Ok(Self {
            head,
            file,
            position,
            synced: position,
            filled,
            next_frame,
            previous: None,
            #[cfg(test)]
            fail_sync: std::sync::Arc::default(),
        })
    }

    pub(super) fn number(&self) -> u64 {
        self.head.number
    }

    /// The number that the next frame will have.
    pub(super) fn next_frame(&self) -> u64 {
        self.next_frame
    }

    /// How many bytes of frames the file has.
    pub(super) fn bytes(&self) -> u64 {
        self.position
    }

    /// Hands a frame to the operating system. If that fails the frame counts for nothing: the next one is
    /// written over it.
    pub(super) fn write(&mut self, frame: &mut Frame) -> io::Result<()> {
        self.write_frame(frame, false)
    }

    fn write_frame(&mut self, frame: &mut Frame, ends: bool) -> io::Result<()> {
        let head = Head { number: self.next_frame, synced: self.synced, ends };
        self.next_frame += 1;
        let bytes = frame.seal(self.head, self.position, head);
        let end = self.position + bytes.len() as u64;
        self.file.write_all_at(bytes, self.position)?;
        if end > self.filled {
            self.fill_after(end);
        }
        self.position = end;
        Ok(())
    }

    /// Gives the file blocks ahead. If the disk is full it has none, and writes are slower to confirm.
    fn fill_after(&mut self, end: u64) {
        self.filled = end.next_multiple_of(FILL_BYTES);
        let zeros = vec![0; usize::try_from(self.filled - end).unwrap_or(0)];
        if self.file.write_all_at(&zeros, end).is_err() {
            self.filled = end;
        }
    }

    /// Returns when every frame is on the disk. If that fails, all that was written since the last time is in
    /// doubt for ever.
    pub(super) fn sync(&mut self) -> io::Result<()> {
        #[cfg(test)]
        if self.fail_sync.swap(false, std::sync::atomic::Ordering::SeqCst) {
            return Err(io::Error::other("the test says that the disk fails"));
        }
        if let Some(previous) = &self.previous {
            previous.sync_data()?;
            self.previous = None;
        }
        self.file.sync_data()?;
        self.synced = self.position;
        Ok(())
    }

    /// Ends the file `earlier` and goes on after it.
    pub(super) fn follow(&mut self, earlier: &mut Self) -> io::Result<()> {
        let previous = earlier.file.try_clone()?;
        earlier.write_frame(&mut Frame::new(), true)?;
        self.replace(earlier);
        self.previous = Some(previous);
        Ok(())
    }

    /// Goes on instead of the file `earlier`, which is in doubt and not needed any more.
    pub(super) fn replace(&mut self, earlier: &Self) {
        self.next_frame = earlier.next_frame;
        #[cfg(test)]
        self.fail_sync.clone_from(&earlier.fail_sync);
    }

    /// The file before this one is not needed any more.
    pub(super) fn forget_previous(&mut self) {
        self.previous = None;
    }
}

fn path(dir: &Path, number: u64) -> PathBuf {
    dir.join(format!("{number}.wal"))
}

/// The numbers of the files there are, in order.
pub(super) fn numbers(dir: &Path) -> io::Result<Vec<u64>> {
    let mut numbers = Vec::new();
    for entry in std::fs::read_dir(dir)? {
        let path = entry?.path();
        let is_wal = path.extension().is_some_and(|extension| extension == "wal");
        numbers.extend(path.file_stem().and_then(|stem| stem.to_str()?.parse::<u64>().ok()).filter(|_| is_wal));
    }
    numbers.sort_unstable();
    Ok(numbers)
}

/// Removes files that are not needed any more: all before `from`, and what a crash has left of beginning one. One
/// that is not larger than `keep_bytes_max` is kept, to be used again; returns its path.
pub(super) fn remove_before(dir: &Path, from: u64, keep_bytes_max: u64) -> io::Result<Option<PathBuf>> {
    let used = dir.join("used");
    let remove = |path: &Path| match std::fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    };
    for entry in std::fs::read_dir(dir)? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "new") {
            remove(&path)?;
        }
    }
    for number in numbers(dir)?.into_iter().take_while(|number| *number < from) {
        let path = path(dir, number);
        if std::fs::metadata(&path)?.len() > keep_bytes_max || used.try_exists()? {
            remove(&path)?;
        } else {
            std::fs::rename(&path, &used)?;
        }
    }
    Ok(used.try_exists()?.then_some(used))
}

/// Where each frame of a file ends.
#[cfg(test)]
pub(super) fn frame_ends(bytes: &[u8]) -> Vec<usize> {
    let head = FileHead::decode(bytes).expect("the head of a file");
    let first = Some(FILE_HEAD);
    let next = |position: &usize| frame::read(head, bytes, *position).map(|(.., next)| next);
    std::iter::successors(first, next).skip(1).collect()
}
