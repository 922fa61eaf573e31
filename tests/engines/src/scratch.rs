//! Directories of servers, and what is left of those whose process was killed.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Once;

use tempfile::TempDir;

const PREFIX: &str = "fanfare-engine-";

/// A directory that goes with its value. What earlier processes left behind is removed first, once per process: a
/// server in a `static` is never dropped, and a killed test drops nothing.
pub(crate) fn directory() -> TempDir {
    static SWEPT: Once = Once::new();
    SWEPT.call_once(|| sweep(&std::env::temp_dir()));
    let prefix = format!("{PREFIX}{}-", std::process::id());
    TempDir::with_prefix(prefix).expect("a temporary directory can be made")
}

fn sweep(folder: &Path) {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    for path in entries.map(|entry| entry.path()).filter(|path| is_orphan(path)) {
        // Another process may be sweeping the same one.
        let _ = fs::remove_dir_all(path);
    }
}

fn is_orphan(path: &Path) -> bool {
    let owner = || path.file_name()?.to_str()?.strip_prefix(PREFIX)?.split('-').next()?.parse::<u32>().ok();
    owner().is_some_and(|pid| !PathBuf::from(format!("/proc/{pid}")).exists())
}
