//! Ten thousand members that come and go, many of them without a word.

use std::collections::HashMap;

use fanfare_model::Tenant;
use fanfare_presence::{Diff, Occupancy, Options};

use crate::support::{TestNode, Watcher, key, node, session, time_passes, who};

const MEMBERS: usize = 10_000;
const ABRUPT: usize = 1_000;

/// Within a minute everybody comes; some go, some break off, and of these some come back.
async fn storm(node: &TestNode, topic: &str, prefix: &str, watcher: &mut Watcher) -> Vec<String> {
    let mut here = Vec::new();
    for n in 0..MEMBERS {
        let name = format!("{prefix}{n:05}");
        node.presence.enter(&key(topic), &who(&format!("{name}@{prefix}{}", n / 2)), None).await.unwrap();
        match n % 10 {
            // Breaks off: one of two for good.
            0 => {
                node.disconnected(&name);
                if n % 20 == 0 {
                    time_passes(1).await;
                    assert_eq!(node.resumed(&name).await, [topic]);
                    here.push(name);
                }
            }
            1..=4 => here.push(name),
            5 => drop(node.leave(topic, &name).await),
            _ => node.gone(&name).await,
        }
        if n % 100 == 0 {
            time_passes(500).await;
            watcher.catch_up().await;
        }
    }
    // The last ones break off for good.
    for _ in 0..30 {
        time_passes(500).await;
        watcher.catch_up().await;
    }
    here
}

fn is_balanced(diffs: &[Diff], here: &[String]) {
    let mut balance: HashMap<&str, (u32, u32)> = HashMap::new();
    for diff in diffs {
        diff.join.iter().for_each(|member| balance.entry(&member.id).or_default().0 += 1);
        diff.leave.iter().for_each(|member| balance.entry(&member.id).or_default().1 += 1);
    }
    assert_eq!(balance.len(), MEMBERS, "everybody has joined");
    for (id, told) in balance {
        let expected = if here.binary_search_by(|name| name.as_str().cmp(id)).is_ok() { (1, 0) } else { (1, 1) };
        assert_eq!(told, expected, "{id}");
    }
}

#[tokio::test(start_paused = true)]
async fn the_set_is_right_and_every_join_has_one_leave() {
    let node = node(Options::default());
    let mut watcher = Watcher::open(&node, "huge:1").await;
    let began = tokio::time::Instant::now();
    let here = storm(&node, "huge:1", "s", &mut watcher).await;
    assert!(began.elapsed().as_secs() < 75, "a minute, and a grace time");
    let absent = MEMBERS / 10 - MEMBERS / 20;
    assert_eq!((here.len(), absent + MEMBERS / 20), (MEMBERS / 10 * 4 + MEMBERS / 20, ABRUPT));
    assert_eq!(watcher.read_again, 0, "who keeps up reads once");
    assert_eq!(watcher.members.keys().cloned().collect::<Vec<_>>(), here);
    is_balanced(&watcher.diffs, &here);
    let occupancy = node.presence.occupancy(&[key("huge:1")]).await.unwrap();
    assert_eq!(occupancy[0].count, here.len() as u64);
    assert!(watcher.diffs.len() < 1000, "told together: {}", watcher.diffs.len());
}

/// Pages of memory that this process has.
fn resident_bytes() -> usize {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
    statm.split(' ').nth(1).unwrap().parse::<usize>().unwrap() * 4096
}

const CHILD: &str = "FANFARE_PRESENCE_MEMORY_CHILD";

/// In a process of its own, because other tests use memory, too.
#[test]
fn memory_returns() {
    if std::env::var_os(CHILD).is_some() {
        let mut builder = tokio::runtime::Builder::new_current_thread();
        return builder.enable_all().start_paused(true).build().unwrap().block_on(storm_after_storm());
    }
    let mut child = std::process::Command::new(std::env::current_exe().unwrap());
    let status = child.args(["storm::memory_returns", "--exact", "--nocapture"]).env(CHILD, "1").status();
    assert!(status.unwrap().success());
}

async fn storm_after_storm() {
    /// What each storm would leave behind if each membership left a part of its names.
    const LEAK_BYTES: usize = MEMBERS * 100;
    const ROUNDS: usize = 8;
    let node = node(Options::default());
    let mut first = 0;
    for round in 0..ROUNDS {
        let mut watcher = Watcher::open(&node, "huge:1").await;
        for name in storm(&node, "huge:1", &format!("r{round}-"), &mut watcher).await {
            node.presence.gone(&Tenant::default(), &session(&name)).await;
        }
        time_passes(5_000).await;
        assert_eq!(node.presence.occupancy(&[key("huge:1")]).await.unwrap(), [Occupancy::default()]);
        // The allocator has what it needs after the first ones.
        if round == 1 {
            first = resident_bytes();
        }
    }
    let grown = resident_bytes().saturating_sub(first);
    assert!(grown < (ROUNDS - 2) * LEAK_BYTES, "{grown} bytes more than after the second storm");
}
