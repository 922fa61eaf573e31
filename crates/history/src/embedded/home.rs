//! The directory of a store: whether it is ours, and ours alone.
//!
//! `FANFARE` says that the directory is a store and in which format, `LOCK` is held by the process that uses
//! it, `wal/` is the write-ahead log, and `log/` is what fjall keeps.

use std::fs::{File, TryLockError};
use std::io::{self, ErrorKind, Read as _, Write as _};
use std::path::{Path, PathBuf};

const MARKER: &str = "FANFARE";
const MARKER_TEXT: &str = "Fanfare event store, format ";
/// 2: a write-ahead log of our own, and pages of events behind it.
const FORMAT: u32 = 2;
const LOCK: &str = "LOCK";
const DATABASE: &str = "log";
const WAL: &str = "wal";
const PROBE: &str = "PROBE";
/// What is found in a directory that nobody has used: the root of a fresh file system has it.
const LOST_AND_FOUND: &str = "lost+found";

/// As much as a write of some importance needs: with less free space there is no use in trying.
const PROBE_BYTES: usize = 1 << 20;

/// Why a store cannot be opened, for the operator.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// A value of the options is wrong.
    #[error("{0}")]
    Options(String),
    /// The directory holds something else.
    #[error(
        "{path} is not a Fanfare store and not empty (it has {found:?}); set the path to an empty directory or to \
         an existing store"
    )]
    Foreign {
        /// Which directory.
        path: PathBuf,
        /// Something that is in it.
        found: String,
    },
    /// A later version of Fanfare wrote it.
    #[error(
        "the store in {path} has format {found}, and this version of Fanfare knows up to {known}; use the version \
         that wrote it, or another directory"
    )]
    Newer {
        /// Which directory.
        path: PathBuf,
        /// Its format.
        found: u32,
        /// The latest format this program knows.
        known: u32,
    },
    /// An earlier version of Fanfare wrote it, in a format that is not read any more.
    #[error(
        "the store in {path} has format {found}, and this version of Fanfare reads only {known}; use the version \
         that wrote it, or another directory"
    )]
    Older {
        /// Which directory.
        path: PathBuf,
        /// Its format.
        found: u32,
        /// The format this program knows.
        known: u32,
    },
    /// It is damaged.
    #[error(
        "the store in {path} is damaged: {what}; restore it from a backup, or move the directory away to begin an \
         empty one"
    )]
    Corrupt {
        /// Which directory.
        path: PathBuf,
        /// What is wrong.
        what: String,
        /// What the store said.
        #[source]
        source: Option<Box<dyn std::error::Error + Send + Sync>>,
    },
    /// Another process has it open.
    #[error("the store in {path} is in use by another process; stop that one, or give each its own directory")]
    InUse {
        /// Which directory.
        path: PathBuf,
    },
    /// The directory cannot be made or written.
    #[error(
        "cannot write in {path}: {source}; make the directory writable for the user that runs Fanfare and see that \
         its disk has space, or set the path to another directory"
    )]
    NotWritable {
        /// Which directory.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
}

/// The directory of a store, locked.
pub(super) struct Home {
    path: PathBuf,
    /// Holding the file open holds the lock.
    _lock: File,
}

impl Home {
    /// Takes possession of `path`: makes it a store if there is none, or checks that it is one.
    pub(super) fn enter(path: &Path) -> Result<Self, OpenError> {
        let not_writable = |source| OpenError::NotWritable { path: path.to_owned(), source };
        std::fs::create_dir_all(path).map_err(not_writable)?;
        if let Some(found) = foreign(path).map_err(not_writable)? {
            return Err(OpenError::Foreign { path: path.to_owned(), found });
        }
        let lock = File::options().create(true).truncate(false).read(true).write(true).open(path.join(LOCK));
        let lock = lock.map_err(not_writable)?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(OpenError::InUse { path: path.to_owned() }),
            Err(TryLockError::Error(source)) => return Err(not_writable(source)),
        }
        let home = Self { path: path.to_owned(), _lock: lock };
        if !home.check_marker()? {
            home.write_marker().map_err(not_writable)?;
        }
        home.clear_unborn()?;
        Ok(home)
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn database(&self) -> PathBuf {
        self.path.join(DATABASE)
    }

    /// The directory of the write-ahead log.
    pub(super) fn wal(&self) -> PathBuf {
        self.path.join(WAL)
    }

