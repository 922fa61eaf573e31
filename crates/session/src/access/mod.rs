//! Who may do what: the same code at every door.
//!
//! [`admit`] makes a principal of a credential, [`enter`] a session of a principal. The rest says what a session may
//! do: [`subscribe`], [`publish`] and [`presence`] by its grants alone; [`may_subscribe`], [`may_publish`] and
//! [`may_refresh`] ask everybody who has a say: grants, policy, limits and the application's hooks.

mod ask;
mod denied;
mod enter;

use fanfare_auth::{Action, Door, Principal, Refusal, Sealed};
use fanfare_bus::{OnSlow, Subscribe};
use fanfare_model::{Kind, SessionId, StartFrom, Tag, Topic, TopicKey};

use crate::Node;
use crate::problem::Problem;

pub use ask::{Receiving, may_publish, may_refresh, may_subscribe};
pub use denied::Denied;
pub use enter::{Entered, Standing, Visitor, enter};

/// Who comes in with `credential` (a token, an API key, a resume token), or without any. Waits for an issuer's keys
/// if they have to be fetched.
pub async fn admit(node: &Node, door: Door, credential: Option<&str>) -> Result<Principal, Refusal> {
    match credential {
        Some(credential) => node.auth.admit(door, credential).await,
        None => anonymous(node, door),
    }
}

/// As [`admit`], with the keys that are known.
pub fn authenticate(node: &Node, door: Door, credential: Option<&str>) -> Result<Principal, Refusal> {
    match credential {
        Some(credential) => node.auth.authenticate(door, credential),
        None => anonymous(node, door),
    }
}

/// Who comes in with a ticket, shown from the page's `origin` if the request has one. Where nodes share tickets, the one
/// that is shown it first, of all nodes, claims it.
pub async fn redeem(node: &Node, ticket: &str, origin: Option<&str>) -> Result<Principal, Problem> {
    if !node.auth.shares_tickets() {
        return Ok(node.auth.redeem(Door::Client, ticket, origin)?);
    }
    let shown = node.auth.show_ticket(Door::Client, ticket)?;
    let name = format!("ticket/{}", shown.name());
    match node.cluster.leases().acquire(&name, node.cluster.id().as_str(), shown.keep()).await {
        Ok(claimed) => Ok(node.auth.redeem_shown(Door::Client, shown, origin, claimed.is_some())?),
        Err(error) => {
            tracing::warn!(error = %error, "a ticket could not be claimed");
            Err(Problem::new(Kind::Unavailable, "tickets cannot be taken now"))
        }
    }
}

fn anonymous(node: &Node, door: Door) -> Result<Principal, Refusal> {
    // Without a credential and without anonymous access, an empty one is refused with the right reason.
    node.auth.anonymous(door).map_or_else(|| node.auth.authenticate(door, ""), Ok)
}

/// A token with which `session` can go on after its connection is lost; none if there are none.
pub fn seal(node: &Node, principal: &Principal, session: &SessionId) -> Option<Sealed> {
    node.auth.seal(principal, session)
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

/// Whether `principal` may append to `topic`.
pub fn publish(principal: &Principal, topic: &Topic) -> Result<(), Refusal> {
    principal.authorize(Action::Publish, topic)
}

/// Whether `principal` may be in `topic` and see who is.
pub fn presence(principal: &Principal, topic: &Topic) -> Result<(), Refusal> {
    principal.authorize(Action::Presence, topic)
}

/// The request to see changes of who is in `topic`, for one who may.
pub fn watch(principal: &Principal, topic: &Topic) -> Result<Subscribe, Refusal> {
    presence(principal, topic)?;
    let topic = TopicKey::new(principal.tenant.clone(), topic.signals());
    Ok(Subscribe { topic, start: StartFrom::Now, on_slow: Some(OnSlow::Skip), history: false })
}
