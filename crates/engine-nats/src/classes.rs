//! Which stream a topic is in.
//!
//! What is kept is said per stream, so every kind of the configuration has one; all other kinds share one; so does
//! everything that keeps nothing, in memory. A topic is one subject: `<prefix>.log.<class>.<tenant>.<topic>`.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use fanfare_bus::{Policies, Policy};
use fanfare_model::{Tenant, Topic, TopicKey};

use crate::error::Error;
use crate::life::Stream;
use crate::link::Link;
use crate::options::Options;
use crate::stream::Wanted;
use crate::token;

/// Events stay so much longer than they are read, at least: the last of them is what proves to a reader that it missed
/// nothing.
const AGE_SLACK_MIN: Duration = Duration::from_secs(60);

/// The topics of one stream.
pub(crate) struct Class {
    /// Its place among the classes.
    pub(crate) index: usize,
    pub(crate) stream: Arc<Stream>,
    /// What the subjects of its topics begin with, the last dot included.
    pub(crate) subject: String,
    /// What its live subjects begin with, the last dot included.
    pub(crate) live: String,
    /// Whether nothing of these topics is kept.
    pub(crate) passing: bool,
    /// Whether its live subjects carry hints of another engine's log, of which there is no stream.
    pub(crate) hints: bool,
    /// The most events of a topic.
    pub(crate) events_max: Option<u64>,
}

/// A topic's place.
#[derive(Clone)]
pub(crate) struct Spot {
    pub(crate) key: TopicKey,
    pub(crate) class: Arc<Class>,
    /// Its subject.
    pub(crate) subject: String,
}

impl Spot {
    /// The topic within its class: `<tenant>.<topic>`.
    pub(crate) fn tail(&self) -> &str {
        &self.subject[self.class.subject.len()..]
    }

    /// The part of the live subjects that it is in.
    pub(crate) fn part(&self, parts: u32) -> u32 {
        // FNV-1a of both tokens, as the servers' `partition` computes it.
        let hash = self
            .tail()
            .bytes()
            .filter(|byte| *byte != b'.')
            .fold(0x811c_9dc5_u32, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193));
        hash % parts
    }
}

/// The topic of `<tenant>.<topic>`.
pub(crate) fn topic_of(tail: &str) -> Option<TopicKey> {
    let (tenant, topic) = tail.split_once('.')?;
    let tenant = Tenant::new(token::name(tenant)?).ok()?;
    Some(TopicKey::new(tenant, Topic::from_stored(&token::name(topic)?).ok()?))
}

/// All classes.
pub(crate) struct Classes {
    policies: Arc<Policies>,
    by_kind: BTreeMap<String, Arc<Class>>,
    internal: BTreeMap<String, Arc<Class>>,
    any: Arc<Class>,
    passing: Arc<Class>,
    all: Vec<Arc<Class>>,
}

impl Classes {
    /// Makes the streams that are not there, and brings the others to what the policies say.
    pub(crate) async fn open(link: &Link, options: &Options, policies: Arc<Policies>) -> Result<Self, Error> {
        let mut all = Vec::new();
        let (mut by_kind, mut internal) = (BTreeMap::new(), BTreeMap::new());
        // A kind has no `=`, so no kind has the name of one of the others.
        let passing = Self::passing_class(link, options, &mut all).await?;
        let fallback = policies.all().find(|(kind, _)| *kind == "*").map(|(_, policy)| policy.clone());
        let fallback = fallback.ok_or_else(|| Error::Configuration("there is no policy for topics".to_owned()))?;
        // Also if the fallback keeps nothing: then it is empty, until a kind without a policy of its own moves there.
        let any = Self::kept(link, options, "any=", "log", &fallback, &mut all).await?;
        for (kind, policy) in policies.all().filter(|(kind, policy)| *kind != "*" && policy.history) {
            let word = token::of(kind);
            let class = Self::kept(link, options, &word, &format!("log-{word}"), policy, &mut all).await?;
            by_kind.insert(kind.to_owned(), class);
        }
        for (topic, policy) in policies.internal() {
            let name = topic.internal_name().unwrap_or_default().to_owned();
            let word = token::of(&name);
            let class =
                Self::kept(link, options, &format!("in={word}"), &format!("in-{word}"), policy, &mut all).await?;
            internal.insert(name, class);
        }
        Ok(Self { policies, by_kind, internal, any, passing, all })
    }

