//! From a principal to a session.

use std::net::IpAddr;
use std::sync::Arc;

use fanfare_auth::{Principal, Sealed};
use fanfare_model::{SessionId, Topic};
use metrics::counter;

use super::{Denied, ask, seal};
use crate::{Goodbye, Hook, Node, Protocol, Session, SessionInfo, metrics as names};

/// What is known of a client beside who it is.
#[derive(Debug, Clone)]
pub struct Visitor {
    /// What it speaks.
    pub protocol: Protocol,
    /// Its address as the server sees it.
    pub address: Option<IpAddr>,
    /// How it names itself.
    pub client: Option<Arc<str>>,
}

/// Somebody who was let in.
pub struct Entered {
    /// The session.
    pub session: Session,
    /// Whether an earlier session goes on with it.
    pub resumed: bool,
    /// A token with which it can go on after its connection is lost.
    pub resume: Option<Sealed>,
    /// The topics that it receives without asking, each once.
    pub standing: Vec<Standing>,
    /// The topics that it is a member of still, since before its connection was lost. Its grants have yet to be asked.
    pub member_of: Vec<Topic>,
}

/// A topic that a session receives without asking.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Standing {
    /// Which.
    pub topic: Topic,
    /// Whether the server or the application wants it so, so that the session's grants are not asked. Otherwise its
    /// token names it.
    pub granted: bool,
}

/// Takes in a session, unless the application, a limit or the stop of the node is against it.
pub async fn enter(node: &Node, principal: Principal, visitor: Visitor) -> Result<Entered, Denied> {
    let info = SessionInfo {
        id: principal.resumes.clone().unwrap_or_else(SessionId::generate),
        tenant: principal.tenant.clone(),
        user: principal.user.clone(),
        protocol: visitor.protocol,
        connected_at: node.clock.now(),
        expires_at: principal.expires_at,
        address: visitor.address,
        client: visitor.client,
    };
    let place = || node.quotas.session(&info.tenant, info.user.as_ref(), info.address);
    // Before the application is asked, which is not to be flooded.
    let permit = match place() {
        Err(exceeded) if !node.sessions.has_room_to_make(&info) => return Err(exceeded.into()),
        early => early.ok(),
    };
    let allowed = ask::hook(node, Hook::Connect, &info, &principal, None, None).await?;
    let standing = standing(node, &principal, allowed.subscribe);
    let permit = if let Some(permit) = permit {
        permit
    } else {
        node.sessions.make_room_for(&info);
        place()?
    };
    let (tenant, id, resumed) = (info.tenant.clone(), info.id.clone(), principal.resumes.is_some());
    let resume = seal(node, &principal, &id);
    let principal = Arc::new(principal);
    let session = node.sessions.register(info, Arc::clone(&principal))?.holding(permit, &node.presence);
    // Whoever was revoked since the credentials were looked at was not in the registry when that was said.
    if node.auth.revocations().is_revoked(&principal) {
        session.end(Goodbye::Revoked);
    }
    let mut member_of = Vec::new();
    if resumed {
        counter!(names::RESUMED, "protocol" => visitor.protocol.as_str()).increment(1);
        member_of = node.presence.resumed(&tenant, &id).await;
    }
    Ok(Entered { session, resumed, resume, standing, member_of })
}

/// Every topic that a session of `principal` receives without asking.
fn standing(node: &Node, principal: &Principal, by_application: Vec<Topic>) -> Vec<Standing> {
    let personal = principal.user.as_ref().and_then(|user| node.options.personal_topic_of(user));
    let granted = personal.into_iter().chain(by_application).map(|topic| Standing { topic, granted: true });
    let named = principal.subscribe.iter().map(|topic| Standing { topic: topic.clone(), granted: false });
    let mut standing: Vec<Standing> = Vec::new();
    for topic in granted.chain(named) {
        if !standing.iter().any(|known| known.topic == topic.topic) {
            standing.push(topic);
        }
    }
    standing
}
