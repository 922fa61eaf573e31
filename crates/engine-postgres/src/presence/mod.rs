//! Who is in which topic, as rows.

mod news;
mod read;

use std::sync::Arc;
use std::time::Duration;

use fanfare_cluster::Fence;
use fanfare_lifecycle::Lifecycle;
use fanfare_model::{SessionId, Tenant, Topic, TopicKey, UserId};
use fanfare_presence::{Change, Done, Edit, Enter, Error, Holder, Member, Members, Occupancy, Presence};
use futures_util::future::BoxFuture;
use serde_json::value::RawValue;
use sqlx::Row as _;
use sqlx::postgres::PgRow;

use crate::columns;
use crate::error::Failure;
use crate::metrics::Call;
use crate::options::Options;
use crate::server::SharedServer;
use news::News;

/// Members that one transaction takes out, so that its shard is not locked for long.
const UNSEAT_MAX: i32 = 500;

/// [`Presence`] over one schema of a database.
pub(crate) struct PgPresence {
    server: SharedServer,
    shards: u16,
    news: News,
}

/// What came of a change.
enum Came {
    Done(Done),
    TooManyTopics,
    Full,
    Conflict,
    NotMember,
}

impl PgPresence {
    pub(crate) fn new(server: SharedServer, options: &Options, shards: u16, life: &Lifecycle) -> Self {
        let news = News::start(&server, options, shards, life);
        Self { server, shards, news }
    }

    fn place(&self, topic: &TopicKey) -> i32 {
        i32::from(self.shard_of(topic))
    }

    async fn enter_now(&self, enter: &Enter, id: &str) -> Result<Came, Failure> {
        let raw = |raw: Option<&RawValue>| raw.map(|raw| raw.get().to_owned());
        let mut connection = self.server.borrow(Call::Presence).await?;
        let query = sqlx::query(
            "SELECT * FROM presence_enter($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15)",
        )
        .bind(self.place(&enter.topic))
        .bind(enter.topic.tenant.as_str())
        .bind(enter.topic.topic.as_str())
        .bind(enter.session.as_str())
        .bind(id)
        .bind(enter.user.as_ref().map(UserId::as_str))
        .bind(raw(enter.info.as_deref()))
        .bind(raw(enter.data.as_deref()))
        .bind(enter.now.as_micros())
        .bind(&*enter.holder.0)
        .bind(columns::number(enter.policy.members_max))
        .bind(columns::number(enter.limits.topics_per_session_max as u64))
        .bind(columns::number(enter.limits.members_max as u64))
        .bind(columns::number(enter.limits.waiting_max as u64))
        .bind(columns::micros(enter.limits.lease));
        let row = self.server.limit(query.fetch_one(&mut *connection)).await;
        let row = connection.done(row)?;
        Ok(match row.try_get::<i16, _>("state")? {
            0 => Came::Done(self.done(&enter.topic, &row)?),
            1 => Came::TooManyTopics,
            _ => Came::Full,
        })
    }

    async fn data_of(&self, topic: &TopicKey, session: &SessionId) -> Result<Option<Option<String>>, Failure> {
        let mut connection = self.server.borrow(Call::Presence).await?;
        let query = sqlx::query_scalar(
            "SELECT m.data FROM presence_seat s
             JOIN presence_member m ON m.tenant = s.tenant AND m.topic = s.topic AND m.id = s.member
             WHERE s.tenant = $1 AND s.topic = $2 AND s.session = $3",
        )
        .bind(topic.tenant.as_str())
        .bind(topic.topic.as_str())
        .bind(session.as_str());
        let data = self.server.limit(query.fetch_optional(&mut *connection)).await;
        connection.done(data)
    }

    async fn swap_data(
        &self,
        topic: &TopicKey,
        session: &SessionId,
        expected: Option<&str>,
        data: Option<&str>,
    ) -> Result<Came, Failure> {
        let mut connection = self.server.borrow(Call::Presence).await?;
        let query = sqlx::query("SELECT * FROM presence_update($1, $2, $3, $4, $5, $6)")
            .bind(self.place(topic))
            .bind(topic.tenant.as_str())
            .bind(topic.topic.as_str())
            .bind(session.as_str())
            .bind(expected)
            .bind(data);
        let row = self.server.limit(query.fetch_one(&mut *connection)).await;
        let row = connection.done(row)?;
        Ok(match row.try_get::<i16, _>("state")? {
            0 => Came::Done(self.done(topic, &row)?),
            1 => Came::Conflict,
            _ => Came::NotMember,
        })
    }

