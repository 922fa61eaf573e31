//! Reading and changing logs: everything but appending.

use std::sync::Arc;
use std::time::Duration;

use fanfare_history::{Admin, Direction, Head, Page, Read, ReadFrom, TopicPage, TopicsQuery};
use fanfare_model::{Clock, Event, EventId, Position, Tag, Timestamp, Topic, TopicKey};
use sqlx::Row as _;
use sqlx::postgres::PgRow;

use crate::append::Into;
use crate::columns::{self, draft_columns};
use crate::error::Failure;
use crate::metrics::Call;
use crate::server::SharedServer;

/// Heads that are read by one statement.
const HEADS_MAX: usize = 1024;
/// What a table of the log holds.
pub(crate) const DAY: Duration = Duration::from_secs(24 * 3600);

/// The tables as readers and administrators see them.
pub(crate) struct Store {
    pub(crate) server: SharedServer,
    pub(crate) clock: Arc<dyn Clock>,
}

impl Store {
    /// Heads, in the order of `topics`.
    pub(crate) async fn heads(&self, from: Into, topics: &[TopicKey]) -> Result<Vec<Head>, Failure> {
        let mut heads = Vec::with_capacity(topics.len());
        for topics in topics.chunks(HEADS_MAX) {
            let tenants: Vec<&str> = topics.iter().map(|key| key.tenant.as_str()).collect();
            let names: Vec<&str> = topics.iter().map(|key| key.topic.as_str()).collect();
            let mut connection = self.server.borrow(Call::Heads).await?;
            let query = sqlx::query(if from == Into::Log { HEADS } else { PASSING_HEADS }).bind(tenants).bind(names);
            let rows = self.server.limit(query.fetch_all(&mut *connection)).await;
            for row in connection.done(rows)? {
                heads.push(head(&row)?);
            }
        }
        Ok(heads)
    }

    /// A page of a topic that keeps history.
    pub(crate) async fn read(&self, read: &Read) -> Result<Page, Failure> {
        let oldest = read.age_max.map(|age| self.clock.now().minus(age).as_micros());
        let (kind, from) = match read.from {
            ReadFrom::Offset(offset) => ("offset", columns::number(offset)),
            ReadFrom::Time(time) => ("time", time.as_micros()),
            ReadFrom::End => ("end", 0),
        };
        let limit = i64::try_from(read.limit).unwrap_or(i64::MAX);
        // At least one event, so at least one byte.
        let bytes_max = i64::try_from(read.bytes_max.max(1)).unwrap_or(i64::MAX);
        let query = sqlx::query(match read.direction {
            Direction::Forward => FORWARD,
            Direction::Backward => BACKWARD,
        });
        let query = query
            .bind(read.topic.tenant.as_str())
            .bind(read.topic.topic.as_str())
            .bind(oldest)
            .bind(kind)
            .bind(from)
            .bind(limit)
            .bind(bytes_max);
        let mut connection = self.server.borrow(Call::Read).await?;
        let rows = self.server.limit(query.fetch_all(&mut *connection)).await;
        let rows = connection.done(rows)?;
        let first = rows.first().ok_or(Failure::Damaged("the head"))?;
        let head = head(first)?;
        let begin: Option<i64> = first.try_get("begin_off")?;
        let mut events = Vec::with_capacity(rows.len());
        for row in &rows {
            if row.try_get::<Option<i64>, _>("off")?.is_some() {
                events.push(event(row, &read.topic, &head)?);
            }
        }
        let more = match (read.direction, events.last()) {
            (Direction::Forward, Some(last)) => last.offset < head.last.offset,
            (Direction::Forward, None) => begin.is_some_and(|begin| columns::count(begin) <= head.last.offset),
            (Direction::Backward, Some(last)) => last.offset > head.first,
            (Direction::Backward, None) => begin.is_some_and(|begin| columns::count(begin) >= head.first),
        };
        Ok(Page { events, head, more })
    }

