//! Looking at presence.

use std::sync::Arc;
use std::time::Duration;

use fanfare_model::{SessionId, Tenant, Timestamp, Topic, TopicKey, UserId};
use fanfare_presence::{Change, Holder, Member, Members, Occupancy};
use serde_json::value::RawValue;
use sqlx::Row as _;
use sqlx::postgres::PgRow;
use tokio::time::Instant;

use super::PgPresence;
use crate::columns;
use crate::error::Failure;
use crate::metrics::Call;

/// One statement, so that the members are exactly those of the revision. What a member weighs is about what it does on a
/// wire; the one that is too much is read too, because it says that there are more.
const MEMBERS: &str = "
    SELECT CASE WHEN t.life IS NULL THEN greatest(s.floor, l.floor) WHEN t.life = l.life THEN t.rev
                ELSE greatest(t.rev, l.floor) END AS rev,
           coalesce(t.members, 0) AS members, coalesce(t.number_only, false) AS number_only,
           p.id, p.who, p.info, p.data, p.since, p.size
    FROM presence_shard s CROSS JOIN LATERAL presence_now() l
    LEFT JOIN presence_topic t ON t.tenant = $2 AND t.topic = $3
    LEFT JOIN LATERAL (
        SELECT * FROM (
            SELECT m.*, coalesce(sum(m.size) OVER (
                ORDER BY m.id ROWS BETWEEN UNBOUNDED PRECEDING AND 2 PRECEDING
            ), 0) AS before FROM (
                SELECT id, who, info, data, since,
                       (64 + octet_length(id) + coalesce(octet_length(who), 0) + coalesce(octet_length(info), 0)
                        + coalesce(octet_length(data), 0))::bigint AS size
                FROM presence_member
                WHERE tenant = $2 AND topic = $3 AND ($4::text IS NULL OR id > $4) AND NOT coalesce(t.number_only, false)
                ORDER BY id LIMIT $5
            ) m
        ) n WHERE n.before <= $6
    ) p ON true
    WHERE s.shard = $1 ORDER BY p.id";

impl PgPresence {
    pub(super) async fn members_now(
        &self,
        topic: &TopicKey,
        after: Option<&str>,
        limit: usize,
        bytes_max: usize,
    ) -> Result<Members, Failure> {
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
        let rows = connection.done(rows)?;
        let first = rows.first().ok_or(Failure::Damaged("the shard"))?;
        let mut page = Members {
            rev: columns::count(first.try_get("rev")?),
            count: columns::count(first.try_get("members")?),
            occupancy_only: first.try_get("number_only")?,
            ..Members::default()
        };
        let mut bytes = 0_i64;
        for row in &rows {
            if row.try_get::<Option<&str>, _>("id")?.is_none() {
                break;
            }
            bytes = bytes.saturating_add(row.try_get("size")?);
            let is_full = page.members.len() >= limit || bytes > bytes_max;
            if is_full && let Some(last) = page.members.last() {
                page.next = Some(last.id.clone());
                break;
            }
            page.members.push(member(row)?);
        }
        Ok(page)
    }

    pub(super) async fn occupancy_now(&self, topics: &[TopicKey]) -> Result<Vec<Occupancy>, Failure> {
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
        let occupancy = |row: &PgRow| {
            let (count, users) = (columns::count(row.try_get("members")?), columns::count(row.try_get("users")?));
            Ok(Occupancy { count, users })
        };
        connection.done(rows)?.iter().map(occupancy).collect()
    }

    pub(super) async fn topics_of_now(&self, tenant: &Tenant, user: &UserId) -> Result<Vec<Topic>, Failure> {
        let mut connection = self.server.borrow(Call::Presence).await?;
        let query =
            sqlx::query("SELECT DISTINCT topic FROM presence_seat WHERE tenant = $1 AND who = $2 ORDER BY topic")
                .bind(tenant.as_str())
                .bind(user.as_str());
        let rows = self.server.limit(query.fetch_all(&mut *connection)).await;
        connection.done(rows)?.iter().map(topic).collect()
    }

