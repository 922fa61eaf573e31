//! What is to be logged of a topic.

use std::sync::Arc;

use fanfare_bus::{Happening, PresencePolicy};
use fanfare_cluster::Fence;
use fanfare_model::{Data, DataKind, Draft, EventId, EventName, Key, Source, Timestamp, TopicKey};
use xxhash_rust::xxh3::Xxh3;

use crate::change::Change;
use crate::member::Member;

/// The time from a member's join to its leave, or from when a topic is occupied until it is vacated. Its name makes the
/// ids of the two events, so that each is stored once however often it is written. Where changes outlive the node, each
/// makes a name of its own.
pub(super) type Stay = Arc<str>;

/// Where in the feeds the change is that is noted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Origin {
    pub(crate) shard: u16,
    pub(crate) position: u64,
    /// With which this node owned the shard when it read the change.
    pub(crate) fence: Fence,
    /// A former owner of the shard may have logged it.
    pub(crate) doubtful: bool,
}

/// Whether a note may be in the log already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Doubt {
    /// It is not.
    None,
    /// It was tried, and there was no answer.
    Tried,
    /// A former owner of the shard may have tried it at any time.
    Inherited,
}

/// A fresh one.
pub(super) fn new_stay() -> Stay {
    Arc::from(EventId::generate().as_str())
}

/// The name that a change makes: the same for every node that reads it. Whom it is about is a part of it, because a
/// revision that was lost may be given again.
pub(super) fn name_of(change: &Change) -> Stay {
    let (topic, member) = (&change.topic, change.what.member());
    let mut hash = Xxh3::new();
    for part in [topic.tenant.as_str(), topic.topic.as_str(), &change.life, &member.id] {
        hash.update(part.as_bytes());
        hash.update(b"\0");
    }
    hash.update(&change.rev.to_le_bytes());
    hash.update(&member.since.as_micros().to_le_bytes());
    Arc::from(format!("{:032x}", hash.digest128()))
}

/// Something that happened and is to be logged.
#[derive(Debug, Clone)]
pub(super) struct Note {
    pub(super) topic: TopicKey,
    pub(super) happening: Happening,
    pub(super) stay: Stay,
    /// Who joined or left.
    pub(super) member: Option<Arc<Member>>,
    pub(super) at: Timestamp,
    /// Its place among all that are written; given when that is tried for the first time.
    pub(super) number: Option<u64>,
    /// Where it is from; `None`: an earlier process left it.
    pub(super) origin: Option<Origin>,
    /// Whether it may be in the log already.
    pub(super) doubt: Doubt,
}

impl Note {
    /// Whether the policy wants the event itself, or only that the stay is known.
    pub(super) fn is_wanted(&self, policy: &PresencePolicy) -> bool {
        policy.log.contains(&self.happening)
    }

    /// Whether it begins its stay.
    pub(super) fn begins(&self) -> bool {
        matches!(self.happening, Happening::Join | Happening::Occupied)
    }

    pub(super) fn event_id(&self) -> EventId {
        let (_, word) = name(self.happening).split_at("fanfare.".len());
        EventId::new(format!("{}.{word}", self.stay)).expect("a UUID and a word")
    }

    /// The event.
    pub(super) fn draft(&self) -> Draft {
        let data = match &self.member {
            Some(member) => {
                let json = serde_json::to_vec(&**member).expect("it is made of what JSON can say");
                Data::from_stored(DataKind::Json, json.into())
            }
            None => Data::from_stored(DataKind::Json, "{}".into()),
        };
        Draft {
            id: self.event_id(),
            name: Some(EventName::new(name(self.happening)).expect("a word of the program")),
            user: self.member.as_ref().and_then(|member| member.user.clone()),
            key: self.member.as_ref().and_then(|member| Key::new(&member.id).ok()),
            source: Some(Source::new("presence").expect("a word of the program")),
            occurred_at: Some(self.at),
            ..Draft::new(data)
        }
    }
}

fn name(happening: Happening) -> &'static str {
    match happening {
        Happening::Occupied => "fanfare.occupied",
        Happening::Vacated => "fanfare.vacated",
        Happening::Join => "fanfare.join",
        Happening::Leave => "fanfare.leave",
    }
}
