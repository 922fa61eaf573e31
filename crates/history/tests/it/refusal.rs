//! What is not a store of ours is refused with a sentence.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use fanfare_history::contract::Heard;
use fanfare_history::embedded::{EmbeddedLog, OpenError, Options};
use fanfare_history::{Append, Keep, Log as _};
use fanfare_model::{ByteSize, Data, Draft, SystemClock, Tenant, Topic, TopicKey};

fn open(path: &Path) -> Result<EmbeddedLog, OpenError> {
    EmbeddedLog::open(Options::at(path), Arc::new(SystemClock), Arc::new(Heard::default()))
}

/// Makes a store; it is left as after a crash unless it is closed.
async fn make(path: &Path, events: usize, close: bool) {
    let log = open(path).unwrap();
    let topic = TopicKey::new(Tenant::default(), Topic::new("t").unwrap());
    let item = Append { topic, draft: Draft::new(Data::text("x")), keep: Arc::new(Keep::default()) };
    for _ in 0..events {
        let draft = Draft::new(Data::text("x"));
        log.append(vec![Append { draft, ..item.clone() }]).await.remove(0).unwrap();
    }
    if close {
        log.close().await.unwrap();
    }
}

#[track_caller]
fn refused(path: &Path, parts: &[&str]) -> OpenError {
    let error = open(path).map(drop).unwrap_err();
    let text = error.to_string();
    for part in parts.iter().chain(&[path.to_str().unwrap()]) {
        assert!(text.contains(part), "{text:?} does not say {part:?}");
    }
    error
}

#[test]
fn a_directory_of_something_else() {
    let dir = crate::directory();
    std::fs::write(dir.path().join("letter.txt"), "dear").unwrap();
    let error = refused(dir.path(), &["letter.txt", "not a Fanfare store", "empty directory"]);
    assert!(matches!(error, OpenError::Foreign { .. }));
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1, "it was left as it is");
}

#[test]
fn a_path_that_is_a_file() {
    let dir = crate::directory();
    let path = dir.path().join("file");
    std::fs::write(&path, "").unwrap();
    assert!(matches!(refused(&path, &["cannot write", "another directory"]), OpenError::NotWritable { .. }));
}

#[tokio::test]
async fn a_store_in_use() {
    let dir = crate::directory();
    let log = open(dir.path()).unwrap();
    let error = refused(dir.path(), &["is in use by another process"]);
    assert!(matches!(error, OpenError::InUse { .. }));
    drop(log);
    open(dir.path()).unwrap();
}

#[tokio::test]
async fn a_marker_that_says_something_else() {
    let dir = crate::directory();
    make(dir.path(), 1, true).await;
    let marker = dir.path().join("FANFARE");
    std::fs::write(&marker, "Fanfare event store, format 7\n").unwrap();
    let error = refused(dir.path(), &["format 7", "up to 2"]);
    assert!(matches!(error, OpenError::Newer { found: 7, known: 2, .. }));
    std::fs::write(&marker, "Fanfare event store, format 1\n").unwrap();
    let error = refused(dir.path(), &["format 1", "reads only 2"]);
    assert!(matches!(error, OpenError::Older { found: 1, known: 2, .. }));
    for nonsense in [&b"\xff\xfe"[..], b"", b"Fanfare event store, format one", b"Fanfare event store, format 0"] {
        std::fs::write(&marker, nonsense).unwrap();
        assert!(matches!(refused(dir.path(), &["damaged", "FANFARE"]), OpenError::Corrupt { .. }));
    }
}

fn files(path: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path());
    entries.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect()
}

fn copy(from: &Path, to: &Path) {
    for file in files(from) {
        let target = to.join(file.strip_prefix(from).unwrap());
        std::fs::create_dir_all(target.parent().unwrap()).unwrap();
        std::fs::copy(file, target).unwrap();
    }
}

/// Every file of a store, emptied, filled with noise, or gone: the store is refused with a sentence, or opened
/// if the file did not matter; never a panic.
#[tokio::test]
async fn damaged_files() {
    let mut refusals = 0;
    for close in [true, false] {
        let dir = crate::directory();
        let whole = dir.path().join("whole");
        make(&whole, 5, close).await;
        for file in files(&whole.join("log")).into_iter().chain(files(&whole.join("wal"))) {
            let name = file.strip_prefix(&whole).unwrap();
            for damage in ["emptied", "noise", "gone"] {
                let damaged = crate::directory();
                copy(&whole, damaged.path());
                let target = damaged.path().join(name);
                match damage {
                    "emptied" => std::fs::write(&target, "").unwrap(),
                    "noise" => std::fs::write(&target, [0xa5; 999]).unwrap(),
                    _ => std::fs::remove_file(&target).unwrap(),
                }
                let opened = std::panic::catch_unwind(|| open(damaged.path()).map(drop));
                let opened = opened.unwrap_or_else(|_| panic!("{} {damage}: panicked", name.display()));
                let is_of_wal = name.extension().is_some_and(|extension| extension == "wal");
                let Err(error) = opened else {
                    assert!(close || !is_of_wal, "events are lost silently: {} {damage}", name.display());
                    continue;
                };
                refusals += 1;
                assert!(error.to_string().contains(damaged.path().to_str().unwrap()), "{error}");
                assert!(matches!(error, OpenError::Corrupt { .. }), "{} {damage}: {error}", name.display());
            }
        }
    }
    assert!(refusals >= 20, "most files matter, but only {refusals} refusals");
}

#[test]
fn a_creation_that_was_interrupted_is_begun_again() {
    let dir = crate::directory();
    std::fs::create_dir(dir.path().join("lost+found")).unwrap();
    std::fs::write(dir.path().join("LOCK"), "").unwrap();
    std::fs::write(dir.path().join("FANFARE.new"), "Fanf").unwrap();
    open(dir.path()).unwrap();
    std::fs::remove_dir_all(dir.path().join("log")).unwrap();
    std::fs::create_dir_all(dir.path().join("log/keyspaces")).unwrap();
    std::fs::write(dir.path().join("log/0.jnl"), "").unwrap();
    std::fs::write(dir.path().join("log/lock"), "").unwrap();
    open(dir.path()).unwrap();
}

#[test]
fn options_that_make_no_sense() {
    for (options, parts) in [
        (Options { queue_events_max: 0, ..Options::default() }, ["queue_events_max", "at least 1"]),
        (Options { queue_bytes_max: ByteSize::kib(1), ..Options::default() }, ["event_bytes_max", "raise"]),
        (Options { journal_bytes_max: ByteSize::mib(1), ..Options::default() }, ["journal_bytes_max", "128MiB"]),
        (Options::at(""), ["path", "empty"]),
    ] {
        let error = EmbeddedLog::open(options, Arc::new(SystemClock), Arc::new(Heard::default())).map(drop);
        let text = error.unwrap_err().to_string();
        assert!(parts.iter().all(|part| text.contains(part)), "{text}");
    }
    let text = serde_json::to_string(&Options::default()).unwrap();
    serde_json::from_str::<Options>(&text).unwrap();
    assert!(serde_json::from_str::<Options>(r#"{"pth": "x"}"#).is_err());
}