    pub(crate) async fn topics(&self, query: &TopicsQuery) -> Result<TopicPage, Failure> {
        let limit = i64::try_from(query.limit).unwrap_or(i64::MAX - 1);
        let statement = sqlx::query(TOPICS)
            .bind(query.tenant.as_str())
            .bind(&query.prefix)
            .bind(query.after.as_ref().map(Topic::as_str))
            .bind(limit + 1);
        let mut connection = self.server.borrow(Call::Topics).await?;
        let rows = self.server.limit(statement.fetch_all(&mut *connection)).await;
        let rows = connection.done(rows)?;
        let more = rows.len() > query.limit;
        let topics = rows
            .iter()
            .take(query.limit)
            .map(|row| {
                let topic = Topic::new(row.try_get::<&str, _>("topic")?).map_err(|_| Failure::Damaged("topic"))?;
                Ok((topic, head(row)?))
            })
            .collect::<Result<_, Failure>>()?;
        Ok(TopicPage { topics, more })
    }

    /// Changes a log. `outside`: a purge is told of by whoever reads what applications publish.
    pub(crate) async fn admin(&self, from: Into, change: &Admin, outside: bool) -> Result<Head, Failure> {
        let (statement, key, offset) = match (change, from) {
            (Admin::Purge(key), Into::Log) => ("SELECT purge($3, $1, $2, $4)", key, None),
            (Admin::Purge(key), Into::Passing) => ("SELECT purge_passing($3, $1, $2)", key, None),
            (Admin::TruncateBefore(key, offset), Into::Log) => {
                ("SELECT truncate_before($1, $2, $3)", key, Some(*offset))
            }
            (Admin::TruncateBefore(key, _), Into::Passing) => ("", key, None),
        };
        if !statement.is_empty() {
            let number = offset.map_or_else(|| self.clock.now().as_micros(), columns::number);
            let query = sqlx::query(statement).bind(key.tenant.as_str()).bind(key.topic.as_str()).bind(number);
            let query =
                if matches!((change, from), (Admin::Purge(_), Into::Log)) { query.bind(outside) } else { query };
            let mut connection = self.server.borrow(Call::Admin).await?;
            let done = self.server.limit(query.execute(&mut *connection)).await;
            connection.done(done)?;
        }
        let heads = self.heads(from, std::slice::from_ref(key)).await?;
        heads.into_iter().next().ok_or(Failure::Damaged("the head"))
    }

    /// Lets go of events that are too old; says how many.
    pub(crate) async fn sweep(&self) -> Result<u64, Failure> {
        /// Topics of one transaction, so that their locks are held briefly.
        const TOPICS: i32 = 500;
        let now = self.clock.now().as_micros();
        let mut events = 0;
        loop {
            let mut connection = self.server.borrow(Call::Sweep).await?;
            let query = sqlx::query("SELECT * FROM sweep($1, $2)").bind(now).bind(TOPICS);
            let swept = self.server.limit(query.fetch_one(&mut *connection)).await;
            let swept = connection.done(swept)?;
            events += columns::count(swept.try_get("events")?);
            if swept.try_get::<i64, _>("topics")? < i64::from(TOPICS) {
                break;
            }
        }
        Ok(events)
    }

    /// Makes the tables of the coming days, and retires those of days that nobody keeps. One node at a time does it.
    pub(crate) async fn keep_days(&self, ahead: u16, dead_for: Duration) -> Result<(), Failure> {
        let now = self.clock.now();
        for day in 0..=u32::from(ahead) {
            let mut connection = self.server.borrow(Call::Sweep).await?;
            let query = sqlx::query("SELECT make_day($1)").bind(now.plus(DAY * day).as_micros());
            let made = self.server.limit(query.execute(&mut *connection)).await;
            connection.done(made)?;
        }
        let (before, compacted_before) = (now.minus(dead_for).as_micros(), now.minus(DAY).as_micros());
        let mut connection = self.server.borrow(Call::Sweep).await?;
        let query = sqlx::query_scalar("SELECT name FROM day WHERE until <= $1 AND compacted <= $2 ORDER BY until")
            .bind(before)
            .bind(compacted_before);
        let names = self.server.limit(query.fetch_all(&mut *connection)).await;
        let names: Vec<String> = connection.done(names)?;
        for name in names {
            if let Err(failure) = self.retire(&name).await {
                // Somebody is using it; the next time, perhaps.
                tracing::debug!(error = %failure, day = name, "a day could not be retired yet");
            }
        }
        Ok(())
    }

