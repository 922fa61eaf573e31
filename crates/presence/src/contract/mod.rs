//! What every engine must do, as a function that runs against any [`Presence`].
//!
//! Each case is a named function on an engine of its own; a failure names the case. The numbers in the comments are
//! those of the conformance suite (engine reference, section 8).
//!
//! ```
//! # use std::sync::Arc;
//! # use fanfare_presence::{Presence, contract, memory::MemoryPresence};
//! # let runtime = tokio::runtime::Builder::new_multi_thread().build().unwrap();
//! # runtime.block_on(
//! contract::run(|| async { Arc::new(MemoryPresence::new()) as Arc<dyn Presence> })
//! # );
//! ```

mod crowding;
mod entering;
mod heard;
mod nodes;
mod races;
mod users;

use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use fanfare_bus::PresencePolicy;
use fanfare_model::{SessionId, Tenant, Timestamp, Topic, TopicKey, UserId};
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use serde_json::value::RawValue;

use crate::engine::{Done, Enter, Holder, Limits, Presence, What};
use crate::error::Error;
use crate::member::{Member, Members, Occupancy};
use heard::Heard;

/// Runs every case on engines that `make` makes. Needs a tokio runtime.
///
/// # Panics
///
/// When a case fails; the message names it.
pub async fn run<M, F>(make: M)
where
    M: Fn() -> F,
    F: Future<Output = Arc<dyn Presence>>,
{
    let cases = entering::CASES.iter().chain(users::CASES).chain(crowding::CASES);
    for (name, case) in cases.chain(nodes::CASES).chain(races::CASES) {
        let bench = Bench::set_up(make().await);
        if let Err(panic) = AssertUnwindSafe(case(bench)).catch_unwind().await {
            let said = panic.downcast_ref::<String>().map(String::as_str);
            let said = said.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("no message");
            panic!("contract case `{name}` failed: {said}");
        }
    }
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
    heard: Arc<Heard>,
    policy: Arc<PresencePolicy>,
    limits: Limits,
    holder: Holder,
}

impl Bench {
    fn set_up(engine: Arc<dyn Presence>) -> Self {
        let heard = Arc::new(Heard::default());
        let hear: Arc<dyn crate::engine::Hear> = Arc::clone(&heard) as _;
        engine.connect(Arc::downgrade(&hear));
        let hour = Duration::from_secs(3600);
        let limits = Limits { topics_per_session_max: 1000, members_max: 1_000_000, lease: hour };
        Self { engine, heard, policy: Arc::default(), limits, holder: holder("node") }
    }

    fn with_policy(mut self, policy: PresencePolicy) -> Self {
        self.policy = Arc::new(policy);
        self
    }

    /// The same engine as another node sees it.
    fn on(&self, name: &str) -> Self {
        Self { holder: holder(name), ..self.clone() }
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
