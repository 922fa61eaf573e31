//! What every engine must do, as a function that runs against any [`Presence`].
//!
//! Each case is a named function on an engine of its own; a failure names the case. The numbers in the comments are
//! those of the conformance suite (engine reference, section 8).
//!
//! ```
//! # use std::sync::Arc;
//! # use fanfare_presence::{Presence, contract, memory::MemoryPresence};
//! # use fanfare_model::SystemClock;
//! # let runtime = tokio::runtime::Builder::new_multi_thread().enable_time().build().unwrap();
//! # runtime.block_on(async {
//! let places = Arc::new(parking_lot::Mutex::new(std::collections::HashMap::new()));
//! contract::run(|setting| {
//!     let shared = || Arc::new(MemoryPresence::shared(Arc::new(SystemClock)));
//!     let engine = Arc::clone(places.lock().entry(setting.place).or_insert_with(shared));
//!     async move { engine as Arc<dyn Presence> }
//! })
//! .await;
//! # });
//! ```

mod crowding;
mod entering;
mod feeds;
mod nodes;
mod races;
mod users;

use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use fanfare_bus::PresencePolicy;
use fanfare_model::{SessionId, Tenant, Timestamp, Topic, TopicKey, UserId};
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use serde_json::value::RawValue;

use crate::change::{Change, What};
use crate::engine::{Done, Enter, Holder, Limits, Presence};
use crate::error::Error;
use crate::member::{Member, Members, Occupancy};

/// What an engine under test is made from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Setting {
    /// Where its members are: engines made for the same place, as by several nodes, see the same. Every case has a place
    /// of its own, which nobody else uses.
    pub place: usize,
}

/// Runs every case on engines that `make` makes, one after the other. Needs a tokio runtime whose time is not paused.
///
/// # Panics
///
/// When a case fails; the message names it.
pub async fn run<M, F>(make: M)
where
    M: Fn(Setting) -> F,
    F: Future<Output = Arc<dyn Presence>>,
{
    run_only("", make).await;
}

/// As [`run`], only the cases whose names contain `part`.
///
/// # Panics
///
/// When a case fails, or there is none.
pub async fn run_only<M, F>(part: &str, make: M)
where
    M: Fn(Setting) -> F,
    F: Future<Output = Arc<dyn Presence>>,
{
    // Places of several runs in one process differ.
    static PLACES: AtomicUsize = AtomicUsize::new(0);
    let cases = entering::CASES.iter().chain(users::CASES).chain(crowding::CASES).chain(nodes::CASES);
    let cases = cases.chain(feeds::CASES).chain(races::CASES).filter(|(name, _)| name.contains(part));
    let mut count = 0;
    for (name, case) in cases {
        let setting = Setting { place: PLACES.fetch_add(1, Ordering::Relaxed) };
        // Two nodes and what they see.
        let bench = Bench::set_up(make(setting).await, make(setting).await);
        if let Err(panic) = AssertUnwindSafe(case(bench)).catch_unwind().await {
            let said = panic.downcast_ref::<String>().map(String::as_str);
            let said = said.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("no message");
            panic!("contract case `{name}` failed: {said}");
        }
        count += 1;
    }
    assert!(count > 0, "there is no case {part:?}");
}

/// A case by its name.
type Case = (&'static str, fn(Bench) -> BoxFuture<'static, ()>);

/// Names each case after its function.
macro_rules! cases {
    ($($case:ident),+ $(,)?) => {
        /// The cases of this file.
        pub(super) const CASES: &[super::Case] = &[$((stringify!($case), |bench| Box::pin($case(bench)))),+];
    };
}
use cases;

/// One case's engine and what the case does with it.
#[derive(Clone)]
struct Bench {
    engine: Arc<dyn Presence>,
    /// As another node sees it.
    other: Arc<dyn Presence>,
    policy: Arc<PresencePolicy>,
    limits: Limits,
    holder: Holder,
}

impl Bench {
    fn set_up(engine: Arc<dyn Presence>, other: Arc<dyn Presence>) -> Self {
        let lease = Duration::from_secs(3600);
        let limits = Limits { topics_per_session_max: 1000, members_max: 1_000_000, waiting_max: 1_000_000, lease };
        Self { engine, other, policy: Arc::default(), limits, holder: holder("node") }
    }

    fn with_policy(mut self, policy: PresencePolicy) -> Self {
        self.policy = Arc::new(policy);
        self
    }

    /// The same engine as another node sees it.
    fn on(&self, name: &str) -> Self {
        Self { engine: Arc::clone(&self.other), holder: holder(name), ..self.clone() }
    }

