//! Who is in which topic, as rows.

mod engine;
mod news;
mod read;

use fanfare_lifecycle::Lifecycle;
use fanfare_model::{SessionId, TopicKey, UserId};
use fanfare_presence::{Done, Holder, Presence as _};
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

/// [`fanfare_presence::Presence`] over one schema of a database.
pub(crate) struct PgPresence {
    server: SharedServer,
    shards: u16,
    news: News,
}

impl PgPresence {
    pub(crate) fn new(server: SharedServer, options: &Options, shards: u16, life: &Lifecycle) -> Self {
        let news = News::start(&server, options, shards, life);
        Self { server, shards, news }
    }

    fn place(&self, topic: &TopicKey) -> i32 {
        i32::from(self.shard_of(topic))
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
    ) -> Result<PgRow, Failure> {
        let mut connection = self.server.borrow(Call::Presence).await?;
        let query = sqlx::query("SELECT * FROM presence_update($1, $2, $3, $4, $5, $6)")
            .bind(self.place(topic))
            .bind(topic.tenant.as_str())
            .bind(topic.topic.as_str())
            .bind(session.as_str())
            .bind(expected)
            .bind(data);
        let row = self.server.limit(query.fetch_one(&mut *connection)).await;
        connection.done(row)
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
}

/// What came of a change.
fn state(row: &PgRow) -> Result<i16, Failure> {
    Ok(row.try_get("state")?)
}
