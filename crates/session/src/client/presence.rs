//! Being in topics, and seeing who is.

use std::sync::Arc;

use fanfare_auth::Action;
use fanfare_bus::SubscriptionId;
use fanfare_model::{Topic, TopicKey};
use fanfare_presence::{Error as PresenceError, Members, Who};

use super::{Client, Done, Failure, PresenceAct, Push, Reply, UNAVAILABLE};
use crate::access;

/// How many members a client gets that does not say how many.
const MEMBERS_DEFAULT: usize = 100;

/// What a client has to do with presence. Most have nothing, so it is kept apart.
#[derive(Default)]
pub(super) struct Presence {
    /// The topics that it is a member of.
    member_of: Vec<Topic>,
    /// The topics whose changes it is told, by the subscriptions of their companions.
    watches: Vec<(SubscriptionId, Topic)>,
    /// Those of which it has missed changes, so that it must be told the members again.
    missed: Vec<Topic>,
}

impl Presence {
    /// The topic that a companion is watched for.
    pub(super) fn watched(&self, id: SubscriptionId) -> Option<&Topic> {
        self.watches.iter().find(|(known, _)| *known == id).map(|(_, topic)| topic)
    }

    /// Changes were missed.
    pub(super) fn missed(&mut self, topic: Topic) {
        if !self.missed.contains(&topic) {
            self.missed.push(topic);
        }
    }

    pub(super) fn has_missed(&self) -> bool {
        !self.missed.is_empty()
    }
}

impl Client {
    pub(super) async fn presence(&mut self, topic: Topic, act: PresenceAct) -> Result<Done, Failure> {
        let session = Arc::clone(self.session()?);
        let handle = self.host.node.presence.clone();
        let key = self.key(&topic)?;
        // Whoever has lost the grant may still go.
        if !matches!(act, PresenceAct::Leave) {
            access::presence(&session.principal(), &topic)?;
        }
        let rev = match act {
            PresenceAct::Enter(data) => {
                let rev = handle.enter(&key, &self.who()?, data).await?;
                self.is_member(topic.clone());
                rev
            }
            PresenceAct::Update(patch) => handle.update(&key, &self.who()?, &patch).await?,
            PresenceAct::Leave => {
                let rev = handle.leave(&key, &session.info().id).await?;
                self.is_no_member(&topic);
                rev
            }
            PresenceAct::Read { after, limit } => {
                let members = handle.members(&key, after.as_deref(), limit.unwrap_or(MEMBERS_DEFAULT)).await?;
                return Ok(Done::quiet(Reply::Members { topic, members }));
            }
        };
        Ok(Done::quiet(Reply::Presence { topic, rev }))
    }

    /// Becomes a member if that is what subscribing means there, and it may.
    pub(super) async fn enter_on_subscribe(&mut self, topic: &Topic) -> Result<(), Failure> {
        let may = self.enters_on_subscribe(topic) && self.principal()?.may(Action::Presence, topic);
        // Who comes back keeps what it has said of itself.
        if !may || self.presence.as_ref().is_some_and(|presence| presence.member_of.contains(topic)) {
            return Ok(());
        }
        match self.host.node.presence.enter(&self.key(topic)?, &self.who()?, None).await {
            Ok(_) => self.is_member(topic.clone()),
            // Members are users there, and it has none: it may listen all the same.
            Err(PresenceError::NeedsUser { .. }) => {}
            Err(error) => return Err(error.into()),
        }
        Ok(())
    }

    /// Begins to tell of changes; gives what there is before the first.
    pub(super) async fn watch(&mut self, topic: &Topic) -> Result<Push, Failure> {
        let request = access::watch(&*self.principal()?, topic)?;
        // First this, so that no change falls in between.
        let watching = self.reader.subscribe(request).await.map_err(fanfare_bus::Error::from)?;
        self.presence.get_or_insert_default().watches.push((watching.id, topic.clone()));
        let members = self.members(topic).await?;
        Ok(Push::Members { topic: topic.clone(), members })
    }

    /// Tells of changes no more.
    pub(super) fn unwatch(&mut self, topic: &Topic) {
        let Some(presence) = &mut self.presence else { return };
        presence.missed.retain(|missed| missed != topic);
        let reader = &mut self.reader;
        presence.watches.retain(|(id, watched)| {
            if watched == topic {
                reader.unsubscribe(*id);
            }
            watched != topic
        });
    }

    /// Whether it is told of changes.
    pub(super) fn watches(&self, topic: &Topic) -> bool {
        self.presence.as_ref().is_some_and(|presence| presence.watches.iter().any(|(_, watched)| watched == topic))
    }

    /// Tells the members again where changes were missed.
    pub(super) async fn catch_up_with_members(&mut self) {
        let missed = self.presence.as_mut().map(|presence| std::mem::take(&mut presence.missed)).unwrap_or_default();
        for topic in missed {
            if let Ok(members) = self.members(&topic).await {
                self.push(&Push::Members { topic, members });
            } else {
                // Whoever believes to know who is there must not be left in that belief.
                self.drop_subscription(&topic).await;
                let (code, reason) = UNAVAILABLE;
                self.push(&Push::Unsubscribed { topic, code, reason });
            }
        }
    }

    /// Goes on being a member, after its connection was lost, where it still may.
    pub(super) async fn stay(&mut self, member_of: Vec<Topic>) {
        for topic in member_of {
            self.is_member(topic);
        }
        self.leave_where_it_may_not_be().await;
    }

    /// Leaves the topics whose presence its grants do not allow.
    pub(super) async fn leave_where_it_may_not_be(&mut self) {
        let (Some(presence), Ok(principal)) = (&self.presence, self.principal()) else { return };
        let may_not = presence.member_of.iter().filter(|topic| !principal.may(Action::Presence, topic));
        for topic in may_not.cloned().collect::<Vec<_>>() {
            self.leave(&topic).await;
        }
    }

    /// Is a member no more. If that cannot be carried out, the end of the session will.
    pub(super) async fn leave(&mut self, topic: &Topic) {
        let (Ok(session), Ok(key)) = (self.session(), self.key(topic)) else { return };
        let session = session.info().id;
        match self.host.node.presence.leave(&key, &session).await {
            Ok(_) => self.is_no_member(topic),
            Err(error) => tracing::warn!(error = %error, "a session could not leave a topic"),
        }
    }

    async fn members(&mut self, topic: &Topic) -> Result<Members, Failure> {
        let key = self.key(topic)?;
        // As many as a page may have.
        Ok(self.host.node.presence.members(&key, None, usize::MAX).await?)
    }

    fn is_member(&mut self, topic: Topic) {
        let member_of = &mut self.presence.get_or_insert_default().member_of;
        if !member_of.contains(&topic) {
            member_of.push(topic);
        }
    }

    fn is_no_member(&mut self, topic: &Topic) {
        if let Some(presence) = &mut self.presence {
            presence.member_of.retain(|known| known != topic);
        }
    }

    fn key(&self, topic: &Topic) -> Result<TopicKey, Failure> {
        Ok(TopicKey::new(self.principal()?.tenant.clone(), topic.clone()))
    }

    fn who(&self) -> Result<Who, Failure> {
        let session = self.session()?;
        let (id, principal) = (session.info().id, session.principal());
        Ok(Who { session: id, user: principal.user.clone(), info: principal.info.as_ref().map(Arc::clone) })
    }
}
