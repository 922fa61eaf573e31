//! Members and changes. What is JSON elsewhere stays JSON here.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use fanfare_model::{SessionId, Timestamp, Topic, UserId};
use fanfare_presence::{Change, Done, Enter, Holder, Limits, Member, Members};
use fanfare_proto::engine as proto;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;

use super::{Malformed, count, micros, to_count, to_name, to_topic, topic};

/// Of values that can always be written.
fn json(value: &impl Serialize) -> Bytes {
    serde_json::to_vec(value).unwrap_or_default().into()
}

fn to_json<T: DeserializeOwned>(bytes: &[u8], what: &'static str) -> Result<T, Malformed> {
    serde_json::from_slice(bytes).map_err(|_| Malformed(what))
}

fn raw(raw: &RawValue) -> Bytes {
    Bytes::copy_from_slice(raw.get().as_bytes())
}

pub(crate) fn to_holder(text: &str) -> Holder {
    Holder(Arc::from(text))
}

pub(crate) fn to_session(text: &str) -> Result<SessionId, Malformed> {
    SessionId::new(text).map_err(|_| Malformed("session"))
}

pub(crate) fn to_user(text: &str) -> Result<UserId, Malformed> {
    UserId::new(text).map_err(|_| Malformed("user"))
}

pub(crate) fn enter(enter: &Enter) -> proto::EnterRequest {
    proto::EnterRequest {
        topic: Some(topic(&enter.topic)),
        policy: json(&*enter.policy),
        holder: enter.holder.0.as_ref().to_owned(),
        session: enter.session.as_str().to_owned(),
        user: enter.user.as_ref().map(|user| user.as_str().to_owned()),
        info: enter.info.as_deref().map(raw),
        data: enter.data.as_deref().map(raw),
        now: enter.now.as_micros(),
        topics_per_session_max: count(enter.limits.topics_per_session_max),
        members_max: count(enter.limits.members_max),
        waiting_max: count(enter.limits.waiting_max),
        lease: micros(enter.limits.lease),
    }
}

pub(crate) fn to_enter(enter: &proto::EnterRequest) -> Result<Enter, Malformed> {
    let text = |bytes: &Bytes| to_json::<Box<RawValue>>(bytes, "JSON");
    Ok(Enter {
        topic: to_topic(enter.topic.as_ref())?,
        policy: Arc::new(to_json(&enter.policy, "policy")?),
        holder: to_holder(&enter.holder),
        session: to_session(&enter.session)?,
        user: enter.user.as_deref().map(to_user).transpose()?,
        info: enter.info.as_ref().map(text).transpose()?.map(Arc::from),
        data: enter.data.as_ref().map(text).transpose()?,
        now: Timestamp::from_micros(enter.now),
        limits: Limits {
            topics_per_session_max: to_count(enter.topics_per_session_max),
            members_max: to_count(enter.members_max),
            waiting_max: to_count(enter.waiting_max),
            lease: Duration::from_micros(enter.lease),
        },
    })
}

pub(crate) fn done(done: Done) -> proto::Done {
    let Done { rev, changed, position } = done;
    proto::Done { rev, changed, position }
}

pub(crate) fn to_done(done: proto::Done) -> Done {
    let proto::Done { rev, changed, position } = done;
    Done { rev, changed, position }
}

/// What a member says of itself.
pub(crate) fn said(data: Option<&RawValue>) -> proto::Said {
    proto::Said { data: data.map(raw) }
}

pub(crate) fn to_said(said: &proto::Said) -> Result<Option<Box<RawValue>>, Malformed> {
    said.data.as_ref().map(|bytes| to_json(bytes, "data of a member")).transpose()
}

pub(crate) fn members(members: &Members) -> proto::MembersResponse {
    proto::MembersResponse {
        rev: members.rev,
        count: members.count,
        members: members.members.iter().map(|member| json(&**member)).collect(),
        next: members.next.clone(),
        occupancy_only: members.occupancy_only,
    }
}

pub(crate) fn to_members(members: proto::MembersResponse) -> Result<Members, Malformed> {
    let member = |bytes: &Bytes| to_json::<Member>(bytes, "member").map(Arc::new);
    Ok(Members {
        rev: members.rev,
        count: members.count,
        members: members.members.iter().map(member).collect::<Result<_, _>>()?,
        next: members.next,
        occupancy_only: members.occupancy_only,
    })
}

pub(crate) fn seats(seats: &[(Topic, Arc<Member>)]) -> proto::AdoptResponse {
    let seat = |(topic, member): &(Topic, Arc<Member>)| proto::Seat {
        topic: topic.as_str().to_owned(),
        member: json(&**member),
    };
    proto::AdoptResponse { seats: seats.iter().map(seat).collect() }
}

pub(crate) fn to_seats(adopted: &proto::AdoptResponse) -> Result<Vec<(Topic, Arc<Member>)>, Malformed> {
    let seat = |seat: &proto::Seat| Ok((to_name(&seat.topic)?, Arc::new(to_json(&seat.member, "member")?)));
    adopted.seats.iter().map(seat).collect()
}

pub(crate) fn changes(changes: &[(u64, Change)]) -> proto::FeedResponse {
    let change = |(position, change): &(u64, Change)| proto::FeedChange { position: *position, change: json(change) };
    proto::FeedResponse { changes: changes.iter().map(change).collect() }
}

pub(crate) fn to_changes(feed: &proto::FeedResponse) -> Result<Vec<(u64, Change)>, Malformed> {
    feed.changes.iter().map(|of| Ok((of.position, to_json(&of.change, "change")?))).collect()
}
