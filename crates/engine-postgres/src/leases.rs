//! Leases as rows; time is the server's.

use std::time::Duration;

use async_trait::async_trait;
use fanfare_cluster::{Error, Fence, Lease, Leases, check_holder, check_name};
use sqlx::Row as _;
use sqlx::postgres::PgRow;

use crate::columns;
use crate::error::Failure;
use crate::metrics::Call;
use crate::server::SharedServer;

/// [`Leases`] over one schema of a database.
pub(crate) struct PgLeases {
    pub(crate) server: SharedServer,
}

/// A holding that has ended and nobody took over is removed with the next one that is taken, a few at a time. Whoever asks
/// for one that is held draws no fence, so that nothing is written.
const ACQUIRE: &str = "
    WITH ended AS (
        DELETE FROM lease WHERE name IN (
            SELECT name FROM lease WHERE until <= clock_timestamp() AND name <> $1 ORDER BY until LIMIT 4
            FOR UPDATE SKIP LOCKED
        )
    )
    INSERT INTO lease AS l (name, holder, fence, until)
    SELECT $1, $2, next_fence(), clock_timestamp() + $3 * interval '1 microsecond'
    WHERE NOT EXISTS (SELECT 1 FROM lease WHERE name = $1 AND until > clock_timestamp())
    ON CONFLICT (name) DO UPDATE SET holder = excluded.holder, fence = next_fence(), until = excluded.until
    WHERE l.until <= clock_timestamp()
    RETURNING l.fence";

const RENEW: &str = "
    UPDATE lease SET until = clock_timestamp() + $3 * interval '1 microsecond'
    WHERE name = $1 AND fence = $2 AND until > clock_timestamp()";

const RELEASE: &str = "DELETE FROM lease WHERE name = $1 AND fence = $2 AND until > clock_timestamp()";

const LIST: &str = "
    SELECT name, holder, fence FROM lease
    WHERE name >= $1 AND name < $1 || chr(1114111) AND until > clock_timestamp() ORDER BY name";

fn lease(row: &PgRow) -> Result<Lease, Failure> {
    Ok(Lease { name: row.try_get(0)?, holder: row.try_get(1)?, fence: fence_of(row.try_get(2)?) })
}

fn fence_of(number: i64) -> Fence {
    Fence::new(columns::count(number))
}

#[async_trait]
impl Leases for PgLeases {
    fn name(&self) -> &'static str {
        "postgres"
    }

    async fn acquire(&self, name: &str, holder: &str, ttl: Duration) -> Result<Option<Fence>, Error> {
        check_name(name)?;
        check_holder(holder)?;
        let mut connection = self.server.borrow(Call::Leases).await?;
        let query = sqlx::query_scalar(ACQUIRE).bind(name).bind(holder).bind(columns::micros(ttl));
        let fence = self.server.limit(query.fetch_optional(&mut *connection)).await;
        Ok(connection.done(fence)?.map(fence_of))
    }

    async fn renew(&self, name: &str, fence: Fence, ttl: Duration) -> Result<bool, Error> {
        check_name(name)?;
        let mut connection = self.server.borrow(Call::Leases).await?;
        let query = sqlx::query(RENEW).bind(name).bind(columns::number(fence.get())).bind(columns::micros(ttl));
        let renewed = self.server.limit(query.execute(&mut *connection)).await;
        Ok(connection.done(renewed)?.rows_affected() > 0)
    }

    async fn release(&self, name: &str, fence: Fence) -> Result<(), Error> {
        check_name(name)?;
        let mut connection = self.server.borrow(Call::Leases).await?;
        let query = sqlx::query(RELEASE).bind(name).bind(columns::number(fence.get()));
        let released = self.server.limit(query.execute(&mut *connection)).await;
        connection.done(released)?;
        Ok(())
    }

    async fn list(&self, prefix: &str) -> Result<Vec<Lease>, Error> {
        let mut connection = self.server.borrow(Call::Leases).await?;
        let rows = self.server.limit(sqlx::query(LIST).bind(prefix).fetch_all(&mut *connection)).await;
        Ok(connection.done(rows)?.iter().map(lease).collect::<Result<_, _>>()?)
    }
}