    async fn retire(&self, name: &str) -> Result<(), Failure> {
        let mut connection = self.server.borrow(Call::Sweep).await?;
        let retire = async {
            let mut transaction = sqlx::Connection::begin(&mut *connection).await?;
            // Who waits for this lock makes everybody else wait: not for long. The work itself may take a while.
            sqlx::query(
                "SELECT set_config('lock_timeout', '200ms', true), set_config('statement_timeout', '60s', true)",
            )
            .execute(&mut *transaction)
            .await?;
            let query = sqlx::query_scalar("SELECT retire_day($1, $2)").bind(self.clock.now().as_micros()).bind(name);
            let gone: Option<i64> = query.fetch_one(&mut *transaction).await?;
            transaction.commit().await?;
            Ok::<_, sqlx::Error>(gone)
        };
        let limited = match tokio::time::timeout(Duration::from_secs(60) + self.server.timeout, retire).await {
            Ok(done) => done.map_err(Failure::from),
            Err(_) => Err(Failure::Slow),
        };
        if let Some(events) = connection.done(limited)? {
            tracing::info!(day = name, events, "dead events of a day were removed");
        } else {
            tracing::info!(day = name, "a day that nobody keeps was dropped");
        }
        Ok(())
    }

    /// Forgets what passed by a while ago.
    pub(crate) async fn sweep_passing(&self) -> Result<(), Failure> {
        let mut connection = self.server.borrow(Call::Sweep).await?;
        let query = sqlx::query("SELECT sweep_passing($1)").bind(self.clock.now().as_micros());
        let swept = self.server.limit(query.execute(&mut *connection)).await;
        connection.done(swept)?;
        Ok(())
    }
}

fn head(row: &PgRow) -> Result<Head, Failure> {
    let last_id: Option<&str> = row.try_get("last_id")?;
    let tag = match last_id {
        Some(id) => Tag::of(&EventId::new(id).map_err(|_| Failure::Damaged("last_id"))?),
        None => Tag::from_u16(u16::try_from(row.try_get::<Option<i32>, _>("last_tag")?.unwrap_or(0)).unwrap_or(0)),
    };
    let offset = columns::count(row.try_get("top")?);
    Ok(Head {
        last: Position { epoch: columns::epoch(row.try_get("epoch")?)?, offset, tag },
        first: columns::count(row.try_get("first")?),
        events: columns::count(row.try_get("events")?),
        bytes: columns::count(row.try_get("bytes")?),
        time: row.try_get::<Option<i64>, _>("last_time")?.map(Timestamp::from_micros),
    })
}

fn event(row: &PgRow, topic: &TopicKey, head: &Head) -> Result<Arc<Event>, Failure> {
    Ok(Arc::new(Event {
        topic: topic.clone(),
        epoch: head.last.epoch,
        offset: columns::count(row.try_get("off")?),
        prev: columns::count(row.try_get("prev")?),
        time: Timestamp::from_micros(row.try_get("time")?),
        draft: columns::draft(row)?,
    }))
}

/// The columns of a head: `t` is the topic or null, `m` the epoch of those that are not there, `f` its first event.
macro_rules! head_columns {
    () => {
        "coalesce(t.epoch, m.epoch) AS epoch, coalesce(t.top, 0) AS top, t.last_id, t.last_tag, t.last_time,
         CASE WHEN t.first <= t.top THEN (t.top - t.skipped) - (t.first - coalesce(f.skipped, 0)) + 1 ELSE 0 END AS events,
         CASE WHEN t.first <= t.top THEN t.total - coalesce(f.before, 0) ELSE 0 END AS bytes"
    };
}

/// What is known of the first event of `t`.
macro_rules! first_event {
    () => {
        " LEFT JOIN LATERAL (
            SELECT l.cum - l.size AS before, coalesce(l.skipped, 0) AS skipped FROM log l
            WHERE l.life = t.life AND l.off = t.first LIMIT 1
        ) f ON true"
    };
}

const HEADS: &str = concat!(
    "SELECT ",
    head_columns!(),
    ", coalesce(t.first, 1) AS first
     FROM unnest($1::text[], $2::text[]) WITH ORDINALITY AS k (tenant, topic, place)
     CROSS JOIN meta m LEFT JOIN topic t ON t.tenant = k.tenant AND t.topic = k.topic",
    first_event!(),
    " ORDER BY k.place"
);