    /// The classes of a carrier: what keeps nothing, and hints of everything else.
    pub(crate) async fn carried(link: &Link, options: &Options, policies: Arc<Policies>) -> Result<Self, Error> {
        let mut all = Vec::new();
        let passing = Self::passing_class(link, options, &mut all).await?;
        let prefix = &options.prefix;
        let hints = Arc::new(Class {
            index: all.len(),
            // Whose leader confirms that this node is listened for.
            stream: Arc::clone(&passing.stream),
            subject: format!("{prefix}.log.hint=."),
            live: format!("{prefix}.live.hint=."),
            passing: false,
            hints: true,
            events_max: None,
        });
        all.push(Arc::clone(&hints));
        let internal = policies.internal().map(|(topic, _)| topic.internal_name().unwrap_or_default().to_owned());
        let internal = internal.map(|name| (name, Arc::clone(&hints))).collect();
        Ok(Self { policies, by_kind: BTreeMap::new(), internal, any: hints, passing, all })
    }

    async fn kept(
        link: &Link,
        options: &Options,
        word: &str,
        stream: &str,
        policy: &Policy,
        all: &mut Vec<Arc<Class>>,
    ) -> Result<Arc<Class>, Error> {
        let slack = |age: Duration| age + age.max(AGE_SLACK_MIN);
        let wanted = Wanted {
            // One more than is read: what was before the first that is.
            per_subject_max: policy.keep.events_max.map(|max| max.saturating_add(1)),
            age_max: policy.keep.age_max.map(slack),
            window: options.idempotency_window.get(),
            ..Self::wanted(options, word, stream)
        };
        Self::make(link, options, word, wanted, (policy.keep.events_max, false), all).await
    }

    async fn passing_class(link: &Link, options: &Options, all: &mut Vec<Arc<Class>>) -> Result<Arc<Class>, Error> {
        let wanted = Wanted {
            in_memory: true,
            per_subject_max: Some(1),
            age_max: Some(options.passing_age_max.get()),
            bytes_max: Some(options.passing_bytes_max.0),
            // Signals come once, and nobody sends one again.
            window: Duration::from_secs(1),
            ..Self::wanted(options, "pass=", "pass")
        };
        Self::make(link, options, "pass=", wanted, (Some(0), true), all).await
    }

    fn wanted(options: &Options, word: &str, stream: &str) -> Wanted {
        let (prefix, parts) = (&options.prefix, options.live_parts);
        let name = format!("{prefix}-{stream}");
        let source = format!("{prefix}.log.{word}.*.*");
        let live =
            format!("{prefix}.live.{word}.{{{{partition({parts},1,2)}}}}.{{{{wildcard(1)}}}}.{{{{wildcard(2)}}}}");
        // Places are what readers come back with, so they are small.
        let records = Wanted::records(name, source.clone(), options.replicas);
        Wanted { republish: Some((source, live)), is_ever_growing: false, ..records }
    }

    async fn make(
        link: &Link,
        options: &Options,
        word: &str,
        wanted: Wanted,
        (events_max, passing): (Option<u64>, bool),
        all: &mut Vec<Arc<Class>>,
    ) -> Result<Arc<Class>, Error> {
        let prefix = &options.prefix;
        let class = Arc::new(Class {
            index: all.len(),
            stream: Stream::open(link, wanted).await?,
            subject: format!("{prefix}.log.{word}."),
            live: format!("{prefix}.live.{word}."),
            passing,
            hints: false,
            events_max,
        });
        all.push(Arc::clone(&class));
        Ok(class)
    }

    /// The class of a topic.
    pub(crate) fn of(&self, topic: &Topic) -> &Arc<Class> {
        if !self.policies.of(topic).history {
            return &self.passing;
        }
        if let Some(name) = topic.internal_name() {
            return self.internal.get(name).unwrap_or(&self.passing);
        }
        self.by_kind.get(topic.kind()).unwrap_or(&self.any)
    }

    /// Where a topic is.
    pub(crate) fn spot(&self, key: &TopicKey) -> Spot {
        Self::spot_in(Arc::clone(self.of(&key.topic)), key)
    }

    /// Where a topic is that keeps nothing.
    pub(crate) fn passing_spot(&self, key: &TopicKey) -> Spot {
        Self::spot_in(Arc::clone(&self.passing), key)
    }

    fn spot_in(class: Arc<Class>, key: &TopicKey) -> Spot {
        let mut subject = class.subject.clone();
        token::write(key.tenant.as_str(), &mut subject);
        subject.push('.');
        token::write(key.topic.as_str(), &mut subject);
        Spot { key: key.clone(), class, subject }
    }

    /// Every class.
    pub(crate) fn all(&self) -> &[Arc<Class>] {
        &self.all
    }
}
