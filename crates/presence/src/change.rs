//! What the feed of a shard is made of: [`Change`], in memory and as JSON.

use std::borrow::Cow;
use std::sync::Arc;

use fanfare_model::{Tenant, Timestamp, Topic, TopicKey};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::member::Member;

/// What happened to a member.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum What {
    /// It was not there before.
    Joined(Arc<Member>),
    /// It is as this now.
    Updated(Arc<Member>),
    /// It is not there any more; this is how it was.
    Left(Arc<Member>),
}

impl What {
    /// Whom it is about.
    pub fn member(&self) -> &Arc<Member> {
        match self {
            Self::Joined(member) | Self::Updated(member) | Self::Left(member) => member,
        }
    }
}

/// How much of the state is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Telling {
    /// The members.
    #[default]
    Members,
    /// Only how many there are.
    Occupancy,
    /// The members again from now on: whoever tells of it reads them first.
    MembersAgain,
}

impl Telling {
    /// What is told of a state of `count` members where `members_max` are named at most, after one of which only the
    /// number was told or not.
    pub fn of(count: u64, members_max: u64, only_number_before: bool) -> Self {
        if count > members_max {
            Self::Occupancy
        } else if !only_number_before {
            Self::Members
        } else if count <= members_max - members_max.div_ceil(10) {
            Self::MembersAgain
        } else {
            Self::Occupancy
        }
    }
}

/// A topic has changed by one revision.
///
/// As JSON, for engines that keep it as text: `{"tenant","topic","life","rev","prev","count","at","telling"?}` and one
/// of `join`, `update`, `leave` with the whole member. `telling` is left out where the members are told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// Which topic.
    pub topic: TopicKey,
    /// In which life of the engine's state: revisions mean something within one life only. Another one begins when the
    /// state was lost. At most 64 bytes, without control characters.
    pub life: Arc<str>,
    /// The revision afterwards.
    pub rev: u64,
    /// The revision before; 0 if nobody was there.
    pub prev: u64,
    /// How many members there are afterwards.
    pub count: u64,
    /// When it happened, by the engine's clock.
    pub at: Timestamp,
    /// What happened.
    pub what: What,
    /// How much is told of it.
    pub telling: Telling,
}

/// The JSON. Only one of the last three is there.
#[derive(Serialize, Deserialize)]
struct Form<'a> {
    tenant: Cow<'a, Tenant>,
    topic: Cow<'a, Topic>,
    life: Cow<'a, Arc<str>>,
    rev: u64,
    prev: u64,
    count: u64,
    at: Timestamp,
    #[serde(default, skip_serializing_if = "is_usual")]
    telling: Telling,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    join: Option<Cow<'a, Arc<Member>>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    update: Option<Cow<'a, Arc<Member>>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    leave: Option<Cow<'a, Arc<Member>>>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "the form that serde asks for")]
fn is_usual(telling: &Telling) -> bool {
    *telling == Telling::Members
}

impl Serialize for Change {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut form = Form {
            tenant: Cow::Borrowed(&self.topic.tenant),
            topic: Cow::Borrowed(&self.topic.topic),
            life: Cow::Borrowed(&self.life),
            rev: self.rev,
            prev: self.prev,
            count: self.count,
            at: self.at,
            telling: self.telling,
            join: None,
            update: None,
            leave: None,
        };
        let member = Some(Cow::Borrowed(self.what.member()));
        match self.what {
            What::Joined(_) => form.join = member,
            What::Updated(_) => form.update = member,
            What::Left(_) => form.leave = member,
        }
        form.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Change {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let form = Form::deserialize(deserializer)?;
        let what = match (form.join, form.update, form.leave) {
            (Some(member), None, None) => What::Joined(member.into_owned()),
            (None, Some(member), None) => What::Updated(member.into_owned()),
            (None, None, Some(member)) => What::Left(member.into_owned()),
            _ => return Err(de::Error::custom("one of `join`, `update` and `leave` is needed")),
        };
        Ok(Self {
            topic: TopicKey::new(form.tenant.into_owned(), form.topic.into_owned()),
            life: form.life.into_owned(),
            rev: form.rev,
            prev: form.prev,
            count: form.count,
            at: form.at,
            what,
            telling: form.telling,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_json() {
        let member = |json: &str| Arc::new(serde_json::from_str::<Member>(json).unwrap());
        let change = |what, telling| Change {
            topic: TopicKey::new(Tenant::default(), Topic::new("chat:1").unwrap()),
            life: Arc::from("l1"),
            rev: 7,
            prev: 6,
            count: 2,
            at: Timestamp::from_micros(5),
            what,
            telling,
        };
        let full = r#"{"id":"s","user":"u","info":{"a":1.50},"data":[1],"since":5}"#;
        for (what, telling, end) in [
            (What::Joined(member(full)), Telling::Members, format!(r#","join":{full}}}"#)),
            (
                What::Updated(member(r#"{"id":"s","since":5}"#)),
                Telling::Occupancy,
                r#","telling":"occupancy","update":{"id":"s","since":5}}"#.to_owned(),
            ),
            (
                What::Left(member(full)),
                Telling::MembersAgain,
                format!(r#","telling":"members_again","leave":{full}}}"#),
            ),
        ] {
            let change = change(what, telling);
            let json = serde_json::to_string(&change).unwrap();
            let begin = r#"{"tenant":"default","topic":"chat:1","life":"l1","rev":7,"prev":6,"count":2,"at":5"#;
            assert_eq!(json, format!("{begin}{end}"));
            assert_eq!(serde_json::from_str::<Change>(&json).unwrap(), change);
        }
        assert!(
            serde_json::from_str::<Change>(
                r#"{"tenant":"default","topic":"a","life":"","rev":1,"prev":0,"count":1,"at":5}"#
            )
            .is_err()
        );
    }

    #[test]
    fn a_crowd_is_named_again_when_there_are_a_tenth_fewer() {
        assert_eq!(Telling::of(20, 20, false), Telling::Members);
        assert_eq!(Telling::of(21, 20, false), Telling::Occupancy);
        assert_eq!(Telling::of(19, 20, true), Telling::Occupancy);
        assert_eq!(Telling::of(18, 20, true), Telling::MembersAgain);
        assert_eq!(Telling::of(1, u64::MAX, false), Telling::Members);
        assert_eq!(Telling::of(0, 0, true), Telling::MembersAgain);
    }
}
