//! A disk that is full or cannot be written. With real file systems of a few megabytes: needs to be root.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use fanfare_history::contract::Heard;
use fanfare_history::embedded::{EmbeddedLog, OpenError, Options};
use fanfare_history::{Append, Appended, Direction, Durability, Error, Keep, Log as _, Page, Read, ReadFrom};
use fanfare_model::{Data, Draft, SystemClock, Tenant, Topic, TopicKey};

/// A small file system in memory.
struct SmallDisk {
    dir: tempfile::TempDir,
}

fn run(program: &str, args: &[&str]) {
    let status = Command::new(program).args(args).status();
    assert!(
        status.as_ref().is_ok_and(std::process::ExitStatus::success),
        "`{program} {}` failed ({status:?}): this test mounts a file system, run it as root",
        args.join(" ")
    );
}

impl SmallDisk {
    fn mount(size: &str) -> Self {
        let disk = Self { dir: tempfile::tempdir().unwrap() };
        run("mount", &["-t", "tmpfs", "-o", &format!("size={size}"), "tmpfs", disk.path().to_str().unwrap()]);
        disk
    }

    fn path(&self) -> &Path {
        self.dir.path()
    }

    /// Fills it up to the last byte with a file, to be removed to have space again.
    fn fill(&self) -> PathBuf {
        use std::io::Write as _;
        let path = self.path().join("ballast");
        let mut file = std::fs::File::create(&path).unwrap();
        let mut block = vec![1; 1 << 20];
        while !block.is_empty() {
            if file.write_all(&block).is_err() {
                block.truncate(block.len() / 2);
            }
        }
        path
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        run("umount", &["-l", self.path().to_str().unwrap()]);
    }
}

fn topic(name: &str) -> TopicKey {
    TopicKey::new(Tenant::default(), Topic::new(name).unwrap())
}

async fn append(log: &EmbeddedLog, topic: &TopicKey, durability: Durability, bytes: usize) -> Result<Appended, Error> {
    let keep = Arc::new(Keep { durability, events_max: None, age_max: None, ..Keep::default() });
    // Bytes that do not compress.
    let mut state = 88_172_645_463_325_252_u64;
    let noise = std::iter::repeat_with(|| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()[3]
    });
    let draft = Draft::new(Data::binary(noise.take(bytes).collect::<Vec<_>>()));
    log.append(vec![Append { topic: topic.clone(), draft, keep }]).await.remove(0)
}

async fn all(log: &EmbeddedLog, topic: &TopicKey) -> Page {
    let (limit, bytes_max) = (usize::MAX, usize::MAX);
    let (from, direction) = (ReadFrom::End, Direction::Forward);
    log.read(Read { topic: topic.clone(), from, direction, limit, bytes_max, age_max: None }).await.unwrap()
}

/// What is stored is what was acknowledged and what was announced, in order and without a hole.
async fn check(log: &EmbeddedLog, topic: &TopicKey, acknowledged: &[Appended], heard: &Heard) {
    let page = all(log, topic).await;
    let mut prev = 0;
    for event in &page.events {
        assert_eq!(event.prev, prev);
        prev = event.offset;
    }
    assert_eq!(page.head.last.offset, prev);
    assert_eq!(page.head.events, page.events.len() as u64);
    for appended in acknowledged {
        assert!(page.events.iter().any(|event| event.position() == appended.position), "{appended:?} is lost");
    }
    assert!(heard.events(topic) == page.events, "announced is what is stored, once and in order");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_refuses_appends_and_recovers() {
    let disk = SmallDisk::mount("24m");
    let options =
        Options { retry_every: fanfare_model::Duration::from_millis(20), ..Options::at(disk.path().join("store")) };
    let heard = Arc::new(Heard::default());
    let open = || EmbeddedLog::open(options.clone(), Arc::new(SystemClock), Arc::<Heard>::clone(&heard)).unwrap();
    let mut log = open();
    let topics = [(topic("committed"), Durability::Committed), (topic("buffered"), Durability::Buffered)];
    let mut acknowledged = [Vec::new(), Vec::new()];
    // Sizes below and above the buffers that writes pass through, so that they fail at different places.
    for (round, bytes) in [50, 3_000, 70_000, 300].into_iter().enumerate() {
        for (n, (topic, durability)) in topics.iter().enumerate() {
            acknowledged[n].push(append(&log, topic, *durability, 500).await.unwrap());
        }
        let ballast = disk.fill();
        for (n, (topic, durability)) in topics.iter().enumerate() {
            // The page that is begun takes some more.
            let error = loop {
                match append(&log, topic, *durability, bytes).await {
                    Ok(appended) => acknowledged[n].push(appended),
                    Err(error) => break error,
                }
            };
            assert!(matches!(error, Error::Unavailable(_)), "{error:?}");
            assert!(error.kind().retryable());
            check(&log, topic, &acknowledged[n], &heard).await;
        }
        if round == 2 {
            // A restart while it is full. Nothing is lost, though it may not be possible to start.
            assert!(log.close().await.is_err());
            drop(log);
            std::fs::remove_file(&ballast).unwrap();
            log = open();
        } else {
            std::fs::remove_file(&ballast).unwrap();
        }
        // It recovers by itself.
        let begun = Instant::now();
        for (n, (topic, durability)) in topics.iter().enumerate() {
            let appended = loop {
                match append(&log, topic, *durability, 100).await {
                    Ok(appended) => break appended,
                    Err(error) => assert!(begun.elapsed() < Duration::from_secs(60), "no recovery: {error:?}"),
                }
            };
            acknowledged[n].push(appended);
            check(&log, topic, &acknowledged[n], &heard).await;
        }
    }
    log.close().await.unwrap();
    drop(log);
    let log = open();
    for ((topic, _), acknowledged) in topics.iter().zip(&acknowledged) {
        check(&log, topic, acknowledged, &heard).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_read_only_disk_is_refused_with_what_to_do() {
    let disk = SmallDisk::mount("24m");
    let options = Options::at(disk.path().join("store"));
    let open = |options: &Options| {
        EmbeddedLog::open(options.clone(), Arc::new(SystemClock), Arc::new(Heard::default())).map(drop)
    };
    open(&options).unwrap();
    run("mount", &["-o", "remount,ro", disk.path().to_str().unwrap()]);
    for path in ["store", "another"] {
        let options = Options::at(disk.path().join(path));
        let error = open(&options).unwrap_err();
        assert!(matches!(error, OpenError::NotWritable { .. }), "{error:?}");
        let text = error.to_string();
        assert!(text.contains(options.path.to_str().unwrap()) && text.contains("writable"), "{text}");
    }
}