    pub(super) fn corrupt(
        &self,
        what: impl Into<String>,
        source: Option<Box<dyn std::error::Error + Send + Sync>>,
    ) -> OpenError {
        OpenError::Corrupt { path: self.path.clone(), what: what.into(), source }
    }

    pub(super) fn not_writable(&self, source: io::Error) -> OpenError {
        OpenError::NotWritable { path: self.path.clone(), source }
    }

    /// Whether the disk takes writes now.
    pub(super) fn probe(&self) -> io::Result<()> {
        let path = self.path.join(PROBE);
        let tried = File::create(&path).and_then(|mut file| {
            file.write_all(&vec![1; PROBE_BYTES])?;
            file.sync_all()
        });
        // It only takes space, and is written over the next time.
        let _ = std::fs::remove_file(&path);
        tried
    }

    /// Whether there is a marker; an error if it is not of this format.
    fn check_marker(&self) -> Result<bool, OpenError> {
        let mut text = String::new();
        match File::open(self.path.join(MARKER)).and_then(|file| file.take(256).read_to_string(&mut text)) {
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(false),
            Err(error) if error.kind() == ErrorKind::InvalidData => text.clear(),
            Err(error) => return Err(self.not_writable(error)),
        }
        match text.trim_end().strip_prefix(MARKER_TEXT).and_then(|format| format.parse::<u32>().ok()) {
            Some(FORMAT) => Ok(true),
            Some(found) if found > FORMAT => Err(OpenError::Newer { path: self.path.clone(), found, known: FORMAT }),
            Some(found) if found > 0 => Err(OpenError::Older { path: self.path.clone(), found, known: FORMAT }),
            _ => Err(self.corrupt(format!("its file {MARKER} does not say which format it has"), None)),
        }
    }

    /// Makes sure that the directory itself, and what was made in it, is found again after a crash.
    pub(super) fn settle(&self) -> Result<(), OpenError> {
        let sync = |path: &Path| File::open(path).and_then(|directory| directory.sync_all());
        sync(&self.path).map_err(|error| self.not_writable(error))?;
        // One that may be passed but not read belongs to somebody who has made our directory long before.
        if let Some(parent) = self.path.canonicalize().ok().as_deref().and_then(Path::parent) {
            sync(parent).or_else(|error| match error.kind() {
                ErrorKind::PermissionDenied => Ok(()),
                _ => Err(self.not_writable(error)),
            })?;
        }
        Ok(())
    }

    /// Before anything else, so that a start that is interrupted leaves a directory that is known as ours.
    fn write_marker(&self) -> io::Result<()> {
        let new = self.path.join(format!("{MARKER}.new"));
        let mut file = File::create(&new)?;
        writeln!(file, "{MARKER_TEXT}{FORMAT}")?;
        file.sync_all()?;
        std::fs::rename(new, self.path.join(MARKER))?;
        File::open(&self.path)?.sync_all()
    }

    /// Removes a database whose creation was interrupted before it could hold anything; fjall would not go on
    /// with it. It writes `version` when it is complete and its first tables only after that.
    fn clear_unborn(&self) -> Result<(), OpenError> {
        let database = self.database();
        let exists = |name: &str| database.join(name).try_exists().map_err(|error| self.not_writable(error));
        if !exists("")? || exists("version")? {
            return Ok(());
        }
        let holds_tables = match std::fs::read_dir(database.join("keyspaces")) {
            Ok(mut tables) => tables.next().is_some(),
            Err(error) if error.kind() == ErrorKind::NotFound => false,
            Err(error) => return Err(self.not_writable(error)),
        };
        if holds_tables {
            return Err(self.corrupt(format!("the file {DATABASE}/version is missing"), None));
        }
        std::fs::remove_dir_all(&database).map_err(|error| self.not_writable(error))
    }
}

/// Something in the directory that shows that it is used for something else.
fn foreign(path: &Path) -> io::Result<Option<String>> {
    let mut found = None;
    for entry in std::fs::read_dir(path)? {
        let name = entry?.file_name().to_string_lossy().into_owned();
        match name.as_str() {
            MARKER => return Ok(None),
            // Written before the marker.
            LOCK | LOST_AND_FOUND | "FANFARE.new" => {}
            _ => found = Some(name),
        }
    }
    Ok(found)
}