const PASSING_HEADS: &str =
    "SELECT coalesce(t.epoch, m.epoch) AS epoch, coalesce(t.top, 0) AS top, t.last_id, NULL::integer AS last_tag, t.last_time,
            0::bigint AS events, 0::bigint AS bytes, coalesce(t.top, 0) + 1 AS first
     FROM unnest($1::text[], $2::text[]) WITH ORDINALITY AS k (tenant, topic, place)
     CROSS JOIN (SELECT passing_epoch() AS epoch) m
     LEFT JOIN passing_topic t ON t.tenant = k.tenant AND t.topic = k.topic
     ORDER BY k.place";

/// Topics are picked before anything of their logs is looked up.
const TOPICS: &str = concat!(
    "SELECT t.topic, ",
    head_columns!(),
    ", t.first FROM meta m, (
        SELECT * FROM topic
        WHERE tenant = $1 AND topic >= $2 AND topic < $2 || chr(1114111) AND topic > coalesce($3, '')
          AND appended AND topic > chr(2) || chr(1114111)
        ORDER BY topic LIMIT $4
     ) t",
    first_event!(),
    " ORDER BY t.topic"
);

/// A page and the head of one topic, as they are in one snapshot. Parameters: tenant, topic, oldest time or null, what
/// begins (`offset`, `time`, `end`), where, how many, how many bytes. `g` has the first offset that is not too old,
/// `b` where the page begins; `OFFSET 0` has each looked up once, and not again for every event of the page.
macro_rules! page {
    (begin: $begin:literal, range: $range:literal, order: $order:literal, before: $before:literal) => {
        concat!(
            "SELECT ",
            head_columns!(),
            ", g.first, b.begin_off, p.off, p.prev, p.time, p.id, p.kind, p.data, p.occurred_at, p.name, p.who, p.source,
               p.key, p.schema, p.headers
             FROM meta m LEFT JOIN topic t ON t.tenant = $1 AND t.topic = $2",
            first_event!(),
            " CROSS JOIN LATERAL (
                SELECT CASE WHEN t.life IS NULL THEN 1 WHEN $3::bigint IS NULL THEN t.first ELSE coalesce((
                    SELECT l.off FROM log l WHERE l.life = t.life AND l.off >= t.first AND l.time >= $3 ORDER BY l.off LIMIT 1
                ), t.top + 1) END AS first OFFSET 0
             ) g CROSS JOIN LATERAL (SELECT ",
            $begin,
            " AS begin_off OFFSET 0) b LEFT JOIN LATERAL (
                SELECT * FROM (
                    SELECT r.*, ",
            $before,
            " AS before FROM (
                        SELECT e.off, coalesce(e.prev, e.off - 1) AS prev, e.time, e.cum, e.size, ",
            draft_columns!(),
            " FROM log e WHERE e.life = t.life AND ",
            $range,
            " ORDER BY e.off ",
            $order,
            " LIMIT $6
                    ) r
                ) q WHERE q.before < $7
             ) p ON true ORDER BY p.off ",
            $order
        )
    };
}

const FORWARD: &str = page!(
    begin: "CASE $4 WHEN 'offset' THEN greatest($5::bigint, g.first) WHEN 'end' THEN g.first ELSE (
                SELECT l.off FROM log l WHERE l.life = t.life AND l.off >= g.first AND l.time >= $5 ORDER BY l.off LIMIT 1
            ) END",
    range: "e.off >= b.begin_off AND e.off <= t.top",
    order: "ASC",
    before: "r.cum - r.size - min(r.cum - r.size) OVER ()"
);

const BACKWARD: &str = page!(
    begin: "CASE $4 WHEN 'offset' THEN least($5::bigint, t.top) WHEN 'end' THEN t.top ELSE (
                SELECT l.off FROM log l WHERE l.life = t.life AND l.off >= g.first AND l.time < $5 ORDER BY l.off DESC LIMIT 1
            ) END",
    range: "e.off <= b.begin_off AND e.off >= g.first",
    order: "DESC",
    before: "max(r.cum) OVER () - r.cum"
);
