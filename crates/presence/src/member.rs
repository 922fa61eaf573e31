//! Members, and what is told of them.

use std::sync::Arc;

use fanfare_model::{SessionId, Timestamp, UserId};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

/// The session behind a call, as the doors know it.
#[derive(Debug, Clone)]
pub struct Who {
    /// Which session.
    pub session: SessionId,
    /// Whose, if it is known.
    pub user: Option<UserId>,
    /// What the token says about the user (`fanfare.info`), shown to others as it is.
    pub info: Option<Arc<RawValue>>,
}

/// Someone who is in a topic.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Member {
    /// The session, or the user where members are users. Unique in its topic.
    pub id: String,
    /// Whose session it is, if that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<UserId>,
    /// What the token says about the user.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub info: Option<Arc<RawValue>>,
    /// What the member says of itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data: Option<Box<RawValue>>,
    /// Since when it is a member.
    pub since: Timestamp,
}

impl Member {
    /// About what it counts for in memory and on a wire, in bytes.
    pub(crate) fn size(&self) -> usize {
        // Names and punctuation of the JSON, and `since`.
        const STRUCTURE: usize = 64;
        let raw = |raw: Option<&RawValue>| raw.map_or(0, |raw| raw.get().len());
        STRUCTURE
            + self.id.len()
            + self.user.as_ref().map_or(0, |user| user.as_str().len())
            + raw(self.info.as_deref())
            + raw(self.data.as_deref())
    }

    /// What is told of a member that has left: those who listen know the rest.
    pub(crate) fn farewell(&self) -> Self {
        Self { id: self.id.clone(), user: self.user.clone(), info: None, data: None, since: self.since }
    }
}

/// Two members are the same if everything that is told of them is, byte by byte.
impl PartialEq for Member {
    fn eq(&self, other: &Self) -> bool {
        let raw = |raw: Option<&RawValue>| raw.map(|raw| raw.get().to_owned());
        (&self.id, &self.user, self.since) == (&other.id, &other.user, other.since)
            && raw(self.info.as_deref()) == raw(other.info.as_deref())
            && raw(self.data.as_deref()) == raw(other.data.as_deref())
    }
}

impl Eq for Member {}

/// Who is in a topic, or one page of it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Members {
    /// The revision that this is the state at. Differences of a higher revision apply to it.
    pub rev: u64,
    /// How many members there are in all.
    pub count: u64,
    /// The members of this page, sorted by id.
    pub members: Vec<Arc<Member>>,
    /// Where the next page begins, if there is one: the id of the last member of this one.
    pub next: Option<String>,
    /// There are too many to name ([`fanfare_bus::PresencePolicy::members_max`]): only the number is told.
    pub occupancy_only: bool,
}

/// How many are in a topic.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Occupancy {
    /// Members.
    pub count: u64,
    /// Different users among them.
    pub users: u64,
}
