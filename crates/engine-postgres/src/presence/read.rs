//! What rows say of presence.

use std::sync::Arc;

use fanfare_model::{Timestamp, Topic, UserId};
use fanfare_presence::{Adopted, Change, Member, Members, Occupancy};
use serde_json::value::RawValue;
use sqlx::Row as _;
use sqlx::postgres::PgRow;

use crate::columns;
use crate::error::Failure;

/// One statement, so that the members are exactly those of the revision. What a member weighs is about what it does on a
/// wire; the one that is too much is read too, because it says that there are more.
/// An id is not empty, so that a page begins in the index where the one before ended.
pub(super) const MEMBERS: &str = "
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
                WHERE tenant = $2 AND topic = $3 AND id > coalesce($4, '') AND NOT coalesce(t.number_only, false)
                ORDER BY id LIMIT $5
            ) m
        ) n WHERE n.before <= $6
    ) p ON true
    WHERE s.shard = $1 ORDER BY p.id";

/// The answer to [`MEMBERS`].
pub(super) fn page(rows: &[PgRow], limit: usize, bytes_max: i64) -> Result<Members, Failure> {
    let first = rows.first().ok_or(Failure::Damaged("the shard"))?;
    let mut page = Members {
        rev: columns::count(first.try_get("rev")?),
        count: columns::count(first.try_get("members")?),
        occupancy_only: first.try_get("number_only")?,
        ..Members::default()
    };
    let mut bytes = 0_i64;
    for row in rows {
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

pub(super) fn occupancy(row: &PgRow) -> Result<Occupancy, Failure> {
    Ok(Occupancy { count: columns::count(row.try_get("members")?), users: columns::count(row.try_get("users")?) })
}

/// A change, and its position in the feed.
pub(super) fn change(row: &PgRow) -> Result<(u64, Change), Failure> {
    let change = serde_json::from_str(row.try_get("change")?).map_err(|_| Failure::Damaged("change"))?;
    Ok((columns::count(row.try_get("position")?), change))
}

pub(super) fn adopted(row: &PgRow) -> Result<Adopted, Failure> {
    Ok((topic(row)?, member(row)?))
}

pub(super) fn topic(row: &PgRow) -> Result<Topic, Failure> {
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
