//! One transaction that gives events their places.

use std::collections::HashMap;
use std::sync::Arc;

use fanfare_history::{Append, Appended};
use fanfare_model::{Epoch, Event, Position, Tag, Timestamp};
use sqlx::{PgConnection, Row as _};

use crate::columns::{self, Columns};
use crate::error::Failure;
use crate::metrics::Call;
use crate::server::Server;

/// Which tables events go to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Into {
    /// The log.
    Log,
    /// Those of topics that keep nothing.
    Passing,
}

/// Where an event is now.
#[derive(Debug, Clone)]
pub(crate) enum Placed {
    /// It has this place; `prev` if it was given it now, and not when it was published first.
    At { epoch: Epoch, offset: u64, prev: Option<u64>, time: Timestamp },
    /// It has none, because somebody else holds the lock of its topic.
    Busy,
}

impl Placed {
    /// The answer to the publisher of `item`.
    pub(crate) fn appended(&self, item: &Append) -> Option<Appended> {
        let Self::At { epoch, offset, prev, time } = *self else { return None };
        let position = Position { epoch, offset, tag: Tag::of(&item.draft.id) };
        Some(Appended { position, time, duplicate: prev.is_none() })
    }

    /// The event that `item` has become, if it did now.
    pub(crate) fn event(&self, item: &Append) -> Option<Arc<Event>> {
        let Self::At { epoch, offset, prev: Some(prev), time } = *self else { return None };
        Some(Arc::new(Event { topic: item.topic.clone(), epoch, offset, prev, time, draft: item.draft.clone() }))
    }
}

/// Places `items` in one transaction; answers in their order. Of items with the same id the first is stored and the others
/// are where it is. With `wait` it waits for locks of topics; without, their items are [`Placed::Busy`].
pub(crate) async fn append(
    server: &Server,
    connection: &mut PgConnection,
    into: Into,
    items: &[&Append],
    now: Timestamp,
    wait: bool,
) -> Result<Vec<Placed>, Failure> {
    // By topic: everybody takes locks in one order, and each topic once.
    let mut order: Vec<usize> = (0..items.len()).collect();
    order.sort_by(|a, b| items[*a].topic.cmp(&items[*b].topic));
    let mut first_of = HashMap::new();
    let mut sent: Vec<usize> = Vec::with_capacity(items.len());
    let mut same_as: Vec<Option<usize>> = vec![None; items.len()];
    for at in order {
        let item = items[at];
        if into == Into::Log && !item.keep.idempotency_window.is_zero() {
            match first_of.entry((&item.topic, &item.draft.id)) {
                std::collections::hash_map::Entry::Occupied(first) => {
                    same_as[at] = Some(*first.get());
                    continue;
                }
                std::collections::hash_map::Entry::Vacant(place) => drop(place.insert(at)),
            }
        }
        sent.push(at);
    }
    let since = tokio::time::Instant::now();
    let call = if into == Into::Log { Call::Append } else { Call::Pass };
    let rows = send(server, connection, into, &sent.iter().map(|at| items[*at]).collect::<Vec<_>>(), now, wait).await;
    server.metrics.called(call, since.elapsed(), rows.is_ok());
    server.metrics.batch_events.record(sent.len() as f64);
    let mut placed: Vec<Option<Placed>> = vec![None; items.len()];
    for (at, row) in sent.into_iter().zip(rows?) {
        placed[at] = Some(row);
    }
    for (at, first) in same_as.into_iter().enumerate() {
        if let Some(first) = first {
            placed[at] = match &placed[first] {
                Some(Placed::At { epoch, offset, time, .. }) => {
                    Some(Placed::At { epoch: *epoch, offset: *offset, prev: None, time: *time })
                }
                other => other.clone(),
            };
        }
    }
    placed.into_iter().map(|placed| placed.ok_or(Failure::Damaged("an answer is missing"))).collect()
}

async fn send(
    server: &Server,
    connection: &mut PgConnection,
    into: Into,
    items: &[&Append],
    now: Timestamp,
    wait: bool,
) -> Result<Vec<Placed>, Failure> {
    let mut columns = Columns::default();
    for item in items {
        columns.push(&item.topic, &item.draft);
    }
    let rows = match into {
        Into::Log => {
            let keep = |of: fn(&fanfare_history::Keep) -> Option<i64>| {
                items.iter().map(|item| of(&item.keep)).collect::<Vec<_>>()
            };
            let query = sqlx::query(
                "SELECT * FROM append($1, $2, false, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18,
                                      $19)",
            );
            let query = query
                .bind(now.as_micros())
                .bind(wait)
                .bind(&columns.tenants)
                .bind(&columns.topics)
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
                .bind(&columns.headers)
                .bind(keep(|keep| keep.events_max.map(columns::number)))
                .bind(keep(|keep| keep.bytes_max.map(columns::number)))
                .bind(keep(|keep| keep.age_max.map(columns::micros)))
                .bind(keep(|keep| Some(columns::micros(keep.idempotency_window))));
            server.limit(query.fetch_all(connection)).await?
        }
        Into::Passing => {
            let query = sqlx::query("SELECT * FROM pass($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)")
                .bind(now.as_micros())
                .bind(&columns.tenants)
                .bind(&columns.topics)
                .bind(&columns.ids)
                .bind(&columns.kinds)
                .bind(&columns.data)
                .bind(&columns.occurred_at)
                .bind(&columns.names)
                .bind(&columns.users)
                .bind(&columns.sources)
                .bind(&columns.keys)
                .bind(&columns.schemas)
                .bind(&columns.headers);
            server.limit(query.fetch_all(connection)).await?
        }
    };
    if rows.len() != items.len() {
        return Err(Failure::Damaged("an answer is missing"));
    }
    rows.iter()
        .map(|row| {
            let state: i16 = row.try_get("state")?;
            if state == 2 {
                return Ok(Placed::Busy);
            }
            Ok(Placed::At {
                epoch: columns::epoch(row.try_get("epoch")?)?,
                offset: columns::count(row.try_get("off")?),
                prev: if state == 0 { Some(columns::count(row.try_get("prev")?)) } else { None },
                time: Timestamp::from_micros(row.try_get("at")?),
            })
        })
        .collect()
}
