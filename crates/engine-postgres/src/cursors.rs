//! The progress of consumers as rows.

use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;
use fanfare_consumer::{Cursors, Error, Key, ListPage, ListQuery, Name, Progress, Swap, Swapped, Version};
use fanfare_model::{Tenant, Topic};
use sqlx::Row as _;
use sqlx::postgres::PgRow;

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

/// Names are not empty and below the last character there is, so that both ends of the page are places in the index.
const LIST: &str = "
    SELECT consumer, topic, progress::text FROM consumer
    WHERE tenant = $1 AND (consumer, topic) > (coalesce($4, $2, ''), coalesce($5, ''))
      AND consumer <= coalesce($2, chr(1114111)) AND ($2::text IS NULL OR consumer = $2)
      AND ($3::text IS NULL OR topic = $3)
    ORDER BY consumer, topic LIMIT $6";

impl PgCursors {
    fn check_open(&self) -> Result<(), Error> {
        if self.closed.load(Ordering::Acquire) { Err(Error::Closed) } else { Ok(()) }
    }
}

/// The answer to [`GET`].
fn record(row: &PgRow) -> Result<(Version, Progress), Failure> {
    Ok((version(row.try_get(0)?), progress(row.try_get(1)?)?))
}

/// The answer to [`SWAP`].
fn swapped(row: &PgRow) -> Result<Swapped, Failure> {
    Ok(match row.try_get::<i16, _>(0)? {
        0 => Swapped::Done(version(row.try_get(1)?)),
        1 => Swapped::Conflict,
        _ => Swapped::Full,
    })
}

/// A row of the answer to [`LIST`].
fn listed(tenant: &Tenant, row: &PgRow) -> Result<(Key, Progress), Failure> {
    let key = Key {
        tenant: tenant.clone(),
        consumer: Name::new(row.try_get::<&str, _>(0)?).map_err(|_| Failure::Damaged("consumer"))?,
        topic: Topic::from_stored(row.try_get(1)?).map_err(|_| Failure::Damaged("topic"))?,
    };
    Ok((key, progress(row.try_get(2)?)?))
}

fn progress(json: &str) -> Result<Progress, Failure> {
    Progress::from_json(json.as_bytes()).ok_or(Failure::Damaged("progress"))
}

fn version(number: i64) -> Version {
    Version(columns::count(number))
}

#[async_trait]
impl Cursors for PgCursors {
    fn name(&self) -> &'static str {
        "postgres"
    }

    fn survives_restart(&self) -> bool {
        true
    }

    async fn get(&self, key: &Key) -> Result<Option<(Version, Progress)>, Error> {
        self.check_open()?;
        let mut connection = self.server.borrow(Call::Cursors).await?;
        let query = sqlx::query(GET).bind(key.tenant.as_str()).bind(key.consumer.as_str()).bind(key.topic.as_str());
        let row = self.server.limit(query.fetch_optional(&mut *connection)).await;
        Ok(connection.done(row)?.as_ref().map(record).transpose()?)
    }

    async fn swap(&self, swap: Swap) -> Result<Swapped, Error> {
        self.check_open()?;
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
        Ok(swapped(&connection.done(row)?)?)
    }

    async fn list(&self, query: ListQuery) -> Result<ListPage, Error> {
        self.check_open()?;
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
        let records = rows.iter().take(query.limit).map(|row| listed(&query.tenant, row)).collect::<Result<_, _>>()?;
        Ok(ListPage { records, more: rows.len() > query.limit })
    }

    async fn close(&self) -> Result<(), Error> {
        self.closed.store(true, Ordering::Release);
        Ok(())
    }
}
