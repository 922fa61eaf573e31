//! Who may do what: the same code at every door.

use fanfare_auth::{Action, Door, Principal, Refusal};
use fanfare_bus::{OnSlow, Subscribe};
use fanfare_model::{StartFrom, Tag, Topic, TopicKey};

use crate::Node;

/// Who comes in with `credential` (a JWT or an API key), or without any.
pub fn authenticate(node: &Node, door: Door, credential: Option<&str>) -> Result<Principal, Refusal> {
    match credential {
        Some(credential) => node.auth.authenticate(door, credential),
        // Without a credential and without anonymous access, an empty one is refused with the right reason.
        None => node.auth.anonymous(door).map_or_else(|| node.auth.authenticate(door, ""), Ok),
    }
}

/// The request to subscribe that `principal` may make, or why it may not.
///
/// Listening needs `subscribe`. Going back needs `history` as well, except from a position that the client was
/// given with an event: continuing where one was cut off is part of listening.
pub fn subscribe(
    principal: &Principal,
    topic: Topic,
    start: StartFrom,
    on_slow: Option<OnSlow>,
) -> Result<Subscribe, Refusal> {
    principal.authorize(Action::Subscribe, &topic)?;
    let needs_history = match start {
        StartFrom::Now => false,
        StartFrom::After(position) => position.tag == Tag::NONE,
        StartFrom::Start | StartFrom::Last(_) | StartFrom::Since(_) => true,
    };
    if needs_history {
        principal.authorize(Action::History, &topic)?;
    }
    let history = principal.may(Action::History, &topic);
    Ok(Subscribe { topic: TopicKey::new(principal.tenant.clone(), topic), start, on_slow, history })
}