    /// Takes a session, or a user's sessions, out of a topic; says how many sessions.
    async fn unseat(
        &self,
        topic: &TopicKey,
        session: Option<(&SessionId, &Holder)>,
        user: Option<&UserId>,
    ) -> Result<(Done, u64), Failure> {
        let mut connection = self.server.borrow(Call::Presence).await?;
        let query = sqlx::query("SELECT * FROM presence_unseat($1, $2, $3, $4, $5, $6, 0)")
            .bind(self.place(topic))
            .bind(topic.tenant.as_str())
            .bind(topic.topic.as_str())
            .bind(session.map(|(session, _)| session.as_str()))
            .bind(session.map(|(_, holder)| &*holder.0))
            .bind(user.map(UserId::as_str));
        let row = self.server.limit(query.fetch_one(&mut *connection)).await;
        let row = connection.done(row)?;
        Ok((self.done(topic, &row)?, columns::count(row.try_get("seats")?)))
    }

    fn done(&self, topic: &TopicKey, row: &PgRow) -> Result<Done, Failure> {
        let position = columns::count(row.try_get("changed_at")?);
        if position > 0 {
            self.news.changed(self.shard_of(topic), position);
        }
        Ok(Done { rev: columns::count(row.try_get("rev")?), changed: position > 0, position })
    }

    /// Takes some of the dead out of a shard; says how many.
    async fn unseat_dead(&self, shard: i32) -> Result<u64, Failure> {
        let mut connection = self.server.borrow(Call::Presence).await?;
        let query = sqlx::query("SELECT * FROM presence_unseat($1, NULL, NULL, NULL, NULL, NULL, $2)")
            .bind(shard)
            .bind(UNSEAT_MAX);
        let row = self.server.limit(query.fetch_one(&mut *connection)).await;
        let row = connection.done(row)?;
        if let Ok(shard) = u16::try_from(shard) {
            self.news.changed(shard, columns::count(row.try_get("changed_at")?));
        }
        Ok(columns::count(row.try_get("seats")?))
    }

    async fn reap_now(&self, holder: &Holder) -> Result<usize, Failure> {
        let mut connection = self.server.borrow(Call::Presence).await?;
        let query = sqlx::query_scalar("SELECT presence_dead($1)").bind(&*holder.0);
        let shards = self.server.limit(query.fetch_all(&mut *connection)).await;
        let shards: Vec<i32> = connection.done(shards)?;
        let mut reaped = 0;
        for shard in shards {
            loop {
                let gone = self.unseat_dead(shard).await?;
                if gone == 0 {
                    break;
                }
                reaped += usize::try_from(gone).unwrap_or(usize::MAX);
            }
        }
        Ok(reaped)
    }

    async fn remove_user_now(&self, tenant: &Tenant, user: &UserId) -> Result<usize, Failure> {
        let mut topics = 0;
        for topic in self.topics_of_now(tenant, user).await? {
            let (_, sessions) = self.unseat(&TopicKey::new(tenant.clone(), topic), None, Some(user)).await?;
            topics += usize::from(sessions > 0);
        }
        Ok(topics)
    }

    async fn heartbeat_now(&self, holder: &Holder, lease: Duration) -> Result<bool, Failure> {
        let mut connection = self.server.borrow(Call::Presence).await?;
        let query =
            sqlx::query_scalar("SELECT presence_heartbeat($1, $2)").bind(&*holder.0).bind(columns::micros(lease));
        let alive = self.server.limit(query.fetch_one(&mut *connection)).await;
        connection.done(alive)
    }

    async fn fed_now(&self, shard: u16, fence: Fence, upto: u64) -> Result<bool, Failure> {
        let mut connection = self.server.borrow(Call::Presence).await?;
        let query = sqlx::query_scalar("SELECT presence_fed($1, $2, $3)")
            .bind(i32::from(shard))
            .bind(columns::number(fence.get()))
            .bind(columns::number(upto));
        let taken = self.server.limit(query.fetch_one(&mut *connection)).await;
        connection.done(taken)
    }
}

fn unavailable(failure: Failure) -> Error {
    Error::Unavailable(Box::new(failure))
}

impl Presence for PgPresence {
    fn outlives_node(&self) -> bool {
        true
    }

    fn shards(&self) -> u16 {
        self.shards
    }

