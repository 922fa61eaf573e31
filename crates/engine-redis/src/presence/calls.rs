//! Calls of the scripts of presence.

use fanfare_model::{SessionId, Tenant, Topic, TopicKey};
use fanfare_presence::Done;
use futures_util::future::try_join_all;
use redis::{Cmd, Value};

use super::feed::position;
use super::{GARBLED, Place, RedisPresence};
use crate::answers;
use crate::error::Failure;
use crate::keys::{Partition, joined};
use crate::metrics::Operation;
use crate::scripts;

/// A seat that was taken away: where, whose, and what it was put down under in the list of its session.
pub(super) struct Removed {
    pub(super) topic: TopicKey,
    session: SessionId,
    token: Vec<u8>,
}

impl RedisPresence {
    /// One operation of the script on one partition. All of them may be done twice.
    pub(super) async fn ask(
        &self,
        partition: Partition,
        operation: &str,
        arguments: &[&[u8]],
    ) -> Result<Value, Failure> {
        let feed = [self.servers.keys.key(partition, "pfeed", b"")];
        let make = |link: &crate::servers::Link| {
            let mut call = scripts::PRESENCE.with(&feed);
            call.arg(self.servers.keys.tag(partition)).arg(&*link.identity.life).arg(operation);
            for argument in arguments {
                call.arg(*argument);
            }
            vec![call]
        };
        self.call(partition, make).await
    }

    /// One command, or one script that is not that of presence.
    pub(super) async fn call(
        &self,
        partition: Partition,
        make: impl Fn(&crate::servers::Link) -> Vec<Cmd>,
    ) -> Result<Value, Failure> {
        let answer = self.servers.call(Operation::Presence, partition, true, make).await?;
        answer.into_iter().next().ok_or(GARBLED)
    }

    /// The list of a session: its partition and its key.
    fn list(&self, tenant: &Tenant, session: &SessionId) -> (Partition, [Vec<u8>; 1]) {
        let name = joined(&[tenant.as_str(), session.as_str()]);
        let partition = Partition::of(&name);
        (partition, [self.servers.keys.key(partition, "plist", &name)])
    }

    /// Puts a topic in the list of a session. `None`: there are too many. Otherwise whether it is new there.
    pub(super) async fn put_down(
        &self,
        topic: &TopicKey,
        session: &SessionId,
        token: &[u8],
        topics_max: usize,
    ) -> Result<Option<bool>, Failure> {
        let (partition, key) = self.list(&topic.tenant, session);
        let make = |_: &_| {
            let mut call = scripts::SESSIONS.with(&key);
            call.arg("add").arg(topic.topic.as_str()).arg(token).arg(topics_max);
            vec![call]
        };
        match self.call(partition, make).await? {
            Value::Nil => Ok(None),
            Value::Int(new) => Ok(Some(new == 1)),
            _ => Err(GARBLED),
        }
    }

    /// Takes a topic off the list of a session, unless it has come again.
    pub(super) async fn take_off(&self, topic: &TopicKey, session: &SessionId, token: &[u8]) -> Result<(), Failure> {
        let (partition, key) = self.list(&topic.tenant, session);
        let make = |_: &_| {
            let mut call = scripts::SESSIONS.with(&key);
            call.arg("drop").arg(topic.topic.as_str()).arg(token);
            vec![call]
        };
        self.call(partition, make).await.map(drop)
    }

    pub(super) async fn take_off_all(&self, removed: &[Removed]) -> Result<(), Failure> {
        let each = removed.iter().map(|seat| self.take_off(&seat.topic, &seat.session, &seat.token));
        try_join_all(each).await.map(drop)
    }

    /// The topics on the list of a session, sorted, with their tokens.
    pub(super) async fn listed(&self, tenant: &Tenant, session: &SessionId) -> Result<Vec<(Topic, Vec<u8>)>, Failure> {
        let (partition, key) = self.list(tenant, session);
        let make = |_: &_| {
            let mut get = redis::cmd("HGETALL");
            get.arg(&key[0]);
            vec![get]
        };
        let mut topics: Vec<(Topic, Vec<u8>)> = match self.call(partition, make).await? {
            Value::Map(fields) => fields
                .iter()
                .filter_map(|(topic, token)| {
                    Some((Topic::from_stored(answers::text(topic)?).ok()?, answers::bytes(token)?.to_vec()))
                })
                .collect(),
            Value::Array(fields) if fields.is_empty() => Vec::new(),
            _ => return Err(GARBLED),
        };
        topics.sort_unstable();
        Ok(topics)
    }

    /// What is on the list of a session and where it is not: nothing is as it says any more.
    pub(super) async fn tidy_list(&self, tenant: &Tenant, session: &SessionId) -> Result<(), Failure> {
        let listed = self.listed(tenant, session).await?;
        let each = listed.into_iter().map(|(topic, token)| async move {
            let topic = TopicKey::new(tenant.clone(), topic);
            match self.held(&topic, session).await? {
                Some(_) => Ok(()),
                None => self.take_off(&topic, session, &token).await,
            }
        });
        try_join_all(each).await.map(drop)
    }

    /// Who holds a session in a topic.
    pub(super) async fn held(&self, topic: &TopicKey, session: &SessionId) -> Result<Option<Vec<u8>>, Failure> {
        let place = Place::of(topic);
        match self.ask(place.partition, "held", &[&place.flat, session.as_str().as_bytes()]).await? {
            Value::Nil => Ok(None),
            Value::Array(seat) => Ok(seat.first().and_then(answers::bytes).map(<[u8]>::to_vec)),
            _ => Err(GARBLED),
        }
    }

    /// Reads the answer of what changes a topic, and rings if it did.
    pub(super) fn done(&self, partition: Partition, answer: &Value) -> Result<Done, Failure> {
        let Value::Array(fields) = answer else { return Err(GARBLED) };
        let [rev, changed, id, ..] = &fields[..] else { return Err(GARBLED) };
        let rev = answers::unsigned(rev).ok_or(GARBLED)?;
        if answers::number(changed) != Some(1) {
            return Ok(Done { rev, changed: false, position: 0 });
        }
        self.news(partition).notify_waiters();
        let position = answers::text(id).and_then(position).ok_or(GARBLED)?;
        Ok(Done { rev, changed: true, position })
    }

    /// Reads the answer of what takes seats away.
    pub(super) fn removed(&self, partition: Partition, answer: &Value) -> Result<Vec<Removed>, Failure> {
        let Value::Array(fields) = answer else { return Err(GARBLED) };
        if !fields.is_empty() {
            self.news(partition).notify_waiters();
        }
        let seat = |fields: &[Value]| {
            let [tenant, topic, session, token] = fields else { return None };
            let topic = Topic::from_stored(answers::text(topic)?).ok()?;
            let topic = TopicKey::new(Tenant::new(answers::text(tenant)?).ok()?, topic);
            let session = SessionId::new(answers::text(session)?).ok()?;
            Some(Removed { topic, session, token: answers::bytes(token)?.to_vec() })
        };
        fields.chunks(4).map(seat).collect::<Option<_>>().ok_or(GARBLED)
    }
}
