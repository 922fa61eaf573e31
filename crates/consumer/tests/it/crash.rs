//! A process that is killed gives out again what was not acknowledged, and nothing that was.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use fanfare_bus::{Bus, Hub, HubOptions, LocalBroker, Policies};
use fanfare_consumer::{Ack, Act, EmbeddedCursors, Handle, Options, Pull};
use fanfare_history::embedded::{self, EmbeddedLog};
use fanfare_history::memory::{self, MemoryLog};
use fanfare_model::{Clock, Data, Draft, SystemClock, Tenant};

use crate::support::{key, name};

const CHILD: &str = "FANFARE_CONSUMER_CRASH_CHILD";
const EVENTS: u64 = 400;

fn open(path: &Path) -> Handle {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let policies = Arc::new(Policies::new(&BTreeMap::new()));
    let hub = Hub::new(HubOptions::default(), Arc::clone(&policies), 1);
    let options = embedded::Options::at(path.join("store"));
    let log = Arc::new(EmbeddedLog::open(options, Arc::clone(&clock), Arc::clone(&hub) as _).unwrap());
    let passing = MemoryLog::new(Arc::clone(&clock), Arc::clone(&hub) as _, memory::Options::default());
    let bus = Bus::new(hub, Arc::new(LocalBroker::new(log, Arc::new(passing), policies)));
    let options = Options { path: path.join("consumers"), ..Options::default() };
    Handle::new(Arc::new(EmbeddedCursors::open(&options).unwrap()), bus, clock, options)
}

fn request() -> Pull {
    let lease = Duration::from_secs(1);
    Pull { topic: key("jobs"), consumer: name("c"), limit: 3, wait: Duration::from_secs(5), lease }
}

fn say(line: &str) {
    std::io::stdout().write_all(line.as_bytes()).unwrap();
}

/// Publishes, if nobody has yet; then works until it is killed or there is nothing left; says which offsets it got, and which are done.
async fn work(path: &Path) {
    let consumers = open(path);
    if consumers.bus().heads(vec![key("jobs")]).await.unwrap()[0].events == 0 {
        let batch = (0..EVENTS).map(|n| (key("jobs").topic, Draft::new(Data::text(n.to_string())))).collect();
        for answer in consumers.bus().publish(&Tenant::default(), batch).await.unwrap() {
            answer.unwrap();
        }
    }
    loop {
        let leased = consumers.pull(request()).await.unwrap();
        let Some(lease) = leased.lease else { return };
        let (first, last) = (leased.events[0].offset, leased.events[leased.events.len() - 1].offset);
        say(&format!("got {first} {last} end\n"));
        let ack = Ack { topic: key("jobs"), consumer: name("c"), lease, act: Act::All };
        // It may have taken so long that the lease is over.
        if consumers.ack(ack).await.is_ok() {
            say(&format!("done {first} {last} end\n"));
        }
    }
}

#[tokio::test]
async fn a_killed_process_gives_out_again_what_was_not_acknowledged() {
    if let Ok(path) = std::env::var(CHILD) {
        return work(Path::new(&path)).await;
    }
    let dir = tempfile::tempdir().unwrap();
    let mut done = vec![false; usize::try_from(EVENTS).unwrap() + 1];
    let mut unsure = Vec::new();
    for lines in [7, 40, 1, 120, usize::MAX] {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["crash::a_killed_process_gives_out_again_what_was_not_acknowledged", "--exact", "--nocapture"])
            .env(CHILD, dir.path())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let (mut heard, mut at_work) = (0, None);
        for line in BufReader::new(child.stdout.take().unwrap()).lines() {
            let line = line.unwrap();
            // The last line may be cut off by the kill.
            let [what, first, last, "end"] = line.split(' ').collect::<Vec<_>>()[..] else { continue };
            let offsets = first.parse::<usize>().unwrap()..=last.parse().unwrap();
            let stretch = &mut done[offsets.clone()];
            if what == "got" {
                assert!(!stretch.contains(&true), "of {first} to {last} some were done before");
                at_work = Some(offsets);
            } else {
                stretch.fill(true);
                at_work = None;
            }
            heard += 1;
            if heard == lines {
                child.kill().unwrap();
            }
        }
        child.wait().unwrap();
        unsure.extend(at_work);
    }
    // The kill may come when the acknowledgement is kept and before we are told.
    for offsets in unsure {
        done[offsets].fill(true);
    }
    assert!(done[1..].iter().all(|done| *done), "everything is worked off in the end");
}