    /// `session` enters; `who` is `session` or `session@user`.
    async fn enter(&self, topic: &TopicKey, who: &str, data: &str) -> Done {
        self.try_enter(topic, who, data).await.expect("it may enter")
    }

    async fn try_enter(&self, topic: &TopicKey, who: &str, data: &str) -> Result<Done, Error> {
        let (session, user) = who.split_once('@').map_or((who, None), |(session, user)| (session, Some(user)));
        let enter = Enter {
            topic: topic.clone(),
            policy: Arc::clone(&self.policy),
            holder: self.holder.clone(),
            session: self::session(session),
            user: user.map(self::user),
            info: None,
            data: (!data.is_empty()).then(|| raw(data)),
            now: Timestamp::from_micros(7),
            limits: self.limits,
        };
        self.engine.enter(enter).await
    }

    async fn update(&self, topic: &TopicKey, name: &str, data: &str) -> Result<Done, Error> {
        self.engine.update(topic, &session(name), &|_| Ok(Some(raw(data)))).await
    }

    async fn leave(&self, topic: &TopicKey, name: &str) -> Done {
        self.engine.leave(topic, &session(name), &self.holder).await.expect("it may leave")
    }

    /// Another topic of the same shard.
    fn beside(&self, topic: &TopicKey) -> TopicKey {
        let names = (0..).map(|n| self::topic(&format!("b:{n}")));
        let shard = self.engine.shard_of(topic);
        names.into_iter().find(|other| self.engine.shard_of(other) == shard).expect("there are many")
    }

    /// Everything in the feed of a shard, in order.
    async fn feed(&self, shard: u16) -> Vec<(u64, Change)> {
        const PAGE: usize = 100;
        let (mut all, mut after) = (Vec::new(), 0);
        loop {
            let page = self.engine.feed(shard, after, PAGE, Duration::ZERO).await.expect("the feed is told");
            assert!(page.len() <= PAGE, "no more than asked for");
            let Some((last, _)) = page.last() else { return all };
            after = *last;
            all.extend(page);
        }
    }

    /// What has changed in a topic, in order. Checks the chain of revisions.
    async fn changes(&self, topic: &TopicKey) -> Vec<Change> {
        let (mut changes, mut position) = (Vec::<Change>::new(), 0);
        for (at, change) in self.feed(self.engine.shard_of(topic)).await {
            assert!(at > position, "positions grow");
            position = at;
            if change.topic != *topic {
                continue;
            }
            match changes.last() {
                Some(before) if before.count > 0 => {
                    assert_eq!((change.prev, change.rev), (before.rev, before.rev + 1), "revisions grow by one");
                }
                before => {
                    assert!(before.is_none_or(|before| change.rev > before.rev), "revisions never go back");
                    assert_eq!(change.prev, 0, "it begins with nobody");
                }
            }
            assert!(changes.last().is_none_or(|before| before.life == change.life), "nothing was lost");
            changes.push(change);
        }
        changes
    }

    /// What happened, in short.
    async fn told(&self, topic: &TopicKey) -> Vec<String> {
        self.changes(topic).await.iter().map(|change| told(&change.what)).collect()
    }

    async fn members(&self, topic: &TopicKey) -> Members {
        self.engine.members(topic, None, usize::MAX, usize::MAX).await.expect("members are told")
    }

    /// The ids of the members with what they say.
    async fn list(&self, topic: &TopicKey) -> Vec<String> {
        self.members(topic).await.members.iter().map(|member| shown(member)).collect()
    }

    async fn occupancy(&self, topic: &TopicKey) -> Occupancy {
        let all = self.engine.occupancy(std::slice::from_ref(topic)).await.expect("occupancy is told");
        assert_eq!(all.len(), 1, "one answer for one topic");
        all[0]
    }
}

fn topic(name: &str) -> TopicKey {
    TopicKey::new(Tenant::default(), Topic::new(name).expect("a valid topic"))
}

fn session(name: &str) -> SessionId {
    SessionId::new(name).expect("a valid session id")
}

fn user(name: &str) -> UserId {
    UserId::new(name).expect("a valid user")
}

fn holder(name: &str) -> Holder {
    Holder(Arc::from(name))
}

fn raw(json: &str) -> Box<RawValue> {
    RawValue::from_string(json.to_owned()).expect("valid JSON")
}

/// `id` or `id=data`.
fn shown(member: &Member) -> String {
    member.data.as_ref().map_or_else(|| member.id.clone(), |data| format!("{}={}", member.id, data.get()))
}

/// `+`, `~` or `-` and the member.
fn told(what: &What) -> String {
    match what {
        What::Joined(member) => format!("+{}", shown(member)),
        What::Updated(member) => format!("~{}", shown(member)),
        What::Left(member) => format!("-{}", shown(member)),
    }
}
