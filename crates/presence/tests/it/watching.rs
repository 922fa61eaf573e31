//! What who watches is told: a snapshot and differences that make the truth together.

use std::collections::{BTreeMap, BTreeSet};

use fanfare_model::ByteSize;
use fanfare_presence::{Error, Options};
use proptest::prelude::*;

use crate::support::{Watcher, ids, key, node, raw, time_passes, who};

#[tokio::test(start_paused = true)]
async fn what_happens_together_is_told_together() {
    let node = node(Options::default());
    let mut watcher = Watcher::open(&node, "chat:1").await;
    node.enter("chat:1", "a").await;
    time_passes(1).await;
    watcher.catch_up().await;
    assert_eq!(ids(&watcher.diffs[0].join), ["a"], "the first is told at once");
    for name in ["b", "c", "d"] {
        node.enter("chat:1", name).await;
        time_passes(20).await;
    }
    node.say("chat:1", "b", "1").await;
    node.say("chat:1", "a", "2").await;
    node.leave("chat:1", "d").await;
    watcher.catch_up().await;
    assert_eq!(watcher.diffs.len(), 1, "the others wait a moment");
    time_passes(250).await;
    watcher.catch_up().await;
    let [first, then] = &watcher.diffs[..] else { panic!("{:?}", watcher.diffs) };
    assert_eq!((then.prev, then.count), (first.rev, 3));
    assert_eq!(ids(&then.join), ["b", "c", "d"]);
    assert_eq!(then.join[0].data.as_ref().unwrap().get(), "1", "as it is at the end");
    assert_eq!(ids(&then.update), ["a"]);
    assert_eq!(ids(&then.leave), ["d"], "who came and went is in both lists");
    time_passes(2000).await;
    node.leave("chat:1", "a").await;
    time_passes(1).await;
    watcher.catch_up().await;
    assert_eq!(ids(&watcher.diffs[2].leave), ["a"], "after a while without news the next is told at once");
    assert!(watcher.diffs[2].leave[0].data.is_none(), "who leaves is only named");
}

#[tokio::test(start_paused = true)]
async fn large_differences_are_told_in_parts() {
    let node = node(Options { page_bytes_max: ByteSize::kib(1), ..Options::default() });
    let mut watcher = Watcher::open(&node, "chat:1").await;
    node.enter("chat:1", "first").await;
    time_passes(1).await;
    for n in 0..50 {
        node.say("chat:1", &format!("s{n:02}"), &format!("\"{}\"", "x".repeat(100))).await;
    }
    time_passes(300).await;
    watcher.catch_up().await;
    assert!(watcher.diffs.len() > 5, "{}", watcher.diffs.len());
    assert!(watcher.diffs.windows(2).all(|pair| pair[0].rev == pair[1].prev), "one chain");
    assert_eq!((watcher.members.len(), watcher.read_again), (51, 0));
}

#[tokio::test(start_paused = true)]
async fn a_crowd_is_a_number_until_it_thins() {
    let node = node(Options::default());
    let mut watcher = Watcher::open(&node, "small:1").await;
    for n in 0..8 {
        node.enter("small:1", &format!("s{n}")).await;
        time_passes(300).await;
    }
    time_passes(1000).await;
    watcher.catch_up().await;
    assert_eq!((watcher.occupancy_only, watcher.count, watcher.members.len()), (true, 8, 0));
    let before = watcher.diffs.len();
    for n in [7, 6, 5] {
        node.leave("small:1", &format!("s{n}")).await;
    }
    time_passes(1000).await;
    watcher.catch_up().await;
    assert_eq!(watcher.diffs.len(), before + 1);
    let again = &watcher.diffs[before];
    assert_eq!((again.prev, again.join.len(), again.leave.len()), (0, 5, 0), "all there is");
    assert_eq!((watcher.occupancy_only, watcher.members.len(), watcher.read_again), (false, 5, 0));
}