    pub(super) async fn topics_in_now(
        &self,
        tenant: &Tenant,
        session: &SessionId,
        holder: &Holder,
    ) -> Result<Vec<Topic>, Failure> {
        let mut connection = self.server.borrow(Call::Presence).await?;
        let query = sqlx::query(
            "SELECT topic FROM presence_seat WHERE tenant = $1 AND session = $2 AND holder = $3 ORDER BY topic",
        )
        .bind(tenant.as_str())
        .bind(session.as_str())
        .bind(&*holder.0);
        let rows = self.server.limit(query.fetch_all(&mut *connection)).await;
        connection.done(rows)?.iter().map(topic).collect()
    }

    pub(super) async fn adopt_now(
        &self,
        tenant: &Tenant,
        session: &SessionId,
        holder: &Holder,
    ) -> Result<Vec<(Topic, Arc<Member>)>, Failure> {
        let mut connection = self.server.borrow(Call::Presence).await?;
        let query = sqlx::query(
            "WITH adopted AS (
                UPDATE presence_seat SET holder = $3 WHERE tenant = $1 AND session = $2 RETURNING tenant, topic, member
            )
            SELECT m.topic, m.id, m.who, m.info, m.data, m.since FROM adopted a
            JOIN presence_member m ON m.tenant = a.tenant AND m.topic = a.topic AND m.id = a.member ORDER BY m.topic",
        )
        .bind(tenant.as_str())
        .bind(session.as_str())
        .bind(&*holder.0);
        let rows = self.server.limit(query.fetch_all(&mut *connection)).await;
        connection.done(rows)?.iter().map(|row| Ok((topic(row)?, member(row)?))).collect()
    }

    pub(super) async fn feed_now(
        &self,
        shard: u16,
        after: u64,
        limit: usize,
        wait: Duration,
    ) -> Result<Vec<(u64, Change)>, Failure> {
        let until = Instant::now() + wait;
        loop {
            let mut connection = self.server.borrow(Call::Presence).await?;
            let query = sqlx::query(
                "SELECT position, change FROM presence_feed WHERE shard = $1 AND position > $2 ORDER BY position LIMIT $3",
            )
            .bind(i32::from(shard))
            .bind(columns::number(after))
            .bind(i64::try_from(limit).unwrap_or(i64::MAX));
            let rows = self.server.limit(query.fetch_all(&mut *connection)).await;
            let changes: Vec<(u64, Change)> = connection
                .done(rows)?
                .iter()
                .map(|row| {
                    let change =
                        serde_json::from_str(row.try_get("change")?).map_err(|_| Failure::Damaged("change"))?;
                    Ok((columns::count(row.try_get("position")?), change))
                })
                .collect::<Result<_, Failure>>()?;
            if !changes.is_empty() || !self.news.beyond(shard, after, until).await {
                return Ok(changes);
            }
        }
    }

    pub(super) async fn fed_position_now(&self, shard: u16) -> Result<u64, Failure> {
        let mut connection = self.server.borrow(Call::Presence).await?;
        let query = sqlx::query_scalar("SELECT fed FROM presence_shard WHERE shard = $1").bind(i32::from(shard));
        let fed = self.server.limit(query.fetch_optional(&mut *connection)).await;
        Ok(connection.done(fed)?.map_or(0, columns::count))
    }
}

fn topic(row: &PgRow) -> Result<Topic, Failure> {
    Topic::from_stored(row.try_get("topic")?).map_err(|_| Failure::Damaged("topic"))
}

fn member(row: &PgRow) -> Result<Arc<Member>, Failure> {
    let raw = |column| {
        let text: Option<String> = row.try_get(column)?;
        text.map(RawValue::from_string).transpose().map_err(|_| Failure::Damaged("JSON"))
    };
    let user = row.try_get::<Option<&str>, _>("who")?.map(UserId::new).transpose();
    Ok(Arc::new(Member {
        id: row.try_get("id")?,
        user: user.map_err(|_| Failure::Damaged("who"))?,
        info: raw("info")?.map(Arc::from),
        data: raw("data")?,
        since: Timestamp::from_micros(row.try_get("since")?),
    }))
}
