//! From a session to a stream: subscribing to every topic, and seeing who is there.

use fanfare_auth::Principal;
use fanfare_bus::Subscribed;
use fanfare_model::{Invalid, Topic};
use fanfare_session::access::{self, Denied, Entered, Receiving};
use fanfare_session::problem::Problem;
use fanfare_session::{Goodbye, Node, TooMany};

use crate::membership;
use crate::opened::Opened;
use crate::positions::Positions;
use crate::resume::{By, Plan, PlannedTopic};
use crate::watch::{Watch, members};

/// What a client wants of its stream besides events.
pub(crate) struct Extras {
    /// The topics of which it is told who is there.
    pub(crate) watched: Vec<Topic>,
    /// Whether it wants tokens to resume its session with.
    pub(crate) resumable: bool,
    /// Whether the stream begins with its cursor even if the client gave none.
    pub(crate) checkpoint: bool,
}

impl Extras {
    /// The topics to watch are those asked for that have presence. `Err`: none has, or `principal` may not see who is
    /// there.
    pub(crate) fn watched(node: &Node, plan: &Plan, principal: &Principal) -> Result<Vec<Topic>, Problem> {
        let topics = plan.topics.iter().map(|planned| &planned.topic);
        let watched: Vec<Topic> = topics.filter(|topic| node.bus.policy(topic).presence.is_some()).cloned().collect();
        if watched.is_empty() {
            return Err(Invalid::new("presence", "is asked for, and none of the topics has it").into());
        }
        for topic in &watched {
            access::presence(principal, topic)
                .map_err(|refusal| Problem::from(refusal).with("topic", topic.as_str()))?;
        }
        Ok(watched)
    }
}

/// Why a stream was not opened.
pub(crate) struct NotOpened {
    pub(crate) problem: Problem,
    /// The verdict, where it is told in a stream: whoever hears it there is to come back.
    pub(crate) goodbye: Goodbye,
}

impl From<Denied> for NotOpened {
    fn from(denied: Denied) -> Self {
        let goodbye = match &denied {
            // To whom these are said in a stream may try again later.
            Denied::TooMany(TooMany::OnNode | TooMany::OfUser) | Denied::Exceeded(_) => Goodbye::Overloaded,
            other => other.goodbye(),
        };
        Self { problem: denied.into(), goodbye }
    }
}

impl From<fanfare_bus::Error> for NotOpened {
    fn from(error: fanfare_bus::Error) -> Self {
        Self { problem: error.into(), goodbye: Goodbye::Unavailable }
    }
}

impl From<fanfare_presence::Error> for NotOpened {
    fn from(error: fanfare_presence::Error) -> Self {
        Self { goodbye: Goodbye::of_kind(error.kind()), problem: Problem::new(error.kind(), error) }
    }
}

impl NotOpened {
    fn with_topic(mut self, topic: &Topic) -> Self {
        self.problem = self.problem.with("topic", topic.as_str());
        self
    }
}

/// Subscribes to every topic of the plan, and to those that the session receives without asking.
pub(crate) async fn open(node: &Node, entered: Entered, mut plan: Plan, extras: Extras) -> Result<Opened, NotOpened> {
    let Entered { session, resume, standing, member_of, .. } = entered;
    let principal = session.principal();
    plan.add(standing, &principal);
    if plan.topics.is_empty() {
        let nothing = Problem::from(Invalid::new("request", "names no topic, and nothing else does"));
        return Err(NotOpened { problem: nothing, goodbye: Goodbye::BadRequest });
    }
    let live_after = node.clock.now();
    let mut reader = node.bus.reader();
    let mut subscribed: Vec<(&PlannedTopic, Subscribed)> = Vec::with_capacity(plan.topics.len());
    let (mut places, mut refused) = (Vec::with_capacity(plan.topics.len()), Vec::new());
    for planned in &plan.topics {
        let (topic, start) = (planned.topic.clone(), planned.start);
        let receiving = match planned.by {
            By::Server => Receiving::granted(&session, topic, start),
            By::Client | By::Token => access::may_subscribe(node, &session, topic, start, None).await,
        };
        let Receiving { request, place } = match receiving {
            Ok(receiving) => receiving,
            // The request is right, whatever the token says.
            Err(Denied::Refused(_)) if planned.by == By::Token => {
                refused.push(planned.topic.clone());
                continue;
            }
            Err(denied) => return Err(NotOpened::from(denied).with_topic(&planned.topic)),
        };
        subscribed.push((planned, reader.subscribe(request).await.map_err(fanfare_bus::Error::from)?));
        places.push(place);
    }
    let topics = subscribed.iter().map(|(planned, _)| &planned.topic);
    membership::settle(node, &session, topics, member_of).await?;
    let mut watch = Watch::new(principal.tenant.clone());
    let mut members_of = Vec::with_capacity(extras.watched.len());
    for topic in extras.watched {
        let request = access::watch(&principal, &topic).map_err(Denied::from)?;
        // First this, so that no change falls in between.
        let companion = reader.subscribe(request).await.map_err(fanfare_bus::Error::from)?;
        watch.add(companion.id, topic.clone());
        members_of.push((topic.clone(), members(node, principal.tenant.clone(), &topic).await?));
    }
    let gaps = subscribed.iter().filter_map(|(_, one)| one.gap.map(|gap| (one.id, gap, one.position))).collect();
    let state = plan.state(subscribed.iter().any(|(_, one)| one.gap.is_some()));
    let positions = subscribed.iter().map(|(planned, one)| (planned.topic.clone(), planned.position(one)));
    Ok(Opened {
        positions: Positions::new(positions),
        session,
        reader,
        places: places.into(),
        watch: (!members_of.is_empty()).then(|| Box::new(watch)),
        state,
        requested: plan.requested,
        checkpoint: extras.checkpoint,
        gaps,
        refused,
        resume: resume.filter(|_| extras.resumable),
        members: members_of,
        live_after,
    })
}
