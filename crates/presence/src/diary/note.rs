//! What is to be logged of a topic.

use std::sync::Arc;

use fanfare_bus::{Happening, PresencePolicy};
use fanfare_model::{Data, DataKind, Draft, EventId, EventName, Key, Source, Timestamp, TopicKey};

use crate::member::Member;

/// The time from a member's join to its leave, or from when a topic is occupied until it is vacated. Its name makes the
/// ids of the two events, so that each is stored once however often it is written.
pub(super) type Stay = Arc<str>;

/// A fresh one.
pub(super) fn new_stay() -> Stay {
    Arc::from(EventId::generate().as_str())
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
