//! Taking over the log of another engine.

use fanfare_history::{Error, Keep, Stretch};

use crate::append::Into;
use crate::columns::{self, Columns};
use crate::error::Failure;
use crate::metrics::Call;
use crate::store::Store;

impl Store {
    /// Writes a stretch as it was; what is there already is left out.
    pub(crate) async fn restore(&self, stretch: &Stretch) -> Result<(), Error> {
        let heads = self.heads(Into::Log, std::slice::from_ref(&stretch.topic)).await?;
        let known = heads.first().ok_or(Error::Closed)?;
        if !stretch.fits(known) {
            return Err(Error::Occupied);
        }
        if self.write(stretch, known.last.offset).await? { Ok(()) } else { Err(Error::Occupied) }
    }

    async fn write(&self, stretch: &Stretch, known: u64) -> Result<bool, Failure> {
        let events: Vec<_> = stretch.events.iter().filter(|event| event.offset > known).collect();
        let mut columns = Columns::default();
        for event in &events {
            columns.push(&event.topic, &event.draft);
        }
        let Keep { events_max, bytes_max, age_max, .. } = *stretch.keep;
        let last = stretch.head.last;
        let query = sqlx::query_scalar(
            "SELECT restore($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21,
                            $22, $23, $24)",
        )
        .bind(stretch.topic.tenant.as_str())
        .bind(stretch.topic.topic.as_str())
        .bind(columns::number(known))
        .bind(i64::from(last.epoch.as_u32()))
        .bind(columns::number(last.offset))
        .bind(i32::from(last.tag.as_u16()))
        .bind(stretch.head.time.map(fanfare_model::Timestamp::as_micros))
        .bind(events_max.map(columns::number))
        .bind(bytes_max.map(columns::number))
        .bind(age_max.map(columns::micros))
        .bind(events.iter().map(|event| columns::number(event.offset)).collect::<Vec<_>>())
        .bind(events.iter().map(|event| columns::number(event.prev)).collect::<Vec<_>>())
        .bind(events.iter().map(|event| event.time.as_micros()).collect::<Vec<_>>())
        .bind(&columns.ids)
        .bind(&columns.sizes)
        .bind(&columns.kinds)
        .bind(&columns.data)
        .bind(&columns.occurred_at)
        .bind(&columns.names)
        .bind(&columns.users)
        .bind(&columns.sources)
        .bind(&columns.keys)
        .bind(&columns.schemas)
        .bind(&columns.headers);
        let mut connection = self.server.borrow(Call::Admin).await?;
        let written = self.server.limit(query.fetch_one(&mut *connection)).await;
        connection.done(written)
    }
}