/// A set that is too large for one message is not told but left to be read.
#[tokio::test(start_paused = true)]
async fn a_crowd_that_thins_may_have_to_be_read() {
    let node = node(Options { page_bytes_max: ByteSize(100), ..Options::default() });
    let mut watcher = Watcher::open(&node, "small:1").await;
    for n in 0..8 {
        node.enter("small:1", &format!("s{n}")).await;
    }
    time_passes(300).await;
    for n in [7, 6, 5] {
        node.leave("small:1", &format!("s{n}")).await;
    }
    time_passes(1000).await;
    watcher.catch_up().await;
    assert_eq!((watcher.occupancy_only, watcher.members.len(), watcher.read_again), (false, 5, 1));
}

#[tokio::test(start_paused = true)]
async fn what_is_said_is_checked_and_merged() {
    let node = node(Options::default());
    let (topic, alice) = (key("chat:1"), who("s@alice"));
    node.say("chat:1", "s@alice", "{\"status\":\"away\",\n\"n\":1.50}").await;
    let patch = raw(r#"{"status":"here","n":null,"deep":{"a":1,"b":null}}"#);
    node.presence.update(&topic, &alice, &patch).await.unwrap();
    let members = node.members("chat:1").await;
    assert_eq!(members.members[0].data.as_ref().unwrap().get(), r#"{"deep":{"a":1},"status":"here"}"#);
    assert_eq!(members.members[0].since, fanfare_model::Clock::now(&*node.clock));
    node.presence.update(&topic, &alice, &raw("null")).await.unwrap();
    assert!(node.members("chat:1").await.members[0].data.is_none());
    let large = raw(&format!("\"{}\"", "x".repeat(4096)));
    let refused = node.presence.enter(&topic, &alice, Some(large.clone())).await;
    assert!(matches!(refused, Err(Error::DataTooLarge { size: 4098, size_max: 4096, .. })));
    let half = |name: &str| raw(&format!("{{\"{name}\":\"{}\"}}", "x".repeat(2500)));
    node.presence.update(&topic, &alice, &half("a")).await.unwrap();
    let refused = node.presence.update(&topic, &alice, &half("b")).await;
    assert!(matches!(refused, Err(Error::DataTooLarge { .. })), "what comes of it counts");
    let plain = node.presence.enter(&key("plain"), &alice, None).await;
    assert!(matches!(plain, Err(Error::Disabled { kind }) if kind == "plain"));
    assert!(node.presence.members(&key("plain"), None, 10).await.is_err());
}

/// Something that happens.
#[derive(Debug, Clone)]
enum Step {
    Enter(u8, u8),
    Update(u8, u8),
    Leave(u8),
    Gone(u8),
    Disconnect(u8),
    Resume(u8),
    Wait(u16),
    Watch,
    /// One of those who watch takes what there is.
    CatchUp(u8),
}

fn step() -> impl Strategy<Value = Step> {
    let name = || 0..12_u8;
    prop_oneof![
        8 => (name(), 0..4_u8).prop_map(|(name, data)| Step::Enter(name, data)),
        2 => (name(), 0..4_u8).prop_map(|(name, data)| Step::Update(name, data)),
        4 => name().prop_map(Step::Leave),
        1 => name().prop_map(Step::Gone),
        1 => name().prop_map(Step::Disconnect),
        1 => name().prop_map(Step::Resume),
        3 => (0..400_u16).prop_map(Step::Wait),
        1 => Just(Step::Watch),
        3 => any::<u8>().prop_map(Step::CatchUp),
    ]
}

/// What is there, thought out simply: session → what its member says. A session whose grace time is over has left.
async fn play(topic: &str, per_user: bool, steps: Vec<Step>) {
    let node = node(Options { page_bytes_max: ByteSize(1000), ..Options::default() });
    let mut watchers = vec![Watcher::open(&node, topic).await];
    let mut here: BTreeMap<u8, Option<tokio::time::Instant>> = BTreeMap::new();
    let grace = std::time::Duration::from_secs(10);
    // Three sessions are one user.
    let name = |n: u8| format!("s{n}@u{}", n / 3);
    let short = |n: u8| format!("s{n}");
    for step in steps {
        match step {
            Step::Enter(n, data) => {
                node.say(topic, &name(n), &data.to_string()).await;
                here.insert(n, None);
            }
            Step::Update(n, data) => {
                let updated = node.presence.update(&key(topic), &who(&name(n)), &raw(&data.to_string())).await;
                assert_eq!(updated.is_ok(), here.contains_key(&n), "{updated:?}");
            }
            Step::Leave(n) => {
                node.leave(topic, &short(n)).await;
                here.remove(&n);
            }
            Step::Gone(n) => {
                node.gone(&short(n)).await;
                here.remove(&n);
            }
            Step::Disconnect(n) => {
                node.disconnected(&short(n));
                let now = tokio::time::Instant::now();
                here.entry(n).and_modify(|away| *away = away.or(Some(now)));
            }
            Step::Resume(n) => {
                let topics = node.resumed(&short(n)).await;
                assert_eq!(topics.len(), usize::from(here.contains_key(&n)));
                here.entry(n).and_modify(|away| *away = None);
            }
            // Long ones end a grace time.
            Step::Wait(millis) => time_passes(u64::from(millis) * if millis > 380 { 30 } else { 1 }).await,
            Step::Watch => watchers.push(Watcher::open(&node, topic).await),
            Step::CatchUp(at) => {
                let at = usize::from(at) % watchers.len();
                watchers[at].catch_up().await;
            }
        }
        here.retain(|_, away| away.is_none_or(|since| since.elapsed() < grace));
    }
    time_passes(20_000).await;
    here.retain(|_, away| away.is_none());
    let mut expected: BTreeSet<String> = here.keys().map(|n| short(*n)).collect();
    if per_user {
        expected = here.keys().map(|n| format!("u{}", n / 3)).collect();
    }
    let truth = node.members(topic).await;
    assert_eq!(truth.count, expected.len() as u64);
    if !truth.occupancy_only {
        assert_eq!(BTreeSet::from_iter(node.ids(topic).await), expected);
    }
    for watcher in &mut watchers {
        watcher.catch_up().await;
        assert_eq!((watcher.rev, watcher.count), (truth.rev, truth.count));
        assert_eq!(watcher.occupancy_only, truth.occupancy_only);
        assert_eq!(watcher.members.values().cloned().collect::<Vec<_>>(), truth.members);
    }
    // Who was there from the beginning and missed nothing has seen one leave for every join.
    let first = &watchers[0];
    if first.read_again == 0 && first.diffs.iter().all(|diff| !diff.occupancy_only && diff.prev != 0 || diff.rev == 1) {
        for id in expected.iter().chain(first.diffs.iter().flat_map(|diff| &diff.join).map(|member| &member.id)) {
            let count = |list: fn(&fanfare_presence::Diff) -> &Vec<_>| {
                let members = first.diffs.iter().flat_map(list);
                members.filter(|member: &&std::sync::Arc<fanfare_presence::Member>| member.id == *id).count()
            };
            assert_eq!(
                count(|diff| &diff.join),
                count(|diff| &diff.leave) + usize::from(expected.contains(id)),
                "{id}"
            );
        }
    }
}

fn run(topic: &str, per_user: bool, steps: Vec<Step>) {
    let mut builder = tokio::runtime::Builder::new_current_thread();
    builder.enable_all().start_paused(true).build().unwrap().block_on(play(topic, per_user, steps));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, ..ProptestConfig::default() })]

    // 36
    #[test]
    fn snapshots_and_differences_make_the_truth(steps in prop::collection::vec(step(), 1..150)) {
        run("chat:1", false, steps);
    }

    #[test]
    fn also_with_users(steps in prop::collection::vec(step(), 1..150)) {
        run("team:1", true, steps);
    }

    #[test]
    fn also_in_a_crowd(steps in prop::collection::vec(step(), 1..150)) {
        run("small:1", false, steps);
    }
}
