//! Being a member of topics by listening to them, where their policy says so.

use std::sync::Arc;

use fanfare_auth::Action;
use fanfare_bus::Enter;
use fanfare_model::{Topic, TopicKey};
use fanfare_presence::{Error, Who};
use fanfare_session::{Node, Session};

/// Whether who listens to a topic is a member of it.
pub(crate) fn comes_by_listening(node: &Node, topic: &Topic) -> bool {
    node.bus.policy(topic).presence.as_ref().is_some_and(|presence| presence.enter == Enter::OnSubscribe)
}

/// Makes `session` a member of those of `topics` where that comes by listening. Where it is one still, since before its
/// connection was lost, it stays, with what it said of itself, unless its grants do not allow that any more.
pub(crate) async fn settle<'a>(
    node: &Node,
    session: &Session,
    topics: impl Iterator<Item = &'a Topic>,
    member_of: Vec<Topic>,
) -> Result<(), Error> {
    let (principal, info) = (session.principal(), session.info());
    let key = |topic: &Topic| TopicKey::new(info.tenant.clone(), topic.clone());
    for topic in member_of.iter().filter(|topic| !principal.may(Action::Presence, topic)) {
        node.presence.leave(&key(topic), &info.id).await?;
    }
    for topic in topics.filter(|topic| comes_by_listening(node, topic) && !member_of.contains(topic)) {
        if !principal.may(Action::Presence, topic) {
            continue;
        }
        let info_of_user = principal.info.as_ref().map(Arc::clone);
        let who = Who { session: info.id.clone(), user: info.user.clone(), info: info_of_user };
        match node.presence.enter(&key(topic), &who, None).await {
            // Members are users there, and it has none: it may listen all the same.
            Ok(_) | Err(Error::NeedsUser { .. }) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}
