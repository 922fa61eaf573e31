//! The seam.

use std::time::Duration;

use async_trait::async_trait;
use fanfare_cluster::Fence;
use fanfare_model::{SessionId, Tenant, Topic, TopicKey, UserId};
use fanfare_presence::{Adopted, Change, Done, Edit, Enter, Error, Holder, Members, Occupancy, Presence};
use serde_json::value::RawValue;
use tokio::time::Instant;

use super::read::{MEMBERS, adopted, change, occupancy, page, topic};
use super::{PgPresence, state};
use crate::columns;
use crate::error::Failure;
use crate::metrics::Call;

#[async_trait]
impl Presence for PgPresence {
    fn outlives_node(&self) -> bool {
        true
    }

    fn shards(&self) -> u16 {
        self.shards
    }

    async fn enter(&self, enter: Enter) -> Result<Done, Error> {
        let id = enter.member_id()?;
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
        match state(&row)? {
            0 => Ok(self.done(&enter.topic, &row)?),
            1 => Err(Error::TooManyTopics { topics_max: enter.limits.topics_per_session_max }),
            _ => Err(Error::Full),
        }
    }

    async fn update(&self, topic: &TopicKey, session: &SessionId, change: Edit<'_>) -> Result<Done, Error> {
        loop {
            let known = self.data_of(topic, session).await?.ok_or(Error::NotMember)?;
            let raw = known.clone().map(RawValue::from_string).transpose();
            let data = change(raw.map_err(|_| Failure::Damaged("data"))?.as_deref())?;
            let row = self.swap_data(topic, session, known.as_deref(), data.as_deref().map(RawValue::get)).await?;
            match state(&row)? {
                0 => return Ok(self.done(topic, &row)?),
                // Somebody else was quicker: from what that has made of it.
                1 => {}
                _ => return Err(Error::NotMember),
            }
        }
    }

    async fn leave(&self, topic: &TopicKey, session: &SessionId, holder: &Holder) -> Result<Done, Error> {
        let (done, _) = self.unseat(topic, Some((session, holder)), None).await?;
        Ok(done)
    }

    async fn members(
        &self,
        topic: &TopicKey,
        after: Option<&str>,
        limit: usize,
        bytes_max: usize,
    ) -> Result<Members, Error> {
        let one_more = if limit == 0 { 0 } else { i64::try_from(limit).unwrap_or(i64::MAX - 1) + 1 };
        let bytes_max = i64::try_from(bytes_max).unwrap_or(i64::MAX);
        let mut connection = self.server.borrow(Call::Presence).await?;
        let query = sqlx::query(MEMBERS)
            .bind(self.place(topic))
            .bind(topic.tenant.as_str())
            .bind(topic.topic.as_str())
            .bind(after)
            .bind(one_more)
            .bind(bytes_max);
        let rows = self.server.limit(query.fetch_all(&mut *connection)).await;
        Ok(page(&connection.done(rows)?, limit, bytes_max)?)
    }

    async fn occupancy(&self, topics: &[TopicKey]) -> Result<Vec<Occupancy>, Error> {
        let tenants: Vec<&str> = topics.iter().map(|key| key.tenant.as_str()).collect();
        let names: Vec<&str> = topics.iter().map(|key| key.topic.as_str()).collect();
        let mut connection = self.server.borrow(Call::Presence).await?;
        let query = sqlx::query(
            "SELECT coalesce(t.members, 0) AS members, coalesce(t.users, 0) AS users
             FROM unnest($1::text[], $2::text[]) WITH ORDINALITY AS k (tenant, topic, place)
             LEFT JOIN presence_topic t ON t.tenant = k.tenant AND t.topic = k.topic ORDER BY k.place",
        )
        .bind(tenants)
        .bind(names);
        let rows = self.server.limit(query.fetch_all(&mut *connection)).await;
        Ok(connection.done(rows)?.iter().map(occupancy).collect::<Result<_, _>>()?)
    }

    async fn topics_of(&self, tenant: &Tenant, user: &UserId) -> Result<Vec<Topic>, Error> {
        let mut connection = self.server.borrow(Call::Presence).await?;
        let query =
            sqlx::query("SELECT DISTINCT topic FROM presence_seat WHERE tenant = $1 AND who = $2 ORDER BY topic")
                .bind(tenant.as_str())
                .bind(user.as_str());
        let rows = self.server.limit(query.fetch_all(&mut *connection)).await;
        Ok(connection.done(rows)?.iter().map(topic).collect::<Result<_, _>>()?)
    }