    fn enter(&self, enter: Enter) -> BoxFuture<'_, Result<Done, Error>> {
        Box::pin(async move {
            let id = enter.member_id()?.to_owned();
            match self.enter_now(&enter, &id).await.map_err(unavailable)? {
                Came::Done(done) => Ok(done),
                Came::TooManyTopics => Err(Error::TooManyTopics { topics_max: enter.limits.topics_per_session_max }),
                Came::Full | Came::Conflict | Came::NotMember => Err(Error::Full),
            }
        })
    }

    fn update<'a>(
        &'a self,
        topic: &'a TopicKey,
        session: &'a SessionId,
        change: Edit<'a>,
    ) -> BoxFuture<'a, Result<Done, Error>> {
        Box::pin(async move {
            loop {
                let known = self.data_of(topic, session).await.map_err(unavailable)?.ok_or(Error::NotMember)?;
                let raw = known.clone().map(RawValue::from_string).transpose();
                let raw = raw.map_err(|_| unavailable(Failure::Damaged("data")))?;
                let data = change(raw.as_deref())?;
                let data = data.as_deref().map(RawValue::get);
                match self.swap_data(topic, session, known.as_deref(), data).await.map_err(unavailable)? {
                    Came::Done(done) => return Ok(done),
                    Came::Conflict => {}
                    Came::NotMember | Came::Full | Came::TooManyTopics => return Err(Error::NotMember),
                }
            }
        })
    }

    fn leave<'a>(
        &'a self,
        topic: &'a TopicKey,
        session: &'a SessionId,
        holder: &'a Holder,
    ) -> BoxFuture<'a, Result<Done, Error>> {
        Box::pin(async move {
            let (done, _) = self.unseat(topic, Some((session, holder)), None).await.map_err(unavailable)?;
            Ok(done)
        })
    }

    fn members<'a>(
        &'a self,
        topic: &'a TopicKey,
        after: Option<&'a str>,
        limit: usize,
        bytes_max: usize,
    ) -> BoxFuture<'a, Result<Members, Error>> {
        Box::pin(async move { self.members_now(topic, after, limit, bytes_max).await.map_err(unavailable) })
    }

    fn occupancy<'a>(&'a self, topics: &'a [TopicKey]) -> BoxFuture<'a, Result<Vec<Occupancy>, Error>> {
        Box::pin(async move { self.occupancy_now(topics).await.map_err(unavailable) })
    }

    fn topics_of<'a>(&'a self, tenant: &'a Tenant, user: &'a UserId) -> BoxFuture<'a, Result<Vec<Topic>, Error>> {
        Box::pin(async move { self.topics_of_now(tenant, user).await.map_err(unavailable) })
    }

    fn topics_in<'a>(
        &'a self,
        tenant: &'a Tenant,
        session: &'a SessionId,
        holder: &'a Holder,
    ) -> BoxFuture<'a, Result<Vec<Topic>, Error>> {
        Box::pin(async move { self.topics_in_now(tenant, session, holder).await.map_err(unavailable) })
    }

    fn adopt<'a>(
        &'a self,
        tenant: &'a Tenant,
        session: &'a SessionId,
        holder: &'a Holder,
    ) -> BoxFuture<'a, Result<Vec<(Topic, Arc<Member>)>, Error>> {
        Box::pin(async move { self.adopt_now(tenant, session, holder).await.map_err(unavailable) })
    }

    fn remove_user<'a>(&'a self, tenant: &'a Tenant, user: &'a UserId) -> BoxFuture<'a, Result<usize, Error>> {
        Box::pin(async move { self.remove_user_now(tenant, user).await.map_err(unavailable) })
    }

    fn heartbeat<'a>(&'a self, holder: &'a Holder, lease: Duration) -> BoxFuture<'a, Result<bool, Error>> {
        Box::pin(async move { self.heartbeat_now(holder, lease).await.map_err(unavailable) })
    }

    fn reap<'a>(&'a self, holder: &'a Holder) -> BoxFuture<'a, Result<usize, Error>> {
        Box::pin(async move { self.reap_now(holder).await.map_err(unavailable) })
    }

    fn feed(
        &self,
        shard: u16,
        after: u64,
        limit: usize,
        wait: Duration,
    ) -> BoxFuture<'_, Result<Vec<(u64, Change)>, Error>> {
        Box::pin(async move { self.feed_now(shard, after, limit, wait).await.map_err(unavailable) })
    }

    fn fed(&self, shard: u16, fence: Fence, upto: u64) -> BoxFuture<'_, Result<bool, Error>> {
        Box::pin(async move { self.fed_now(shard, fence, upto).await.map_err(unavailable) })
    }

    fn fed_position(&self, shard: u16) -> BoxFuture<'_, Result<u64, Error>> {
        Box::pin(async move { self.fed_position_now(shard).await.map_err(unavailable) })
    }
}
