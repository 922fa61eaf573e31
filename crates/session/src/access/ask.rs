//! What everybody who has a say must allow.

use std::sync::Arc;

use fanfare_auth::{Door, Principal};
use fanfare_bus::{OnSlow, Subscribe};
use fanfare_model::{Draft, StartFrom, Topic, TopicKey};

use super::{Denied, admit, publish, subscribe};
use crate::quota::Place;
use crate::{Allow, Ask, Hook, Node, Session, SessionInfo, Verdict};

/// A subscription that a session may begin.
pub struct Receiving {
    /// What to ask the reader for.
    pub request: Subscribe,
    /// Its place among those of its user, tenant and address, to be held as long as it lasts.
    pub place: Option<Place>,
}

impl Receiving {
    /// A subscription on the server's or the application's authority: the session's grants and the hooks are not
    /// asked.
    pub fn granted(session: &Session, topic: Topic, start: StartFrom) -> Result<Self, Denied> {
        let topic = TopicKey::new(session.principal().tenant.clone(), topic);
        let request = Subscribe { topic, start, on_slow: None, history: true };
        Ok(Self { request, place: session.subscription()? })
    }
}

/// Whether `session` may receive `topic`: by its grants, its limits and the application's hook.
pub async fn may_subscribe(
    node: &Node,
    session: &Session,
    topic: Topic,
    start: StartFrom,
    on_slow: Option<OnSlow>,
) -> Result<Receiving, Denied> {
    let principal = session.principal();
    let request = subscribe(&principal, topic, start, on_slow)?;
    let place = session.subscription()?;
    if wants(node, Hook::Subscribe, Some(&request.topic.topic)) {
        let topic = Some(&request.topic.topic);
        hook(node, Hook::Subscribe, &session.info(), &principal, topic, None).await?;
    }
    Ok(Receiving { request, place })
}

/// What `session` may append to `topic` when it wants to append `draft`: by its grants, the topic's policy, its limits
/// and the application's hook, which may put another in its place.
pub async fn may_publish(node: &Node, session: &Session, topic: &Topic, draft: Draft) -> Result<Draft, Denied> {
    let principal = session.principal();
    publish(&principal, topic)?;
    if !node.bus.policy(topic).client_publish {
        return Err(Denied::ClientPublishOff(topic.clone()));
    }
    let info = session.info();
    node.quotas.publish(&info.tenant, info.user.as_ref(), info.address, 1, draft.size())?;
    if !wants(node, Hook::Publish, Some(topic)) {
        return Ok(draft);
    }
    let allowed = hook(node, Hook::Publish, &info, &principal, Some(topic), Some(draft.clone())).await?;
    Ok(allowed.draft.unwrap_or(draft))
}

/// Who `session` goes on as with `credential`: the same user of the same tenant, unless the application is against it.
pub async fn may_refresh(node: &Node, session: &Session, credential: &str) -> Result<Principal, Denied> {
    let principal = admit(node, Door::Client, Some(credential)).await?;
    let info = session.info();
    if principal.tenant != info.tenant || principal.user != info.user {
        return Err(Denied::OtherIdentity);
    }
    hook(node, Hook::Refresh, &info, &principal, None, None).await?;
    Ok(principal)
}

fn wants(node: &Node, hook: Hook, topic: Option<&Topic>) -> bool {
    node.hooks.as_ref().is_some_and(|hooks| hooks.wants(hook, topic))
}

/// Asks the application, if it wants to be asked.
pub(super) async fn hook(
    node: &Node,
    hook: Hook,
    info: &SessionInfo,
    principal: &Principal,
    topic: Option<&Topic>,
    draft: Option<Draft>,
) -> Result<Allow, Denied> {
    let Some(hooks) = node.hooks.as_ref().filter(|hooks| hooks.wants(hook, topic)) else { return Ok(Allow::default()) };
    let ask = Ask {
        hook,
        tenant: info.tenant.clone(),
        session: Some(info.id.clone()),
        user: info.user.clone(),
        protocol: info.protocol,
        address: info.address,
        client: info.client.clone(),
        info: principal.info.as_ref().map(Arc::clone),
        topic: topic.cloned(),
        draft,
    };
    match hooks.ask(ask).await {
        Verdict::Allow(allowed) => Ok(allowed),
        Verdict::Deny { reason, disconnect } => Err(Denied::ByApplication { reason, disconnect }),
        Verdict::Unavailable => Err(Denied::Undecided),
    }
}
