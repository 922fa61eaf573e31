//! Everything at once: what is told is what is.

use std::collections::{BTreeMap, HashMap};
use std::future::Future;
use std::sync::Arc;

use fanfare_lifecycle::{Lifecycle, TaskKind};
use parking_lot::Mutex;

use super::{Bench, cases, shown, told, topic};
use crate::change::What;
use crate::member::Members;

cases! {
    a_snapshot_is_the_state_at_its_revision,
    a_storm_leaves_nobody_behind,
}

/// Small numbers without a pattern (xorshift), so that a failure is found again.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % sides
    }
}

/// Runs tasks beside each other, on as many threads as the runtime has, and returns what they come to.
async fn beside_each_other<T, F>(tasks: impl IntoIterator<Item = F>) -> Vec<T>
where
    T: Send + 'static,
    F: Future<Output = T> + Send + 'static,
{
    let (life, results) = (Lifecycle::new(), Arc::new(Mutex::new(Vec::new())));
    let mut started = 0;
    for task in tasks {
        let results = Arc::clone(&results);
        started += 1;
        life.spawn(TaskKind::Background, "race", async move {
            let result = task.await;
            results.lock().push(result);
        });
    }
    life.ended().await;
    let results = std::mem::take(&mut *results.lock());
    assert_eq!(results.len(), started, "a task has panicked");
    results
}

// 36
async fn a_snapshot_is_the_state_at_its_revision(bench: Bench) {
    let a = topic("a");
    // At least one stays, so that the revisions are one chain.
    bench.enter(&a, "anchor", "").await;
    let tasks = (1..=8_u64).map(|seed| {
        let (bench, a) = (bench.clone(), a.clone());
        async move {
            let mut dice = Dice(seed);
            let mut seen: Vec<Members> = Vec::new();
            for n in 0..300 {
                let name = format!("s{}", dice.roll(20));
                match dice.roll(4) {
                    0 => drop(bench.enter(&a, &name, &n.to_string()).await),
                    1 => drop(bench.leave(&a, &name).await),
                    2 => drop(bench.update(&a, &name, &format!("[{n}]")).await),
                    _ => seen.push(bench.members(&a).await),
                }
                tokio::task::yield_now().await;
            }
            seen
        }
    });
    let snapshots = beside_each_other(tasks).await.concat();
    let mut states: HashMap<u64, Vec<String>> = HashMap::new();
    let mut members = BTreeMap::new();
    for change in bench.changes(&a).await {
        match &change.what {
            What::Joined(member) => {
                assert!(members.insert(member.id.clone(), Arc::clone(member)).is_none(), "{}", told(&change.what));
            }
            What::Updated(member) => assert!(members.insert(member.id.clone(), Arc::clone(member)).is_some()),
            What::Left(member) => assert_eq!(members.remove(&member.id).as_ref(), Some(member)),
        }
        assert_eq!(change.count, members.len() as u64);
        states.insert(change.rev, members.values().map(|member| shown(member)).collect());
    }
    assert!(snapshots.len() > 300);
    for snapshot in snapshots {
        let state: Vec<String> = snapshot.members.iter().map(|member| shown(member)).collect();
        assert_eq!(Some(&state), states.get(&snapshot.rev), "at revision {}", snapshot.rev);
    }
}

async fn a_storm_leaves_nobody_behind(bench: Bench) {
    let topics: Vec<_> = (0..10).map(|n| topic(&format!("t:{n}"))).collect();
    let tasks = (0..100_u64).map(|task| {
        let (bench, topics) = (bench.clone(), topics.clone());
        async move {
            let mut dice = Dice(task + 1);
            for n in 0..10 {
                let topic = &topics[usize::try_from(dice.roll(10)).unwrap_or(0)];
                let name = format!("s{task}-{n}");
                bench.enter(topic, &format!("{name}@u{}", n % 3), "").await;
                tokio::task::yield_now().await;
                bench.leave(topic, &name).await;
            }
        }
    });
    beside_each_other(tasks).await;
    let mut joins = 0;
    for topic in &topics {
        assert_eq!(bench.occupancy(topic).await, crate::Occupancy::default());
        let mut balance: HashMap<String, i32> = HashMap::new();
        for said in bench.told(topic).await {
            let (sign, id) = said.split_at(1);
            *balance.entry(id.to_owned()).or_default() += if sign == "+" { 1 } else { -1 };
            joins += u32::from(sign == "+");
        }
        assert!(balance.values().all(|balance| *balance == 0), "every join has one leave");
    }
    assert_eq!(joins, 1000);
}
