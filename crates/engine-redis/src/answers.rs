//! Reading what scripts answer.

use fanfare_history::Head;
use fanfare_model::{Epoch, Position, Tag, Timestamp};
use redis::Value;

/// Text or a number as bytes of decimal digits.
pub(crate) fn bytes(value: &Value) -> Option<&[u8]> {
    match value {
        Value::BulkString(bytes) => Some(bytes),
        _ => None,
    }
}

pub(crate) fn text(value: &Value) -> Option<&str> {
    match value {
        Value::BulkString(bytes) => std::str::from_utf8(bytes).ok(),
        Value::SimpleString(text) => Some(text),
        _ => None,
    }
}

/// A number, whether it came as one or as text.
pub(crate) fn number(value: &Value) -> Option<i64> {
    match value {
        Value::Int(number) => Some(*number),
        value => text(value)?.parse().ok(),
    }
}

pub(crate) fn unsigned(value: &Value) -> Option<u64> {
    u64::try_from(number(value)?).ok()
}

pub(crate) fn epoch(value: &Value) -> Option<Epoch> {
    Epoch::from_u32(u32::try_from(number(value)?).ok()?)
}

/// A head as `heads.lua` and `read.lua` answer it.
pub(crate) fn head(value: &Value) -> Option<Head> {
    let Value::Array(fields) = value else { return None };
    // Lua ends a table at the first nothing: a head without a time has six fields.
    let [of, offset, tag, first, events, size, time @ ..] = &fields[..] else { return None };
    let last = Position {
        epoch: epoch(of)?,
        offset: unsigned(offset)?,
        tag: Tag::from_u16(u16::try_from(number(tag)?).ok()?),
    };
    let time = time.first().and_then(number).map(Timestamp::from_micros);
    Some(Head { last, first: unsigned(first)?, events: unsigned(events)?, bytes: unsigned(size)?, time })
}
