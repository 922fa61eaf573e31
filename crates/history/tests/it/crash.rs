//! A process that is killed loses nothing that it has acknowledged, and no offset is used twice.

use std::collections::HashMap;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;

use fanfare_history::contract::Heard;
use fanfare_history::embedded::{EmbeddedLog, Options};
use fanfare_history::{Append, Direction, Durability, Keep, Log as _, Read, ReadFrom};
use fanfare_model::{Data, Draft, EventId, SystemClock, Tenant, Topic, TopicKey};
use futures_util::future::join_all;

const CHILD: &str = "FANFARE_HISTORY_CRASH_CHILD";
const DURABILITIES: [Durability; 3] = [Durability::Committed, Durability::Buffered, Durability::None];

fn topic(durability: Durability) -> TopicKey {
    TopicKey::new(Tenant::default(), Topic::new(format!("{durability:?}")).unwrap())
}

fn open(path: &Path) -> EmbeddedLog {
    EmbeddedLog::open(Options::at(path), Arc::new(SystemClock), Arc::new(Heard::default())).unwrap()
}

/// Appends for ever and says of each event when it was acknowledged.
async fn append_for_ever(path: &Path, round: &str) {
    let log = open(path);
    for n in 0.. {
        let appends = DURABILITIES.map(|durability| {
            let keep = Arc::new(Keep { durability, events_max: None, age_max: None, ..Keep::default() });
            let item = |part: usize| Append {
                topic: topic(durability),
                draft: Draft {
                    id: EventId::new(format!("{round}-{n}-{part}")).unwrap(),
                    ..Draft::new(Data::text("x"))
                },
                keep: Arc::clone(&keep),
            };
            log.append((0..5).map(item).collect())
        });
        let mut said = Vec::new();
        for (answers, durability) in join_all(appends).await.into_iter().zip(DURABILITIES) {
            for (part, answer) in answers.into_iter().enumerate() {
                let offset = answer.unwrap().position.offset;
                writeln!(said, "ack {durability:?} {offset} {round}-{n}-{part}").unwrap();
            }
        }
        std::io::stdout().write_all(&said).unwrap();
    }
}

/// Starts this test again as a child that appends, kills it after some acknowledgements, and returns them as
/// (topic, offset, id).
fn run_and_kill(path: &Path, round: usize, acks: usize) -> Vec<(String, u64, String)> {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["crash::a_killed_process_loses_nothing_acknowledged", "--exact", "--nocapture"])
        .env(CHILD, format!("{round}:{}", path.display()))
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut heard = Vec::new();
    for line in BufReader::new(child.stdout.take().unwrap()).lines() {
        let line = line.unwrap();
        // The last line may be cut off by the kill; it has no id to compare then.
        if let ["ack", topic, offset, id] = line.split(' ').collect::<Vec<_>>()[..]
            && id.split('-').count() == 3
        {
            heard.push((topic.to_owned(), offset.parse().unwrap(), id.to_owned()));
        }
        if heard.len() == acks {
            child.kill().unwrap();
        }
    }
    assert!(!child.wait().unwrap().success(), "it was killed");
    assert!(heard.len() >= acks);
    heard
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_process_loses_nothing_acknowledged() {
    if let Ok(order) = std::env::var(CHILD) {
        let (round, path) = order.split_once(':').unwrap();
        return append_for_ever(Path::new(path), round).await;
    }
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("store");
    let mut acknowledged: HashMap<(String, u64), String> = HashMap::new();
    for (round, acks) in [30, 500, 1, 100, 300].into_iter().enumerate() {
        for (topic, offset, id) in run_and_kill(&path, round, acks) {
            let other = acknowledged.insert((topic, offset), id);
            assert_eq!(other, None, "an offset was handed out twice");
        }
        let log = open(&path);
        for durability in DURABILITIES {
            let read = Read {
                topic: topic(durability),
                from: ReadFrom::End,
                direction: Direction::Forward,
                limit: usize::MAX,
                bytes_max: usize::MAX,
                age_max: None,
            };
            let page = log.read(read).await.unwrap();
            let stored: HashMap<u64, &str> =
                page.events.iter().map(|event| (event.offset, event.draft.id.as_str())).collect();
            for ((topic, offset), id) in &acknowledged {
                if *topic == format!("{durability:?}") {
                    assert_eq!(stored.get(offset), Some(&id.as_str()), "{topic} {offset} is lost");
                }
            }
            let mut prev = 0;
            for event in &page.events {
                assert_eq!(event.prev, prev);
                assert!(event.offset == prev + 1 || durability == Durability::None, "dense as {durability:?}");
                prev = event.offset;
            }
            assert_eq!((page.head.last.offset, page.head.events), (prev, page.events.len() as u64));
        }
        // Dropped without being closed: the next round begins after a crash in any case.
    }
}
