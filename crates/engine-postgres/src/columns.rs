//! An event as columns of a table.

use std::collections::BTreeMap;

use bytes::Bytes;
use fanfare_model::{
    Data, DataKind, Draft, Epoch, EventId, EventName, Headers, Key, Schema, Source, Tenant, Timestamp, Topic, TopicKey,
    UserId,
};
use sqlx::Row as _;
use sqlx::postgres::PgRow;

use crate::error::Failure;

/// The columns of some drafts, each as the array that a statement takes.
#[derive(Default)]
pub(crate) struct Columns<'a> {
    pub(crate) tenants: Vec<&'a str>,
    pub(crate) topics: Vec<&'a str>,
    pub(crate) ids: Vec<&'a str>,
    pub(crate) sizes: Vec<i32>,
    pub(crate) kinds: Vec<i16>,
    pub(crate) data: Vec<&'a [u8]>,
    pub(crate) occurred_at: Vec<Option<i64>>,
    pub(crate) names: Vec<Option<&'a str>>,
    pub(crate) users: Vec<Option<&'a str>>,
    pub(crate) sources: Vec<Option<&'a str>>,
    pub(crate) keys: Vec<Option<&'a str>>,
    pub(crate) schemas: Vec<Option<&'a str>>,
    pub(crate) headers: Vec<Option<String>>,
}

impl<'a> Columns<'a> {
    pub(crate) fn push(&mut self, topic: &'a TopicKey, draft: &'a Draft) {
        self.tenants.push(topic.tenant.as_str());
        self.topics.push(topic.topic.as_str());
        self.ids.push(draft.id.as_str());
        self.sizes.push(i32::try_from(draft.size()).unwrap_or(i32::MAX));
        self.kinds.push(match draft.data.kind() {
            DataKind::Json => 0,
            DataKind::Text => 1,
            DataKind::Binary => 2,
        });
        self.data.push(draft.data.bytes());
        self.occurred_at.push(draft.occurred_at.map(Timestamp::as_micros));
        self.names.push(draft.name.as_ref().map(EventName::as_str));
        self.users.push(draft.user.as_ref().map(UserId::as_str));
        self.sources.push(draft.source.as_ref().map(Source::as_str));
        self.keys.push(draft.key.as_ref().map(Key::as_str));
        self.schemas.push(draft.schema.as_ref().map(Schema::as_str));
        self.headers.push((!draft.headers.is_empty()).then(|| {
            let headers: BTreeMap<&str, &str> = draft.headers.iter().collect();
            serde_json::to_string(&headers).unwrap_or_default()
        }));
    }
}

/// The columns that [`draft`] reads, of a table that is called `e`.
macro_rules! draft_columns {
    () => {
        "e.id, e.kind, e.data, e.occurred_at, e.name, e.who, e.source, e.key, e.schema, e.headers::text AS headers"
    };
}
pub(crate) use draft_columns;

/// What a publisher said, read back.
pub(crate) fn draft(row: &PgRow) -> Result<Draft, Failure> {
    let kind = match row.try_get::<i16, _>("kind")? {
        0 => DataKind::Json,
        1 => DataKind::Text,
        2 => DataKind::Binary,
        _ => return Err(Failure::Damaged("kind")),
    };
    let id = EventId::new(row.try_get::<&str, _>("id")?).map_err(|_| Failure::Damaged("id"))?;
    let mut headers = Headers::new();
    if let Some(json) = row.try_get::<Option<&str>, _>("headers")? {
        let stored: BTreeMap<String, String> = serde_json::from_str(json).map_err(|_| Failure::Damaged("headers"))?;
        for (name, value) in stored {
            headers.insert(&name, &value).map_err(|_| Failure::Damaged("headers"))?;
        }
    }
    let text = |column| row.try_get::<Option<&str>, _>(column);
    Ok(Draft {
        id,
        name: text("name")?.map(EventName::new).transpose().map_err(|_| Failure::Damaged("name"))?,
        data: Data::from_stored(kind, Bytes::copy_from_slice(row.try_get("data")?)),
        occurred_at: row.try_get::<Option<i64>, _>("occurred_at")?.map(Timestamp::from_micros),
        user: text("who")?.map(UserId::new).transpose().map_err(|_| Failure::Damaged("who"))?,
        source: text("source")?.map(Source::new).transpose().map_err(|_| Failure::Damaged("source"))?,
        key: text("key")?.map(Key::new).transpose().map_err(|_| Failure::Damaged("key"))?,
        headers,
        schema: text("schema")?.map(Schema::new).transpose().map_err(|_| Failure::Damaged("schema"))?,
    })
}

/// The topic of a row with `tenant` and `topic`; `last` is the row before's, which is often the same.
pub(crate) fn topic_key(row: &PgRow, last: Option<&TopicKey>) -> Result<TopicKey, Failure> {
    let (tenant, topic) = (row.try_get::<&str, _>("tenant")?, row.try_get::<&str, _>("topic")?);
    match last {
        Some(last) if last.tenant.as_str() == tenant && last.topic.as_str() == topic => Ok(last.clone()),
        _ => {
            let tenant = Tenant::new(tenant).map_err(|_| Failure::Damaged("tenant"))?;
            let topic = Topic::from_stored(topic).map_err(|_| Failure::Damaged("topic"))?;
            Ok(TopicKey::new(tenant, topic))
        }
    }
}

pub(crate) fn epoch(number: i64) -> Result<Epoch, Failure> {
    u32::try_from(number).ok().and_then(Epoch::from_u32).ok_or(Failure::Damaged("epoch"))
}

/// A number that counts up from 0.
pub(crate) fn count(number: i64) -> u64 {
    u64::try_from(number).unwrap_or(0)
}

/// The same for a statement.
pub(crate) fn number(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

/// A span in microseconds, for a statement.
pub(crate) fn micros(span: std::time::Duration) -> i64 {
    i64::try_from(span.as_micros()).unwrap_or(i64::MAX)
}
