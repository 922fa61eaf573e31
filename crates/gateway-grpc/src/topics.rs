//! `Topics`: lists, history, and forgetting events.

use fanfare_auth::Action;
use fanfare_bus::{Admin, Head, TopicsQuery};
use fanfare_dialect_proto as dialect;
use fanfare_model::{Kind, Topic, TopicKey};
use fanfare_proto::v1;
use fanfare_session::client::read_history;

use crate::call::Call;
use crate::fault::Fault;
use crate::paging::{given, limit, needed};

pub(crate) async fn list(call: Call, request: v1::ListTopicsRequest) -> Result<v1::ListTopicsResponse, Fault> {
    let query = TopicsQuery {
        tenant: call.principal.tenant.clone(),
        prefix: request.prefix,
        after: given("after", &request.after)?,
        limit: limit(request.limit, &call.gateway.options)?,
    };
    let page = call.gateway.node.bus.topics(query).await?;
    let next = page.topics.last().filter(|_| page.more).map(|(topic, _)| topic.as_str().to_owned());
    let topics = page.topics.into_iter().filter(|(topic, _)| may_see(&call, topic));
    let topics = topics.map(|(topic, head)| told(topic, head)).collect();
    Ok(v1::ListTopicsResponse { topics, next: next.unwrap_or_default() })
}

/// Whether the caller may know of `topic`.
pub(crate) fn may_see(call: &Call, topic: &Topic) -> bool {
    [Action::History, Action::Admin].into_iter().any(|action| call.principal.may(action, topic))
}

fn told(topic: Topic, head: Head) -> v1::Topic {
    v1::Topic { topic: topic.into(), position: head.last.to_string(), first: head.first }
}

pub(crate) async fn get(call: Call, request: v1::GetTopicRequest) -> Result<v1::Topic, Fault> {
    let topic: Topic = needed("topic", &request.topic)?;
    if !may_see(&call, &topic) {
        call.principal.authorize(Action::History, &topic).map_err(|refusal| Fault::from(refusal).of(&topic))?;
    }
    let heads = call.gateway.node.bus.heads(vec![TopicKey::new(call.principal.tenant.clone(), topic.clone())]).await?;
    let head = heads.into_iter().next();
    Ok(told(topic, head.ok_or_else(|| Fault::new(Kind::Unavailable, "the log gave no head for this topic"))?))
}

pub(crate) async fn history(call: Call, request: v1::ReadHistory) -> Result<v1::History, Fault> {
    let query = dialect::history_query(request)?;
    let topic = query.topic.clone();
    let gateway = &call.gateway;
    let page = read_history(&gateway.node, &gateway.options.limits(), &call.principal, query).await;
    Ok(dialect::history(&page.map_err(|error| Fault::from(&error).of(&topic))?))
}

pub(crate) async fn purge(call: Call, request: v1::PurgeTopicRequest) -> Result<v1::Topic, Fault> {
    forget(&call, &request.topic, None).await
}

pub(crate) async fn truncate(call: Call, request: v1::TruncateTopicRequest) -> Result<v1::Topic, Fault> {
    forget(&call, &request.topic, Some(request.before)).await
}

/// Removes events before an offset, or all.
async fn forget(call: &Call, topic: &str, before: Option<u64>) -> Result<v1::Topic, Fault> {
    let topic: Topic = needed("topic", topic)?;
    let principal = &call.principal;
    principal.authorize(Action::Admin, &topic).map_err(|refusal| Fault::from(refusal).of(&topic))?;
    let key = TopicKey::new(principal.tenant.clone(), topic.clone());
    let change = before.map_or_else(|| Admin::Purge(key.clone()), |offset| Admin::TruncateBefore(key.clone(), offset));
    let head = call.gateway.node.bus.admin(change).await?;
    tracing::info!(
        target: "fanfare::security",
        topic = topic.as_str(),
        tenant = principal.tenant.as_str(),
        issuer = &*principal.issuer,
        user = principal.user.as_ref().map(fanfare_model::UserId::as_str),
        before,
        "events of a topic removed"
    );
    Ok(told(topic, head))
}