    async fn topics_in(&self, tenant: &Tenant, session: &SessionId, holder: &Holder) -> Result<Vec<Topic>, Error> {
        let mut connection = self.server.borrow(Call::Presence).await?;
        let query = sqlx::query(
            "SELECT topic FROM presence_seat WHERE tenant = $1 AND session = $2 AND holder = $3 ORDER BY topic",
        )
        .bind(tenant.as_str())
        .bind(session.as_str())
        .bind(&*holder.0);
        let rows = self.server.limit(query.fetch_all(&mut *connection)).await;
        Ok(connection.done(rows)?.iter().map(topic).collect::<Result<_, _>>()?)
    }

    async fn adopt(&self, tenant: &Tenant, session: &SessionId, holder: &Holder) -> Result<Vec<Adopted>, Error> {
        let mut connection = self.server.borrow(Call::Presence).await?;
        let query = sqlx::query("SELECT topic, id, who, info, data, since FROM presence_adopt($1, $2, $3)")
            .bind(tenant.as_str())
            .bind(session.as_str())
            .bind(&*holder.0);
        let rows = self.server.limit(query.fetch_all(&mut *connection)).await;
        Ok(connection.done(rows)?.iter().map(adopted).collect::<Result<_, _>>()?)
    }

    async fn remove_user(&self, tenant: &Tenant, user: &UserId) -> Result<usize, Error> {
        let mut topics = 0;
        for topic in self.topics_of(tenant, user).await? {
            let (_, sessions) = self.unseat(&TopicKey::new(tenant.clone(), topic), None, Some(user)).await?;
            topics += usize::from(sessions > 0);
        }
        Ok(topics)
    }

    async fn heartbeat(&self, holder: &Holder, lease: Duration) -> Result<bool, Error> {
        let mut connection = self.server.borrow(Call::Presence).await?;
        let query =
            sqlx::query_scalar("SELECT presence_heartbeat($1, $2)").bind(&*holder.0).bind(columns::micros(lease));
        let alive = self.server.limit(query.fetch_one(&mut *connection)).await;
        Ok(connection.done(alive)?)
    }

    async fn reap(&self, holder: &Holder) -> Result<usize, Error> {
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

    async fn feed(&self, shard: u16, after: u64, limit: usize, wait: Duration) -> Result<Vec<(u64, Change)>, Error> {
        let until = Instant::now() + wait;
        loop {
            // If a look does not see what was known of before it, a crash of the server has taken it: what comes after that
            // is waited for, or this would look again at once, for ever.
            let known = self.news.last(shard);
            let mut connection = self.server.borrow(Call::Presence).await?;
            let query = sqlx::query(
                "SELECT position, change FROM presence_feed WHERE shard = $1 AND position > $2 ORDER BY position LIMIT $3",
            )
            .bind(i32::from(shard))
            .bind(columns::number(after))
            .bind(i64::try_from(limit).unwrap_or(i64::MAX));
            let rows = self.server.limit(query.fetch_all(&mut *connection)).await;
            let changes: Vec<_> = connection.done(rows)?.iter().map(change).collect::<Result<_, _>>()?;
            if !changes.is_empty() || !self.news.beyond(shard, after.max(known), until).await {
                return Ok(changes);
            }
        }
    }

    async fn fed(&self, shard: u16, fence: Fence, upto: u64) -> Result<bool, Error> {
        let mut connection = self.server.borrow(Call::Presence).await?;
        let query = sqlx::query_scalar("SELECT presence_fed($1, $2, $3)")
            .bind(i32::from(shard))
            .bind(columns::number(fence.get()))
            .bind(columns::number(upto));
        let taken = self.server.limit(query.fetch_one(&mut *connection)).await;
        Ok(connection.done(taken)?)
    }

    async fn fed_position(&self, shard: u16) -> Result<u64, Error> {
        let mut connection = self.server.borrow(Call::Presence).await?;
        let query = sqlx::query_scalar("SELECT fed FROM presence_shard WHERE shard = $1").bind(i32::from(shard));
        let fed = self.server.limit(query.fetch_optional(&mut *connection)).await;
        Ok(connection.done(fed)?.map_or(0, columns::count))
    }
}
