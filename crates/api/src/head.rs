//! The end of a topic's log, as the API shows it.

use fanfare_bus::Head;
use serde::Serialize;
use utoipa::ToSchema;

/// The end of a topic's log.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Head, example = json!({
    "position": "1TzKqX.17.0Xk", "offset": 17, "first": 8, "events": 10, "bytes": 4210, "time": 1_763_719_200_123_456_i64
}))]
pub(crate) struct HeadBody {
    /// Position of the latest event. A subscription or a read from here gets what comes after it.
    pub(crate) position: String,
    /// Offset of the latest event; 0 if there never was one.
    pub(crate) offset: u64,
    /// Offset of the oldest event that is kept; `offset + 1` if none is.
    pub(crate) first: u64,
    /// How many events are kept.
    pub(crate) events: u64,
    /// How many bytes they have together: data, names and headers.
    pub(crate) bytes: u64,
    /// When the latest event was appended, in microseconds since 1970; absent if there never was one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) time: Option<i64>,
}

impl From<Head> for HeadBody {
    fn from(head: Head) -> Self {
        Self {
            position: head.last.to_string(),
            offset: head.last.offset,
            first: head.first,
            events: head.events,
            bytes: head.bytes,
            time: head.time.map(fanfare_model::Timestamp::as_micros),
        }
    }
}
