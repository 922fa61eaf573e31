//! The progress of consumers as rows.

use std::sync::atomic::{AtomicBool, Ordering};

use fanfare_consumer::{Cursors, Error, Key, ListPage, ListQuery, Name, Progress, Swap, Swapped, Version};
use fanfare_model::Topic;
use futures_util::future::BoxFuture;
use sqlx::Row as _;

use crate::columns;
use crate::error::Failure;
use crate::metrics::Call;
use crate::server::SharedServer;

/// [`Cursors`] over one schema of a database.
pub(crate) struct PgCursors {
    pub(crate) server: SharedServer,
    pub(crate) consumers_max: usize,
    pub(crate) closed: AtomicBool,
}

const GET: &str = "
    SELECT version, progress::text FROM consumer WHERE tenant = $1 AND consumer = $2 AND topic = $3";

const SWAP: &str = "SELECT state, version FROM swap_consumer($1, $2, $3, $4, $5::text::jsonb, $6, $7)";

const LIST: &str = "
    SELECT consumer, topic, progress::text FROM consumer
    WHERE tenant = $1 AND ($2::text IS NULL OR consumer = $2) AND ($3::text IS NULL OR topic = $3)
      AND ($4::text IS NULL OR (consumer, topic) > ($4, $5))
    ORDER BY consumer, topic LIMIT $6";

impl PgCursors {
    fn check_open(&self) -> Result<(), Error> {
        if self.closed.load(Ordering::Acquire) { Err(Error::Closed) } else { Ok(()) }
    }

    async fn get_now(&self, key: &Key) -> Result<Option<(Version, Progress)>, Failure> {
        let mut connection = self.server.borrow(Call::Cursors).await?;
        let query = sqlx::query(GET).bind(key.tenant.as_str()).bind(key.consumer.as_str()).bind(key.topic.as_str());
        let row = self.server.limit(query.fetch_optional(&mut *connection)).await;
        let Some(row) = connection.done(row)? else { return Ok(None) };
        Ok(Some((version(row.try_get(0)?), progress(row.try_get(1)?)?)))
    }

    async fn swap_now(&self, swap: &Swap) -> Result<Swapped, Failure> {
        let stored = swap.progress.as_ref().map(Progress::to_json);
        let mut connection = self.server.borrow(Call::Cursors).await?;
        let query = sqlx::query(SWAP)
            .bind(swap.key.tenant.as_str())
            .bind(swap.key.consumer.as_str())
            .bind(swap.key.topic.as_str())
            .bind(swap.expected.map(|expected| columns::number(expected.0)))
            .bind(stored)
            .bind(columns::number(self.consumers_max as u64))
            .bind(swap.commit);
        let row = self.server.limit(query.fetch_one(&mut *connection)).await;
        let row = connection.done(row)?;
        Ok(match row.try_get::<i16, _>(0)? {
            0 => Swapped::Done(version(row.try_get(1)?)),
            1 => Swapped::Conflict,
            _ => Swapped::Full,
        })
    }

    async fn list_now(&self, query: &ListQuery) -> Result<ListPage, Failure> {
        let limit = i64::try_from(query.limit).unwrap_or(i64::MAX - 1);
        let after = query.after.as_ref();
        let statement = sqlx::query(LIST)
            .bind(query.tenant.as_str())
            .bind(query.consumer.as_ref().map(Name::as_str))
            .bind(query.topic.as_ref().map(Topic::as_str))
            .bind(after.map(|(consumer, _)| consumer.as_str()))
            .bind(after.map(|(_, topic)| topic.as_str()))
            .bind(limit + 1);
        let mut connection = self.server.borrow(Call::Cursors).await?;
        let rows = self.server.limit(statement.fetch_all(&mut *connection)).await;
        let rows = connection.done(rows)?;
        let record = |row: &sqlx::postgres::PgRow| {
            let key = Key {
                tenant: query.tenant.clone(),
                consumer: Name::new(row.try_get::<&str, _>(0)?).map_err(|_| Failure::Damaged("consumer"))?,
                topic: Topic::from_stored(row.try_get(1)?).map_err(|_| Failure::Damaged("topic"))?,
            };
            Ok((key, progress(row.try_get(2)?)?))
        };
        let records = rows.iter().take(query.limit).map(record).collect::<Result<_, Failure>>()?;
        Ok(ListPage { records, more: rows.len() > query.limit })
    }
}

fn progress(json: &str) -> Result<Progress, Failure> {
    Progress::from_json(json.as_bytes()).ok_or(Failure::Damaged("progress"))
}

fn version(number: i64) -> Version {
    Version(columns::count(number))
}

impl Cursors for PgCursors {
    fn name(&self) -> &'static str {
        "postgres"
    }

    fn survives_restart(&self) -> bool {
        true
    }

    fn get(&self, key: &Key) -> BoxFuture<'_, Result<Option<(Version, Progress)>, Error>> {
        let key = key.clone();
        Box::pin(async move {
            self.check_open()?;
            Ok(self.get_now(&key).await?)
        })
    }

    fn swap(&self, swap: Swap) -> BoxFuture<'_, Result<Swapped, Error>> {
        Box::pin(async move {
            self.check_open()?;
            Ok(self.swap_now(&swap).await?)
        })
    }

    fn list(&self, query: ListQuery) -> BoxFuture<'_, Result<ListPage, Error>> {
        Box::pin(async move {
            self.check_open()?;
            Ok(self.list_now(&query).await?)
        })
    }

    fn close(&self) -> BoxFuture<'_, Result<(), Error>> {
        self.closed.store(true, Ordering::Release);
        Box::pin(std::future::ready(Ok(())))
    }
}
