//! A file in which this server keeps what it must not forget: JSON, replaced whole and atomically, shared by processes
//! through a lock beside it.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::marker::PhantomData;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::Error;

/// The version of every such file so far.
pub(crate) const VERSION: u32 = 1;
/// Only the owner may read it.
const MODE: u32 = 0o600;

/// What such a file says. Its default is what a missing file says.
pub(crate) trait Content: Serialize + DeserializeOwned + Default {
    /// The version that it has.
    fn version(&self) -> u32;

    /// The error that this file, at this path, has this problem.
    fn problem(path: PathBuf, problem: String) -> Error;
}

/// Tells one state of the file from another: each write makes a new file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stamp {
    inode: u64,
    bytes: u64,
    modified: (i64, i64),
}

impl Stamp {
    fn of(metadata: &fs::Metadata) -> Self {
        Self { inode: metadata.ino(), bytes: metadata.size(), modified: (metadata.mtime(), metadata.mtime_nsec()) }
    }
}

/// A file of `C`.
pub(crate) struct StateFile<C> {
    path: PathBuf,
    content: PhantomData<fn() -> C>,
}

/// Holds other processes off until it is dropped.
pub(crate) struct Lock(#[expect(dead_code, reason = "closing the file ends the lock")] File);

impl<C: Content> StateFile<C> {
    pub(crate) fn new(path: PathBuf) -> Self {
        Self { path, content: PhantomData }
    }

    /// The stamp of the file as it is now; `None` if there is none.
    pub(crate) fn stamp(&self) -> Result<Option<Stamp>, Error> {
        match fs::metadata(&self.path) {
            Ok(metadata) => Ok(Some(Stamp::of(&metadata))),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(e) => Err(Error::file("read", &self.path, e)),
        }
    }

    /// Reads it.
    pub(crate) fn read(&self) -> Result<(C, Option<Stamp>), Error> {
        let failed = |e| Error::file("read", &self.path, e);
        let mut file = match File::open(&self.path) {
            Ok(file) => file,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok((C::default(), None)),
            Err(e) => return Err(failed(e)),
        };
        let stamp = Stamp::of(&file.metadata().map_err(failed)?);
        let mut text = String::new();
        file.read_to_string(&mut text).map_err(failed)?;
        let content: C = serde_json::from_str(&text).map_err(|e| {
            self.problem(format!("is damaged at line {}; restore it from a copy, or move it away", e.line()))
        })?;
        if content.version() != VERSION {
            return Err(self.problem(format!("has version {}; this server knows {VERSION}", content.version())));
        }
        Ok((content, Some(stamp)))
    }

    pub(crate) fn problem(&self, problem: String) -> Error {
        C::problem(self.path.clone(), problem)
    }

    /// Waits until no other process is changing the file.
    pub(crate) fn lock(&self) -> Result<Lock, Error> {
        let path = self.beside(".lock");
        let failed = |e| Error::file("lock (does its directory exist, and may this process write there?)", &path, e);
        let file =
            OpenOptions::new().create(true).truncate(false).write(true).mode(MODE).open(&path).map_err(failed)?;
        file.lock().map_err(failed)?;
        Ok(Lock(file))
    }

    /// Replaces it. When this returns, the new content survives a crash; if it fails, the old one stands.
    pub(crate) fn replace(&self, content: &C, _lock: &Lock) -> Result<Option<Stamp>, Error> {
        let temporary = self.beside(".tmp");
        self.write(content, &temporary).map_err(|e| {
            // What is left of it is of no use; the failure that is told is the first.
            let _ = fs::remove_file(&temporary);
            Error::file("write", &self.path, e)
        })?;
        self.stamp()
    }

    fn write(&self, content: &C, temporary: &Path) -> io::Result<()> {
        // Left over by a crash; it may have another mode.
        match fs::remove_file(temporary) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
            _ => {}
        }
        let mut text = serde_json::to_vec_pretty(content)?;
        text.push(b'\n');
        let mut file = OpenOptions::new().create_new(true).write(true).mode(MODE).open(temporary)?;
        file.write_all(&text)?;
        file.sync_all()?;
        fs::rename(temporary, &self.path)?;
        let directory = self.path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
        File::open(directory)?.sync_all()
    }

    fn beside(&self, suffix: &str) -> PathBuf {
        let mut name = self.path.clone().into_os_string();
        name.push(suffix);
        PathBuf::from(name)
    }
}
