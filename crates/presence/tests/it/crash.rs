//! A process that is killed: who was in topics that log it has joined once and left once.

use std::collections::BTreeSet;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;

use fanfare_bus::{Bus, Hub, HubOptions, LocalBroker};
use fanfare_cluster::MemoryLeases;
use fanfare_history::embedded::{EmbeddedLog, Options as LogOptions};
use fanfare_lifecycle::Lifecycle;
use fanfare_model::SystemClock;
use fanfare_presence::memory::MemoryPresence;
use fanfare_presence::{Handle, Options};

use crate::support::{clock, cluster, key, log, memory_log, policies, session, shown, who};

const CHILD: &str = "FANFARE_PRESENCE_CRASH_CHILD";
/// To a child: the one that checks.
const CHECK: &str = "check";
const TOPICS: [&str; 3] = ["logged:0", "logged:1", "logged:2"];

/// A node as the server makes it.
fn node(path: &Path, life: &Lifecycle) -> (Handle, Bus) {
    let policies = policies();
    let hub = Hub::new(HubOptions::default(), Arc::clone(&policies), 1);
    let kept =
        EmbeddedLog::open(LogOptions::at(path.join("log")), Arc::new(SystemClock), Arc::clone(&hub) as _).unwrap();
    let broker = LocalBroker::new(Arc::new(kept), memory_log(&clock(), &hub), policies);
    let bus = Bus::new(hub, Arc::new(broker));
    let options = Options { path: Some(path.join("presence")), ..Options::default() };
    let cluster = cluster(Arc::new(MemoryLeases::new()), &bus, "alone");
    cluster.start(life);
    let engine = Arc::new(MemoryPresence::new());
    let presence = Handle::new(engine, bus.clone(), &cluster, Arc::new(SystemClock), options);
    presence.start(life);
    (presence, bus)
}

/// Says to the parent that somebody has joined a topic; a child that checks says so what is in its log.
fn say(topic: &str, what: &str) {
    std::io::stdout().write_all(format!("joined {topic} {what} .\n").as_bytes()).unwrap();
}

/// Enters and leaves for ever, and says whose join is logged.
async fn come_and_go_for_ever(path: &Path, round: &str) {
    let (presence, _bus) = node(path, &Lifecycle::new());
    for n in 0_usize.. {
        let (topic, name) = (TOPICS[n % 3], format!("r{round}-{n}"));
        presence.enter(&key(topic), &who(&name), None).await.unwrap();
        say(topic, &name);
        if n >= 7 && n % 5 != 0 {
            let (topic, name) = (TOPICS[(n - 7) % 3], format!("r{round}-{}", n - 7));
            presence.leave(&key(topic), &session(&name)).await.unwrap();
        }
    }
}

/// Starts this test again as a child. Stops it when it has said so many joins, and returns them.
fn run(path: &Path, order: &str, joins: usize) -> Vec<(String, String)> {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["crash::a_killed_process_leaves_nobody_behind", "--exact", "--nocapture"])
        .env(CHILD, format!("{order}:{}", path.display()))
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut heard = Vec::new();
    for line in BufReader::new(child.stdout.take().unwrap()).lines() {
        // The last line may be cut off by the kill.
        if let ["joined", topic, name, "."] = line.unwrap().split(' ').collect::<Vec<_>>()[..] {
            heard.push((topic.to_owned(), name.to_owned()));
        }
        if heard.len() == joins {
            child.kill().unwrap();
        }
    }
    assert_eq!(child.wait().unwrap().success(), order == CHECK, "as {order}");
    heard
}

/// Ends what was left, and says what the logs have.
async fn end_and_say(path: &Path) {
    let (presence, bus) = node(path, &Lifecycle::new());
    // Its join is logged after all that was left.
    presence.enter(&key("strict:1"), &who("marker"), None).await.unwrap();
    for topic in TOPICS {
        for told in shown(&log(&bus, topic).await) {
            say(topic, &told.replace(' ', "/"));
        }
    }
}

/// Everybody has joined once and left once, while the topic was occupied.
fn check(topic: &str, told: &[String], joined: &BTreeSet<(String, String)>) {
    let (mut occupied, mut here, mut known) = (false, BTreeSet::new(), BTreeSet::new());
    for told in told {
        match told.split_once('/').unwrap_or((told, "")) {
            ("occupied", _) => assert!(!std::mem::replace(&mut occupied, true), "occupied twice"),
            ("vacated", _) => assert!(std::mem::replace(&mut occupied, false) && here.is_empty(), "vacated too soon"),
            ("join", name) => {
                assert!(occupied && known.insert(name.to_owned()), "{name} has joined twice");
                here.insert(name.to_owned());
            }
            ("leave", name) => assert!(here.remove(name), "{name} has left and was not there"),
            (other, _) => panic!("{other}"),
        }
    }
    assert!(!occupied && here.is_empty(), "{here:?} have not left {topic}");
    for (_, name) in joined.iter().filter(|(of, _)| of == topic) {
        assert!(known.contains(name), "{name} was said to have joined {topic}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_process_leaves_nobody_behind() {
    if let Ok(order) = std::env::var(CHILD) {
        let (round, path) = order.split_once(':').unwrap();
        let path = Path::new(path);
        return if round == CHECK { end_and_say(path).await } else { come_and_go_for_ever(path, round).await };
    }
    let dir = tempfile::tempdir().unwrap();
    let mut joined = BTreeSet::new();
    for (round, joins) in [1, 40, 3, 90, 17].into_iter().enumerate() {
        let heard = run(dir.path(), &round.to_string(), joins);
        assert!(heard.len() >= joins);
        joined.extend(heard);
        // Now and then the next child finds what two have left.
        if round % 2 == 0 {
            let events = run(dir.path(), CHECK, usize::MAX);
            for topic in TOPICS {
                let told: Vec<_> = events.iter().filter(|(of, _)| of == topic).map(|(_, told)| told.clone()).collect();
                check(topic, &told, &joined);
            }
        }
    }
}
