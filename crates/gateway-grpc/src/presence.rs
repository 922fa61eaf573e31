//! `Presence`: who is in topics, as backends see it.

use fanfare_auth::Action;
use fanfare_dialect_proto as dialect;
use fanfare_model::{Topic, TopicKey, UserId};
use fanfare_proto::v1;
use fanfare_session::access;

use crate::call::Call;
use crate::fault::Fault;
use crate::paging::{limit, needed};

pub(crate) async fn members(call: Call, request: v1::MembersRequest) -> Result<v1::PresenceState, Fault> {
    let topic: Topic = needed("topic", &request.topic)?;
    access::presence(&call.principal, &topic).map_err(|refusal| Fault::from(refusal).of(&topic))?;
    let limit = limit(request.limit, &call.gateway.options)?;
    let after = (!request.after.is_empty()).then_some(request.after.as_str());
    let key = TopicKey::new(call.principal.tenant.clone(), topic);
    let members = call.gateway.node.presence.members(&key, after, limit).await;
    Ok(dialect::state(&key.topic, &members.map_err(|error| Fault::from(error).of(&key.topic))?))
}

pub(crate) async fn occupancy(call: Call, request: v1::OccupancyRequest) -> Result<v1::OccupancyResponse, Fault> {
    let (count, most) = (request.topics.len(), call.gateway.options.page_max);
    if !(1..=most).contains(&count) {
        return Err(Fault::field("topics", format_args!("are {count}; 1 to {most} are allowed")));
    }
    let mut keys = Vec::with_capacity(count);
    for (index, text) in request.topics.iter().enumerate() {
        let topic: Topic = needed(&format!("topics[{index}]"), text)?;
        access::presence(&call.principal, &topic).map_err(|refusal| Fault::from(refusal).of(&topic))?;
        keys.push(TopicKey::new(call.principal.tenant.clone(), topic));
    }
    let found = call.gateway.node.presence.occupancy(&keys).await?;
    let topics = request.topics.into_iter().zip(found);
    let topics = topics.map(|(topic, found)| v1::TopicOccupancy { topic, count: found.count, users: found.users });
    Ok(v1::OccupancyResponse { topics: topics.collect() })
}

pub(crate) async fn topics_of(call: Call, request: v1::TopicsOfRequest) -> Result<v1::TopicsOfResponse, Fault> {
    call.principal.authorize_any(Action::Admin)?;
    let user: UserId = needed("user", &request.user)?;
    let topics = call.gateway.node.presence.topics_of(&call.principal.tenant, &user).await?;
    Ok(v1::TopicsOfResponse { topics: topics.into_iter().map(String::from).collect() })
}

pub(crate) async fn remove_user(call: Call, request: v1::RemoveUserRequest) -> Result<v1::RemoveUserResponse, Fault> {
    call.principal.authorize_any(Action::Admin)?;
    let user: UserId = needed("user", &request.user)?;
    let removed = call.gateway.node.presence.remove_user(&call.principal.tenant, &user).await?;
    Ok(v1::RemoveUserResponse { removed: u32::try_from(removed).unwrap_or(u32::MAX) })
}
