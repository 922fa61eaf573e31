//! Who is in a topic.

use std::sync::Arc;

use bytes::Bytes;
use fanfare_model::Topic;
use fanfare_presence::{Diff, Member, Members};
use fanfare_proto::v1;
use serde_json::value::RawValue;

/// A page of members.
pub fn state(topic: &Topic, page: &Members) -> v1::PresenceState {
    v1::PresenceState {
        topic: topic.as_str().to_owned(),
        rev: page.rev,
        count: page.count,
        members: members(&page.members),
        next: page.next.clone().unwrap_or_default(),
        occupancy_only: page.occupancy_only,
    }
}

/// What has changed.
pub(crate) fn diff(topic: &Topic, diff: &Diff) -> v1::PresenceDiff {
    v1::PresenceDiff {
        topic: topic.as_str().to_owned(),
        prev: diff.prev,
        rev: diff.rev,
        count: diff.count,
        join: members(&diff.join),
        update: members(&diff.update),
        leave: members(&diff.leave),
        occupancy_only: diff.occupancy_only,
    }
}

fn members(members: &[Arc<Member>]) -> Vec<v1::Member> {
    let member = |member: &Arc<Member>| v1::Member {
        id: member.id.clone(),
        user: member.user.as_ref().map(|user| user.as_str().to_owned()).unwrap_or_default(),
        info: json(member.info.as_deref()),
        data: json(member.data.as_deref()),
        since: member.since.as_micros(),
    };
    members.iter().map(member).collect()
}

/// JSON, or nothing for none.
fn json(json: Option<&RawValue>) -> Bytes {
    json.map(|json| Bytes::copy_from_slice(json.get().as_bytes())).unwrap_or_default()
}
